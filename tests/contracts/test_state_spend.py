import asyncio
import random
import time
from dataclasses import dataclass

import pytest

from privyseald.errors import StateUnavailable
from privyseald.state.state import HIGHEST, Charge, Shortage, State
from service import eventually
from state_home import StateHome

HOUR_MS = 3_600_000


def charge(
    amount: int = 1, *, name: str = "n", limit: int = 10, window_ms: int = HOUR_MS
) -> Charge:
    """Return a charge."""
    return Charge(name, amount, limit, window_ms)


async def room(state: State, name: str = "n", limit: int = 10, window_ms: int = HOUR_MS) -> int:
    """Return how much could still be spent."""
    for amount in range(limit, 0, -1):
        if not await state.spend([charge(amount, name=name, limit=limit, window_ms=window_ms)]):
            return amount
    return 0


async def is_short(state: State, *charges: Charge) -> Shortage:
    """Return what there was no room for."""
    short = await state.spend(charges)
    assert short is not None
    assert 0 < short.wait_ms <= short.charge.window_ms
    return short


async def test_a_limit_is_spent_to_the_last(state_home: StateHome) -> None:
    """What fits is taken, exactly up to the limit; what does not fit takes nothing."""
    state = await state_home.start()

    assert None is await state.spend([charge(7)])
    assert charge(4) == (await is_short(state, charge(4))).charge
    assert None is await state.spend([charge(3)])
    await is_short(state, charge(1))
    await state.close()


async def test_a_charge_above_the_limit_never_fits(state_home: StateHome) -> None:
    """It is refused also where nothing is spent, for as long as the window."""
    state = await state_home.start()

    assert Shortage(charge(11), HOUR_MS) == await is_short(state, charge(11))
    assert None is await state.spend([charge(10)])
    await state.close()


async def test_names_have_nothing_in_common(state_home: StateHome) -> None:
    """Each name has its own sum, and is no counter's and no value's."""
    state = await state_home.start()
    await state.put("n", b"value")

    assert None is await state.spend([charge(10)])
    assert None is await state.spend([charge(10, name="other")])
    assert b"value" == (await state.get("n") or pytest.fail("gone")).data
    await state.close()


async def test_all_are_taken_or_none(state_home: StateHome) -> None:
    """Where one of several is short, nothing is taken from the others; that one is told."""
    state = await state_home.start()
    tight = charge(1, name="tight", limit=1)

    assert None is await state.spend([charge(4), tight])
    assert tight == (await is_short(state, charge(4), tight)).charge
    assert tight == (await is_short(state, tight, charge(4))).charge
    assert 6 == await room(state)
    await state.close()


async def test_of_several_that_are_short_the_longest_wait_is_told(state_home: StateHome) -> None:
    """Who waits so long need not come in vain for another."""
    state = await state_home.start()
    minute = charge(1, name="minute", limit=1, window_ms=60_000)
    hour = charge(1, name="hour", limit=1)

    assert None is await state.spend([hour, minute])
    for order in ([hour, minute], [minute, hour]):
        short = await is_short(state, *order)
        assert (hour, True) == (short.charge, short.wait_ms > HOUR_MS - 120_000)
    await state.close()


async def test_a_look_takes_nothing(state_home: StateHome) -> None:
    """It tells what spending would, again and again."""
    state = await state_home.start()

    for _ in range(3):
        assert None is await state.spend([charge(10)], look=True)
    assert None is await state.spend([charge(9)])
    looked = await state.spend([charge(2)], look=True)
    assert looked is not None
    assert charge(2) == looked.charge
    assert 1 == await room(state)
    await state.close()


async def test_the_highest_numbers_are_exact(state_home: StateHome) -> None:
    """Up to 2^53 - 1, one more or less is seen."""
    state = await state_home.start()

    assert None is await state.spend([charge(HIGHEST - 1, limit=HIGHEST)])
    await is_short(state, charge(2, limit=HIGHEST))
    await is_short(state, charge(HIGHEST, limit=HIGHEST))
    assert None is await state.spend([charge(1, limit=HIGHEST)])
    await is_short(state, charge(1, limit=HIGHEST))
    await state.close()


async def test_a_limit_may_change(state_home: StateHome) -> None:
    """What was spent stays spent: a higher limit gives what is above, a lower one nothing."""
    state = await state_home.start()
    await state.spend([charge(10)])

    await is_short(state, charge(1, limit=5))
    assert None is await state.spend([charge(2, limit=12)])
    await is_short(state, charge(1, limit=12))
    await state.close()


