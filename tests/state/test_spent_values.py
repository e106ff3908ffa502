"""What the embedded state keeps of what was spent, across restarts, crashes and clocks."""

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from disk import full_disk
from fakes import FakeClock
from privyseald.state.embedded import EmbeddedState
from privyseald.state.state import Charge
from service import eventually
from state_home import EmbeddedStateHome

HOUR_MS = 3_600_000
TEN = Charge("n", 10, 10, HOUR_MS)


@pytest.fixture
def clock() -> FakeClock:
    """The clock of all that is opened."""
    return FakeClock()


@pytest.fixture
def home(tmp_path: Path) -> EmbeddedStateHome:
    """Where the state is."""
    return EmbeddedStateHome(tmp_path)


async def is_free(state: EmbeddedState, charge: Charge = TEN) -> bool:
    """Whether all of it could be spent."""
    return await state.spend([charge], look=True) is None


async def is_written(state: EmbeddedState) -> None:
    """Return when what was spent is on the disk."""

    async def is_there() -> bool:
        return bool(await state.list("spent/"))

    await eventually(is_there)


@pytest.mark.parametrize("step_ms", [-HOUR_MS, 0, 2 * HOUR_MS])
async def test_a_clock_that_is_set_while_it_runs_changes_nothing(
    home: EmbeddedStateHome, clock: FakeClock, step_ms: int
) -> None:
    """Time goes by the monotonic clock, and what is written by the wall's of that moment."""
    state = home.open(clock)
    await state.spend([TEN])
    clock.step(step_ms)
    assert not await is_free(state)
    clock.advance(HOUR_MS // 2)
    await state.close()

    again = home.open(clock)
    clock.advance(HOUR_MS // 3)
    assert not await is_free(again)
    clock.advance(HOUR_MS // 6 + 2 * 60_000)
    assert await is_free(again)
    await again.close()


async def test_a_clock_set_back_across_a_restart_blocks_for_a_window_at_most(
    home: EmbeddedStateHome, clock: FakeClock
) -> None:
    """A day back: what was spent counts as fresh, and no longer than that."""
    state = home.open(clock)
    await state.spend([TEN])
    await state.close()
    clock.step(-24 * HOUR_MS)

    again = home.open(clock)
    assert not await is_free(again)
    clock.advance(HOUR_MS + 2 * 60_000)
    assert await is_free(again)
    await again.close()


async def test_time_that_passes_while_it_is_closed_counts(
    home: EmbeddedStateHome, clock: FakeClock
) -> None:
    """A server that was off for longer than the window begins with all of it."""
    state = home.open(clock)
    await state.spend([TEN])
    await state.close()
    clock.advance(HOUR_MS + 2 * 60_000)

    again = home.open(clock)
    assert await is_free(again)
    await again.close()


async def test_short_windows_are_not_written_while_it_runs(
    home: EmbeddedStateHome, clock: FakeClock
) -> None:
    """A rate a second costs the disk nothing; a budget of a minute is there after a crash."""
    state = home.open(clock)
    await state.spend([Charge("short", 1, 1, 59_999), Charge("minute", 1, 1, 60_000)])
    await is_written(state)
    home.crash(state)

    again = home.open(clock)
    assert await is_free(again, Charge("short", 1, 1, 59_999))
    assert not await is_free(again, Charge("minute", 1, 1, 60_000))
    await again.close()


async def test_a_full_disk_stops_nothing_and_is_made_up_for(
    home: EmbeddedStateHome, clock: FakeClock, tmp_path: Path
) -> None:
    """Limits hold in memory; what could not be written is written when that is possible."""
    state = home.open(clock)
    with full_disk(tmp_path / "nonces.high-water"), capture_logs() as logs:
        await state.spend([TEN])

        async def is_told() -> bool:
            return any("can't be written" in each["event"] for each in logs)

        await eventually(is_told)
        assert not await is_free(state)
    await is_written(state)
    home.crash(state)

    again = home.open(clock)
    assert not await is_free(again)
    await again.close()


async def test_what_is_no_record_is_told_and_counts_nothing(
    home: EmbeddedStateHome, clock: FakeClock
) -> None:
    """A server starts all the same."""
    state = home.open(clock)
    for number, data in enumerate((b"", b"x", b"60 1", b"3600000 " + b"0" * 16, b"\xff 1")):
        await state.put(f"spent/{number}", data)
    await state.close()

    with capture_logs() as logs:
        again = home.open(clock)
    assert 5 == sum("not readable" in each["event"] for each in logs)
    assert await is_free(again, Charge("1", 1, 1, HOUR_MS))
    await again.close()


async def test_what_is_spent_while_it_is_written_is_written_too(
    home: EmbeddedStateHome, clock: FakeClock
) -> None:
    """None is lost between two writes."""
    state = home.open(clock)
    for _ in range(10):
        await state.spend([Charge("n", 1, 10, HOUR_MS)])
        await asyncio.sleep(0.12)
    await state.close()

    again = home.open(clock)
    assert not await is_free(again, Charge("n", 1, 10, HOUR_MS))
    await again.close()
