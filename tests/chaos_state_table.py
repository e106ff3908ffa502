"""The table of docs/state-down.md, written from a run: `make chaos`.

Three servers as processes of their own, keys in a real Vault, state in a real Valkey. All sign
with one key of a venue whose nonces must increase, while one thing after the other breaks.
"""

import asyncio
import logging
import re
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import grpc
import structlog

from bao import BaoServer
from replicas import shared
from served import Served
from service import NEBULAEX, OPERATOR, Stubs, failure_of, import_sandbox_key, sign_request
from valkey_server import ValkeyServer

DOCUMENT = Path(__file__).parents[1] / "docs" / "state-down.md"
_TABLE = re.compile(r"(?<=<!-- table -->\n).*?(?=<!-- end of table -->)", re.DOTALL)
_REPLICAS = 3
_BEFORE_S, _AFTER_S = 2.0, 4.0
_LONGEST_S = 40.0
_PAUSE_S = 0.01
_SKEWED = Path(__file__).parent / "chaos" / "serve_skewed.py"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One Sign: by which replica, from when to when, and what came of it."""

    replica: int
    began_s: float
    ended_s: float
    nonce: int = 0
    refusal: str = ""


@dataclass(slots=True)
class Desk:
    """What a scenario may break."""

    valkey: ValkeyServer
    servers: list[Served]
    attempts: list[Attempt] = field(default_factory=list)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the first server, which may outlive it."""
        self.servers[0].process.send_signal(number)

    def set_clock(self, skew_ms: int) -> None:
        """Set the first server's clock."""
        file = self.servers[0].folder / "skew"
        spare = file.with_suffix(".new")
        spare.write_text(str(skew_ms))
        spare.replace(file)


@dataclass(frozen=True, slots=True)
class Scenario:
    """What befalls, for how long, and how it is mended."""

    name: str
    strike: Callable[[Desk], None]
    mend: Callable[[Desk], None]
    lasts_s: float


def _nothing(_desk: Desk) -> None:
    return


def _flush(desk: Desk) -> None:
    assert b"OK" in desk.valkey.command("FLUSHALL")


SCENARIOS = (
    Scenario(
        "a server is killed and started again after 3 s",
        lambda desk: desk.signal(signal.SIGKILL),
        lambda desk: desk.servers[0].launch(),
        3.0,
    ),
    Scenario(
        "a server stands still for 10 s (SIGSTOP)",
        lambda desk: desk.signal(signal.SIGSTOP),
        lambda desk: desk.signal(signal.SIGCONT),
        10.0,
    ),
    Scenario(
        "Valkey is killed, and starts again after 3 s with an append-only file",
        lambda desk: desk.valkey.kill(),
        lambda desk: desk.valkey.start(),
        3.0,
    ),
    Scenario(
        "Valkey is killed, and starts again empty at once",
        lambda desk: desk.valkey.restart(empty=True),
        _nothing,
        0.0,
    ),
    Scenario(
        "Valkey stands still for 10 s (SIGSTOP)",
        lambda desk: desk.valkey.pause(),
        lambda desk: desk.valkey.resume(),
        10.0,
    ),
    Scenario(
        "somebody empties Valkey (FLUSHALL)",
        _flush,
        _nothing,
        0.0,
    ),
    Scenario(
        "a server's clock jumps an hour ahead, and back after 5 s",
        lambda desk: desk.set_clock(3_600_000),
        lambda desk: desk.set_clock(0),
        5.0,
    ),
    Scenario(
        "a server's clock falls an hour behind, and is set right after 5 s",
        lambda desk: desk.set_clock(-3_600_000),
        lambda desk: desk.set_clock(0),
        5.0,
    ),
)


@dataclass(frozen=True, slots=True)
class Row:
    """What a scenario came to."""

    name: str
    signed: int
    twice: int
    disordered: int
    all_gap_s: float
    one_gap_s: float
    refusals: tuple[tuple[str, int], ...]


def row_of(name: str, attempts: list[Attempt], struck_s: float) -> Row:
    """Return the figures of a run, in which the fault came at `struck_s`."""
    signed = sorted((each for each in attempts if each.nonce), key=lambda each: each.ended_s)
    counts = Counter(each.nonce for each in signed)
    refusals = Counter(each.refusal for each in attempts if each.refusal)
    return Row(
        name,
        len(signed),
        sum(count - 1 for count in counts.values()),
        _disordered(signed),
        _gap([each.ended_s for each in signed], struck_s),
        max(
            _gap([each.ended_s for each in signed if each.replica == number], struck_s)
            for number in range(_REPLICAS)
        ),
        tuple(refusals.most_common()),
    )


def _disordered(signed: list[Attempt]) -> int:
    """Return how many answers hold a nonce at or below one that was out before they were asked."""
    highest, out, count = 0, 0, 0
    ended = sorted(signed, key=lambda each: each.ended_s)
    for each in sorted(signed, key=lambda each: each.began_s):
        while out < len(ended) and ended[out].ended_s <= each.began_s:
            highest = max(highest, ended[out].nonce)
            out += 1
        count += each.nonce <= highest
    return count


