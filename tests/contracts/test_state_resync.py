import asyncio
from dataclasses import replace

from privyseald.state.state import HIGHEST, State
from state_home import StateHome, step_of

HOUR = 3_600_000
NOW = 1_700_000_000_000


async def step(state: State, floor: int, name: str = "n") -> int:
    """Advance as a nonce in milliseconds does: a jump of more than five seconds is a new run."""
    return await state.advance(name, replace(step_of(floor), gap=5_000))


async def test_a_clock_set_forward_and_back_is_followed(state_home: StateHome) -> None:
    """An hour forward, then back: after the resync the next value is at the clock, and those
    that were given an hour ahead are passed over when the clock comes there.
    """
    state = await state_home.start()
    await step(state, NOW)
    ahead = [await step(state, NOW + HOUR) for _ in range(3)]

    assert (ahead[-1], NOW + 1_000) == await state.resync("n", NOW + 1_000)
    assert NOW + 1_001 == await step(state, NOW + 1_000)
    assert NOW + 2_000 == await step(state, NOW + 2_000)
    for _ in range(10):
        assert await step(state, NOW + HOUR) > ahead[-1]
    await state.close()


async def test_a_resync_within_a_run_changes_nothing(state_home: StateHome) -> None:
    """Values in between may have been given: the counter stays."""
    state = await state_home.start()
    for floor in range(NOW, NOW + 20_000, 1_000):
        last = await step(state, floor)

    assert (last, last) == await state.resync("n", NOW + 5_000)
    assert last + 1 == await step(state, NOW + 5_000)
    await state.close()


async def test_a_resync_upward_is_followed(state_home: StateHome) -> None:
    """A number that the venue has seen: the next one is above it."""
    state = await state_home.start()
    last = await step(state, NOW)

    assert (last, NOW + HOUR) == await state.resync("n", NOW + HOUR)
    assert NOW + HOUR + 1 == await step(state, NOW)
    await state.close()


async def test_a_resync_upward_is_taken_back(state_home: StateHome) -> None:
    """Microseconds in the place of milliseconds: before a value is given there, and after."""
    state = await state_home.start()
    last = await step(state, NOW)

    await state.resync("n", NOW * 1_000)
    assert (NOW * 1_000, NOW + 10) == await state.resync("n", NOW + 10)
    await state.resync("n", NOW * 1_000)
    wrong = await step(state, NOW)
    assert (wrong, NOW + 10) == await state.resync("n", NOW + 10)

    assert last < NOW + 11 == await step(state, NOW)
    await state.close()


async def test_a_counter_that_never_gave_anything_takes_a_resync(state_home: StateHome) -> None:
    """It is at 0, and goes on from where it is told to."""
    state = await state_home.start()

    assert (0, NOW) == await state.resync("n", NOW)
    assert (NOW, 5) == await state.resync("n", 5)
    assert 6 == await step(state, 0)
    await state.close()


async def test_a_resync_knows_its_name_alone(state_home: StateHome) -> None:
    """Another counter stays where it is."""
    state = await state_home.start()
    last = await step(state, NOW, "other")
    await step(state, NOW)

    await state.resync("n", NOW + HOUR)

    assert last + 1 == await step(state, NOW, "other")
    await state.close()


async def test_a_resync_outlives_a_crash(state_home: StateHome) -> None:
    """What it answered holds for the next process, and so does what it must not come below."""
    state = await state_home.start()
    await step(state, NOW)
    ahead = await step(state, NOW + HOUR)
    await state.resync("n", NOW + 1_000)
    await state_home.kill(state)

    again = await state_home.start()
    value = await step(again, NOW + 1_000)
    assert NOW + 1_000 < value <= NOW + 1_501
    await state_home.kill(again)

    last = await state_home.start()
    assert NOW + 20_000 == await step(last, NOW + 20_000)
    assert await step(last, NOW + HOUR) > ahead
    await last.close()


async def test_a_jump_is_undone_after_a_crash(state_home: StateHome) -> None:
    """The next process remembers where the run began."""
    state = await state_home.start()
    last = await step(state, NOW)
    await step(state, NOW + HOUR)
    await state_home.kill(state)

    again = await state_home.start()
    _, after = await again.resync("n", NOW + 1_000)

    assert NOW + 1_000 == after
    assert last < NOW + 1_001 == await step(again, NOW)
    await again.close()


async def test_values_stay_different_while_resyncs_go_on(state_home: StateHome) -> None:
    """Steps at two clocks and resyncs to both, all at once, repeat nothing."""
    state = await state_home.start()
    values: list[int] = []

    async def advance(clock: int) -> None:
        values.extend([await step(state, clock) for _ in range(50)])

    async def resync(clock: int) -> None:
        for _ in range(50):
            await state.resync("n", clock)

    clocks = (NOW, NOW + HOUR, NOW + HOUR // 2)
    await asyncio.gather(*map(advance, clocks), *map(resync, clocks))

    assert 150 == len(values) == len(set(values))
    assert max(values) < HIGHEST
    await state.close()
