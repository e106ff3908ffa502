"""A million nonces of one key, taken by four processes at once from one real Valkey.

Prints a table, and fails where a nonce came twice or where a process, or one of the tasks in it,
saw them go down. With `--state` it uses a Valkey that runs; else it starts one on loopback.
Bounded in count, and ends by itself.
"""

import argparse
import asyncio
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Self

import uvloop

from privyseald.clock import SystemClock
from privyseald.errors import StateUnavailable
from privyseald.key import Key, KeyState
from privyseald.nonces import NonceSource
from privyseald.open_state import open_state
from privyseald.state_config import StateConfig
from privyseald.venues.venue import NonceOrder, NoncePolicy, NonceUnit
from processes import free_port, valkey

KEY = Key("bench", "bench", "production", "hmac-sha512", "bench", KeyState.ENABLED, 1, 0, 0)
# The first can only count on, a thousand a second and more; the second follows the clock.
POLICIES = {
    "ms, increasing, no window": NoncePolicy(NonceUnit.MS, NonceOrder.INCREASING, None),
    "us, unique, 10 s": NoncePolicy(NonceUnit.US, NonceOrder.UNIQUE, 10_000),
}
_LANES = 64
_LONGEST_S = 600
# A Valkey that has just been started gives nothing for as long.
_YOUNG_S = 10


@dataclass(frozen=True)
class Told:
    """What a process tells of its work."""

    is_rising: bool
    wait_us: list[int]
    cpu_s: float


async def _settled(state_url: str) -> NonceSource:
    state = await open_state(StateConfig(url=state_url), SystemClock())
    end_s = time.monotonic() + _YOUNG_S
    while True:
        try:
            await state.check()
        except StateUnavailable:
            if time.monotonic() > end_s:
                raise
            await asyncio.sleep(0.05)
        else:
            return NonceSource(state, SystemClock())


async def _take(state_url: str, policy: NoncePolicy, count: int, file: Path) -> None:
    """Take nonces as one process, as soon as a line arrives; write them in the order in which
    they came.
    """
    nonces = await _settled(state_url)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.readline)
    taken, waits_us, left, falls = array("Q"), array("L"), count, 0

    async def lane() -> None:
        nonlocal left, falls
        last = 0
        while left > 0:
            left -= 1
            began_ns = time.perf_counter_ns()
            nonce = (await nonces.reserve(KEY, policy)).nonce or 0
            waits_us.append((time.perf_counter_ns() - began_ns) // 1_000)
            taken.append(nonce)
            falls += nonce <= last
            last = nonce

    await asyncio.gather(*(lane() for _ in range(_LANES)))
    with file.open("wb") as out:
        taken.tofile(out)
    rises = falls == 0 and all(one < after for one, after in pairwise(taken))
    used = resource.getrusage(resource.RUSAGE_SELF)
    sample = sorted(waits_us)[:: max(1, len(waits_us) // 1_000)]
    told = Told(rises, sample, used.ru_utime + used.ru_stime)
    sys.stdout.write(json.dumps(asdict(told)) + "\n")


@contextmanager
def _state(url: str) -> Iterator[str]:
    if url:
        yield url
        return
    port = free_port()
    with tempfile.TemporaryDirectory() as folder, valkey(port, Path(folder)):
        yield f"valkey://127.0.0.1:{port}/0"


class _Process:
    """A process that takes nonces once it is told to."""

    def __init__(self, state_url: str, name: str, count: int, file: Path) -> None:
        self._file = file
        arguments = ("--take", name, "--state", state_url, "--nonces", f"{count}")
        self._process = subprocess.Popen(
            [sys.executable, __file__, *arguments, "--file", f"{file}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def get_ready(self) -> None:
        """Return once it waits for the word."""
        if self._process.stdout is None or not self._process.stdout.readline():
            raise SystemExit("a process of the benchmark did not start")

    def go(self) -> None:
        """Give the word."""
        if self._process.stdin is not None:
            self._process.stdin.write("go\n")
            self._process.stdin.flush()

    def told(self) -> Told:
        """Return what it tells at its end."""
        return Told(**json.loads(self._process.communicate(timeout=_LONGEST_S)[0]))

    def taken(self) -> list[int]:
        """Return its nonces, in the order in which they came."""
        nonces = array("Q")
        nonces.frombytes(self._file.read_bytes())
        return nonces.tolist()


def _run(state_url: str, name: str, count: int, processes: int) -> tuple[list[str], bool]:
    """Return the row of a policy, and whether all was right."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        crew = [
            stack.enter_context(_Process(state_url, name, count // processes, folder / f"{number}"))
            for number in range(processes)
        ]
        for process in crew:
            process.get_ready()
        began_s = time.monotonic()
        for process in crew:
            process.go()
        told = [process.told() for process in crew]
        seconds = time.monotonic() - began_s
        given = [nonce for process in crew for nonce in process.taken()]
    duplicates = len(given) - len(set(given))
    falling = sum(not each.is_rising for each in told)
    waits_us = [wait for each in told for wait in each.wait_us]
    cents = statistics.quantiles(waits_us, n=100)
    row = [
        name,
        f"{len(given):,}",
        f"{processes}",
        f"{seconds:.1f}",
        f"{len(given) / seconds:,.0f}",
        f"{cents[49] / 1_000:.2f}",
        f"{cents[98] / 1_000:.2f}",
        f"{1e6 * sum(each.cpu_s for each in told) / len(given):.0f}",
        f"{duplicates}",
        f"{falling}",
    ]
    is_right = not duplicates and not falling and len(given) == count // processes * processes
    return row, is_right


def main() -> None:
    """Run as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nonces", type=int, default=1_000_000)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--state", default="", help="the URL of a Valkey that runs")
    parser.add_argument("--take", default="", help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.take:
        uvloop.run(_take(asked.state, POLICIES[asked.take], asked.nonces, asked.file))
        return
    print("| nonces | taken | processes | s | a second | p50 ms | p99 ms | CPU us | twice | down |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    is_right = True
    with _state(asked.state) as state_url:
        for name in POLICIES:
            row, is_so = _run(state_url, name, asked.nonces, asked.processes)
            print(f"| {' | '.join(row)} |", flush=True)
            is_right = is_right and is_so
    if not is_right:
        raise SystemExit("a nonce came twice, went down or is missing")


if __name__ == "__main__":
    main()
