"""No value is given twice, whatever happens to the server's memory."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from clocks import SkewedClock
from hammers import Hammers
from privyseald.errors import StateUnavailable, Unavailable
from privyseald.state.state import HIGHEST, LONGEST_LEAD_MS, Step
from privyseald.state.valkey import ValkeyState
from privyseald.state_config import StateConfig
from service import eventually
from valkey_server import ValkeyServer


def now_ms() -> int:
    """Return what a right clock shows."""
    return time.time_ns() // 1_000_000


def step(lead_ms: int | None = 2_500) -> Step:
    """Return a step as the nonces of a venue with or without a window ask for it."""
    now = now_ms()
    return Step(now, HIGHEST if lead_ms is None else now + lead_ms, 500, 5_000, now, 1)


async def open_at(server: ValkeyServer) -> ValkeyState:
    """Return the state as a process of its own would have it."""
    return await ValkeyState.open(StateConfig(url=server.url), SkewedClock())


@pytest.fixture
async def states(valkey_server: ValkeyServer) -> AsyncIterator[list[ValkeyState]]:
    """Two processes."""
    opened = [await open_at(valkey_server) for _ in range(2)]
    yield opened
    for state in opened:
        await state.close()


async def settled_s(state: ValkeyState, name: str = "n") -> tuple[float, int]:
    """Return how long it takes until a step is taken, and its value."""
    began = time.monotonic()
    async with asyncio.timeout(20):
        while True:
            try:
                return time.monotonic() - began, await state.advance(name, step())
            except Unavailable:
                await asyncio.sleep(0.01)


async def test_a_new_server_gives_nothing_at_first(tmp_path: Path) -> None:
    """An empty memory could be a lost one: check says so until the time is over."""
    server = ValkeyServer(tmp_path / "new")
    server.start()
    state = await open_at(server)
    try:
        for ask in (state.check(), state.advance("n", step())):
            with pytest.raises(StateUnavailable, match="just begun") as caught:
                await ask
            assert 4_000 < (caught.value.retry_after_ms or 0) <= LONGEST_LEAD_MS
        version = await state.put("v", b"values work")
        assert version
        took_s, _ = await settled_s(state)
        await state.check()
        assert 3.5 < took_s < 6.5
    finally:
        await state.close()
        server.stop()


@pytest.mark.parametrize("loss", ["restart", "old-memory", "flush"])
async def test_what_is_lost_is_never_given_again(
    valkey_server: ValkeyServer, states: list[ValkeyState], loss: str
) -> None:
    """After a loss nothing is given for 5 s, and then only what is new, also to resyncs."""
    one, other = states
    # A counter far ahead of the clock is known to those who remember it alone.
    far = await one.advance("far", Step(now_ms() + 10**9, HIGHEST, 500, 5_000, now_ms(), 1))
    await other.advance("far", step(None))
    given = [await one.advance("n", step()) for _ in range(10)]
    valkey_server.save()
    given += [await each.advance("n", step()) for _ in range(50) for each in states]
    last_far = await one.advance("far", step(None))

    if loss == "flush":
        valkey_server.command("FLUSHALL")
    else:
        valkey_server.restart(empty=loss == "restart")

    took_s, value = await settled_s(other)
    assert 4.0 < took_s < 7.0
    given.append(value)
    given += [await each.advance("n", step()) for _ in range(50) for each in states]
    assert len(given) == len(set(given))
    assert far < last_far < await other.advance("far", step(None))
    _, lowest = await other.resync("n", 5)
    assert lowest >= given[-1] - len(given)
    assert await one.advance("n", step()) > given[-1]


async def test_a_flush_is_noticed_by_those_who_do_nothing(
    valkey_server: ValkeyServer, states: list[ValkeyState]
) -> None:
    """Who notices tells all, so that what an idle process remembers is there in time."""
    idle, busy = states
    far = await idle.advance("far", Step(now_ms() + 10**9, HIGHEST, 500, 5_000, now_ms(), 1))
    await busy.advance("n", step())

    valkey_server.command("FLUSHALL")
    with pytest.raises(StateUnavailable):
        await busy.advance("n", step())

    async def is_back() -> bool:
        return valkey_server.command("EXISTS", "{privyseal}:counter:far") == b":1\r\n"

    await eventually(is_back)
    await settled_s(busy)
    assert far + 1 == await busy.advance("far", step(None))


async def test_two_who_notice_at_once_begin_one_epoch(
    valkey_server: ValkeyServer, states: list[ValkeyState]
) -> None:
    """However many look, there is one record, and all wait for the same moment."""
    valkey_server.command("FLUSHALL")
    asked = [each.advance("n", step()) for each in states for _ in range(20)]
    refused = await asyncio.gather(*asked, return_exceptions=True)

    waits = [error.retry_after_ms or 0 for error in refused if isinstance(error, StateUnavailable)]
    assert len(asked) == len(waits)
    assert max(waits) - min(waits) < 1_000
    record = valkey_server.command("GET", "{privyseal}:epoch")
    await asyncio.sleep(1.5)  # a look of each, at least
    assert record == valkey_server.command("GET", "{privyseal}:epoch")


async def test_a_restart_that_loses_nothing_counts_as_one_that_might(
    valkey_server: ValkeyServer, states: list[ValkeyState]
) -> None:
    """Whether the last writes were saved can't be known; it is told in the log."""
    await states[0].advance("n", step())
    valkey_server.save()
    with capture_logs() as log:
        valkey_server.restart(empty=False)
        took_s, _ = await settled_s(states[0])

    assert took_s > 4.0
    assert "the shared state was restarted, moved or flushed" in [line["event"] for line in log]


async def test_many_processes_never_get_a_value_twice(valkey_server: ValkeyServer) -> None:
    """While processes with clocks seconds apart hammer a counter that runs as far ahead as it
    may, the server loses its memory again and again, once together with a process.
    """
    async with Hammers(valkey_server.url) as hammers:
        first = await hammers.start(skew_ms=2_000)
        for skew_ms in (0, -2_000):
            await hammers.start(skew_ms)
        await hammers.until_more()
        await asyncio.sleep(1)
        valkey_server.kill()
        await hammers.kill(first)
        valkey_server.start()
        await hammers.until_more()
        valkey_server.command("FLUSHALL")
        await hammers.until_more()
        valkey_server.save()
        await asyncio.sleep(0.5)
        valkey_server.restart(empty=False)
        await hammers.until_more()

    hammers.assert_never_twice()
    assert hammers.total("windowed") > 2_000


async def test_a_process_that_stood_still_across_a_restart_learns_of_it(
    valkey_server: ValkeyServer,
) -> None:
    """It takes no step in the epoch that it knew."""
    async with Hammers(valkey_server.url) as hammers:
        sleeper, other = await hammers.start(), await hammers.start()
        await hammers.until_more()
        hammers.stop(sleeper)
        valkey_server.restart()
        await hammers.until_more(other)
        await asyncio.sleep(4)
        hammers.go_on(sleeper)
        await hammers.until_more()

    hammers.assert_never_twice()
