"""What is spent in a Valkey: its records, its clock, and what it forgets."""

import time
from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from clocks import SkewedClock
from privyseald.errors import Unavailable
from privyseald.state.spent import WIDTH, SpentWindow
from privyseald.state.state import Charge, State
from privyseald.state.valkey import ValkeyState
from privyseald.state_config import StateConfig
from service import eventually
from valkey_server import ValkeyServer

HOUR_MS = 3_600_000
KEY = "{privyseal}:spent:n"
TEN = Charge("n", 10, 10, HOUR_MS)


@pytest.fixture
async def state(valkey_server: ValkeyServer) -> AsyncIterator[State]:
    """One process."""
    opened = await ValkeyState.open(StateConfig(url=valkey_server.url), SkewedClock())
    yield opened
    await opened.close()


def record_of(server: ValkeyServer) -> str:
    """Return what stands there."""
    return server.command("GET", KEY).decode().splitlines()[1]


async def test_the_record_is_the_embedded_states(state: State, valkey_server: ValkeyServer) -> None:
    """Lua writes what Python reads, and goes on from what Python wrote."""
    await state.spend([Charge("n", 4, 10, HOUR_MS)])
    window = SpentWindow.of_record(record_of(valkey_server), HOUR_MS)
    assert 6 * WIDTH < len(record_of(valkey_server))
    window.take(5)
    valkey_server.command("SET", KEY, window.record())

    assert None is not await state.spend([Charge("n", 2, 10, HOUR_MS)])
    assert None is await state.spend([Charge("n", 1, 10, HOUR_MS)])


async def test_a_record_ends_by_itself(state: State, valkey_server: ValkeyServer) -> None:
    """It lives a window and two slots, and no longer."""
    await state.spend([TEN, Charge("short", 1, 1, 100)])

    left_ms = int(valkey_server.command("PTTL", KEY)[1:])
    assert HOUR_MS < left_ms <= HOUR_MS + 2 * 60_000

    async def is_gone() -> bool:
        return valkey_server.command("EXISTS", "{privyseal}:spent:short").strip() == b":0"

    await eventually(is_gone)


@pytest.mark.parametrize("ahead_ms", [120_000, 10 * HOUR_MS])
async def test_a_clock_that_was_set_back_blocks_for_a_window_at_most(
    state: State, valkey_server: ValkeyServer, ahead_ms: int
) -> None:
    """A record from the future: its ages stay, from when it is first seen."""
    window = SpentWindow(HOUR_MS)
    window.turn(time.time_ns() // 1_000_000)
    window.take(10)
    valkey_server.command("SET", KEY, window.record(shift_ms=ahead_ms))

    assert None is await state.spend([Charge("n", 1, 11, HOUR_MS)])
    slot = int(record_of(valkey_server)[:WIDTH])
    assert abs(slot - time.time_ns() // 1_000_000 // 60_000) <= 1
    short = await state.spend([Charge("n", 1, 11, HOUR_MS)])
    assert short is not None
    assert HOUR_MS - 120_000 < short.wait_ms <= HOUR_MS


async def test_a_lost_memory_has_nothing_spent_and_says_so(
    state: State, valkey_server: ValkeyServer
) -> None:
    """It is noticed with the next charge, and logged; nobody has to wait."""
    await state.spend([TEN])
    assert None is not await state.spend([TEN])

    with capture_logs() as logs:
        valkey_server.command("FLUSHALL")
        assert None is await state.spend([TEN])
    told = [each for each in logs if "restarted, moved or flushed" in each["event"]]
    assert ["warning"] == [each["log_level"] for each in told]
    assert None is not await state.spend([TEN])


async def test_another_ones_key_is_no_record(state: State, valkey_server: ValkeyServer) -> None:
    """What is no text there is an error that says so; nothing is guessed."""
    valkey_server.command("LPUSH", KEY, "x")
    with pytest.raises(Unavailable):
        await state.spend([TEN])