def _gap(times: list[float], struck_s: float) -> float:
    """Return the longest time without a signature since shortly before the fault."""
    times = [each for each in times if each >= struck_s - 1]
    return max((b - a for a, b in pairwise(times)), default=_LONGEST_S)


def render(rows: Iterable[Row]) -> str:
    """Return the rows as Markdown."""
    head = (
        "| what befalls | signatures | given twice | out of order | longest pause of all servers "
        "| of one server | what callers heard |"
    )
    lines = [head, "|---|---|---|---|---|---|---|"]
    for row in rows:
        heard = ", ".join(f"`{name}` {count}" for name, count in row.refusals) or "nothing"
        lines.append(
            f"| {row.name} | {row.signed} | {row.twice} | {row.disordered} | "
            f"{row.all_gap_s:.1f} s | {row.one_gap_s:.1f} s | {heard} |"
        )
    return "\n".join(lines) + "\n"


async def run(scenario: Scenario, desk: Desk, stubs: list[Stubs]) -> Row:
    """Sign everywhere, break, mend, and return what happened."""
    attempts: list[Attempt] = []
    loops = [
        asyncio.ensure_future(_sign_on(number, each, attempts)) for number, each in enumerate(stubs)
    ]
    # A Valkey that was empty gives no nonce at first.
    await _until(lambda: _all_sign(attempts, 0))
    attempts.clear()
    await asyncio.sleep(_BEFORE_S)
    struck_s = time.monotonic()
    await asyncio.to_thread(scenario.strike, desk)
    await asyncio.sleep(scenario.lasts_s)
    await asyncio.to_thread(scenario.mend, desk)
    mended_s = time.monotonic()
    await _until(lambda: _all_sign(attempts, mended_s))
    await asyncio.sleep(_AFTER_S)
    for loop in loops:
        loop.cancel()
    await asyncio.gather(*loops, return_exceptions=True)
    return row_of(scenario.name, attempts, struck_s)


async def _until(is_so: Callable[[], bool]) -> None:
    end_s = time.monotonic() + _LONGEST_S
    while time.monotonic() < end_s and not is_so():  # noqa: ASYNC110  # others are waited for
        await asyncio.sleep(0.05)


def _all_sign(attempts: list[Attempt], since_s: float) -> bool:
    found = {each.replica for each in attempts if each.nonce and each.began_s > since_s}
    return len(found) == _REPLICAS


async def _sign_on(number: int, stubs: Stubs, attempts: list[Attempt]) -> None:
    request = sign_request("nx", "GET", "/api/v2/backend/account/balances")
    while True:
        began_s = time.monotonic()
        call = stubs.signing.Sign(request, timeout=2)
        try:
            answer = await call
        except grpc.aio.AioRpcError:
            failure = await failure_of(call)
            refusal = failure.reason or failure.code
            attempts.append(Attempt(number, began_s, time.monotonic(), refusal=refusal))
            await asyncio.sleep(0.1)
        else:
            attempts.append(Attempt(number, began_s, time.monotonic(), int(answer.nonce)))
        await asyncio.sleep(_PAUSE_S)


async def rows(
    folder: Path, scenarios: Iterable[Scenario], tell: Callable[[str], Awaitable[None]]
) -> list[Row]:
    """Run each scenario on servers of its own."""
    found = []
    bao = BaoServer(folder / "bao")
    try:
        await asyncio.to_thread(bao.start)
        for number, scenario in enumerate(scenarios):
            place = folder / str(number)
            await asyncio.to_thread(place.mkdir)
            found.append(await _row(scenario, place, bao, f"keys-{number}"))
            await tell(f"{found[-1].name}: {found[-1].twice} twice, {found[-1].all_gap_s:.1f} s")
    finally:
        bao.stop()
    return found


async def _row(scenario: Scenario, folder: Path, bao: BaoServer, prefix: str) -> Row:
    options = ("--appendonly", "yes") if "append-only" in scenario.name else ()
    valkey = ValkeyServer(folder / "valkey", *options)
    async with AsyncExitStack() as stack:
        stack.callback(valkey.stop)
        await asyncio.to_thread(valkey.start)
        sections = shared(folder, bao, prefix, valkey.url)
        servers = []
        for number in range(_REPLICAS):
            place = folder / f"server-{number}"
            await asyncio.to_thread(place.mkdir)
            served = Served(place, **sections)
            served.program = (str(_SKEWED),)
            servers.append(await stack.enter_async_context(served))
        stubs = [await each.as_caller(OPERATOR) for each in servers]
        await import_sandbox_key(stubs[0], "nx", NEBULAEX)
        return await run(scenario, Desk(valkey, servers), stubs)


async def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    """Run all scenarios, and write what they came to into the document."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with tempfile.TemporaryDirectory() as folder:
        table = render(asyncio.run(rows(Path(folder), SCENARIOS, _tell)))
    DOCUMENT.write_text(_TABLE.sub(lambda _: table, DOCUMENT.read_text()))


if __name__ == "__main__":
    main()