@pytest.mark.parametrize("window_ms", [1, 59, 60, 61, 100, 31 * 24 * HOUR_MS])
async def test_windows_of_all_lengths_hold(state_home: StateHome, window_ms: int) -> None:
    """From a millisecond to a month."""
    state = await state_home.start()

    assert None is await state.spend([charge(3, limit=3, window_ms=window_ms)])

    async def is_free() -> bool:
        return await state.spend([charge(3, limit=3, window_ms=window_ms)]) is None

    if window_ms < 1_000:
        await eventually(is_free)
    else:
        await is_short(state, charge(1, limit=3, window_ms=window_ms))
    await state.close()


@dataclass(frozen=True)
class Spending:
    """An amount that was taken between two moments, in monotonic seconds."""

    amount: int
    began: float
    ended: float


async def test_no_window_holds_more_than_the_limit(state_home: StateHome) -> None:
    """Whoever spends, at whatever moments: never more than the limit in any 250 ms. And never
    refused but where that much was spent in the last 250 ms and two slots.
    """
    state, window_ms, limit = await state_home.start(), 250, 20
    taken: list[Spending] = []
    refused: list[Spending] = []

    async def spend(chance: random.Random) -> None:
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            amount, began = chance.randint(1, 9), time.monotonic()
            short = await state.spend([charge(amount, limit=limit, window_ms=window_ms)])
            (refused if short else taken).append(Spending(amount, began, time.monotonic()))
            await asyncio.sleep(chance.random() * 0.02)

    await asyncio.gather(*(spend(random.Random(seed)) for seed in range(4)))  # noqa: S311  # no secret

    for last in taken:
        surely = [each for each in taken if 0 <= last.ended - each.began < window_ms / 1_000]
        within = [each for each in surely if each.ended <= last.ended]
        assert sum(each.amount for each in within) <= limit
    slots = 2 * (window_ms / 60 + 1)
    for each in refused:
        begin = each.began - (window_ms + slots) / 1_000
        before = sum(one.amount for one in taken if begin <= one.ended and one.began <= each.ended)
        assert before + each.amount > limit
    assert sum(each.amount for each in taken) > 4 * limit
    assert refused
    await state.close()


async def test_who_waits_as_told_is_served(state_home: StateHome) -> None:
    """The wait that is told suffices, and is no longer than the window."""
    state = await state_home.start()
    small = charge(10, window_ms=200)
    await state.spend([small])

    short = await is_short(state, small)
    await asyncio.sleep(short.wait_ms / 1_000)
    late = await state.spend([small])
    if late is not None:
        # The window is shorter than the slots that it touches.
        assert late.wait_ms <= 8
        await asyncio.sleep(late.wait_ms / 1_000)
        assert None is await state.spend([small])
    await state.close()


async def test_concurrent_callers_share_a_limit(state_home: StateHome) -> None:
    """Of many that come at once as many are served as there is room for."""
    state = await state_home.start()

    answers = await asyncio.gather(
        *(state.spend([charge(1, limit=37), charge(2, name="m", limit=1_000)]) for _ in range(200))
    )

    assert 37 == answers.count(None)
    assert 1_000 - 2 * 37 == await room(state, "m", 1_000)
    await state.close()


async def test_an_orderly_restart_forgets_nothing(state_home: StateHome) -> None:
    """What was spent a moment before still counts, however short its window."""
    state = await state_home.start()
    for window_ms in (30_000, HOUR_MS):
        await state.spend([charge(8, name=str(window_ms), window_ms=window_ms)])
    await state.close()

    again = await state_home.start()
    for window_ms in (30_000, HOUR_MS):
        assert 2 == await room(again, str(window_ms), window_ms=window_ms)
    await again.close()


async def test_a_crash_takes_the_last_seconds_at_most(state_home: StateHome) -> None:
    """Of a window of a minute and more, what was spent two seconds ago is known again."""
    state = await state_home.start()
    await state.spend([charge(8)])
    await asyncio.sleep(2)
    await state_home.kill(state)

    again = await state_home.start()
    assert 2 == await room(again)
    await again.close()


async def test_a_closed_state_spends_nothing(state_home: StateHome) -> None:
    """It says that it is not there."""
    state = await state_home.start()
    await state.close()

    with pytest.raises(StateUnavailable):
        await state.spend([charge()])
