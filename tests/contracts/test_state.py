import asyncio

import pytest

from privyseald.errors import StateUnavailable
from privyseald.state.state import HIGHEST, State
from state_home import StateHome, step_of

SLACK = 500


async def step(state: State, floor: int, name: str = "n", ceiling: int = HIGHEST) -> int:
    """Advance by the test's usual slack."""
    return await state.advance(name, step_of(floor, ceiling, SLACK))


async def test_the_floor_counts_where_it_is_higher(state_home: StateHome) -> None:
    """A counter follows its floor, the clock, as long as that runs ahead."""
    state = await state_home.start()

    assert [1_000, 2_000, 9_000] == [await step(state, floor) for floor in (1_000, 2_000, 9_000)]

    await state.close()


async def test_the_last_value_counts_where_the_floor_is_lower(state_home: StateHome) -> None:
    """A clock that stands still or goes back leads to the next value, never to an old one."""
    state = await state_home.start()
    await step(state, 1_000)

    assert [1_001, 1_002, 1_003] == [await step(state, floor) for floor in (1_000, 1, 0)]

    await state.close()


async def test_counters_know_nothing_of_one_another(state_home: StateHome) -> None:
    """Each name has a counter of its own."""
    state = await state_home.start()
    await step(state, 9_000, "one")

    assert 5 == await step(state, 5, "other")

    await state.close()


async def test_a_value_above_the_ceiling_leaves_the_counter(state_home: StateHome) -> None:
    """What is refused is told, again and again the same, and pushes nothing further."""
    state = await state_home.start()
    await step(state, 1_000)

    assert [1_001] * 3 == [await step(state, 10, ceiling=1_000) for _ in range(3)]
    assert 1_001 == await step(state, 10, ceiling=1_001)

    await state.close()


async def test_a_ceiling_holds_for_callers_at_the_same_time(state_home: StateHome) -> None:
    """However many come at once, no more pass than there is room for."""
    state = await state_home.start()

    answers = await asyncio.gather(*(step(state, 1_000, ceiling=1_099) for _ in range(500)))

    assert list(range(1_000, 1_100)) == sorted(answer for answer in answers if answer <= 1_099)
    assert {1_100} == {answer for answer in answers if answer > 1_099}
    await state.close()


async def test_callers_at_the_same_time_get_different_values(state_home: StateHome) -> None:
    """5,000 concurrent steps with one floor answer 5,000 values in a row."""
    state = await state_home.start()

    answers = await asyncio.gather(*(step(state, 1_000) for _ in range(5_000)))

    assert list(range(1_000, 6_000)) == sorted(answers)
    await state.close()


async def test_an_orderly_restart_skips_nothing(state_home: StateHome) -> None:
    """After `close`, the counter goes on exactly where it was."""
    state = await state_home.start()
    last = [await step(state, 1_000) for _ in range(700)][-1]
    await state.close()

    again = await state_home.start()

    assert last + 1 == await step(again, 0)
    await again.close()


async def test_a_crash_repeats_nothing(state_home: StateHome) -> None:
    """After a crash the next value is new, and at most the slack above what it had to be."""
    for _ in range(5):
        state = await state_home.start()
        last = [await step(state, 1_000) for _ in range(300)][-1]
        await asyncio.sleep(0.01)
        await state_home.kill(state)

        again = await state_home.start()
        next_value = await step(again, 0)
        await state_home.kill(again)

        assert last < next_value <= last + 1 + SLACK


@pytest.mark.parametrize("slack", [0, 1, 2])
async def test_small_slacks_work(state_home: StateHome, slack: int) -> None:
    """Without room to write ahead each step is written by itself."""
    state = await state_home.start()

    answers = [await state.advance("n", step_of(10, HIGHEST, slack)) for _ in range(5)]
    await state_home.kill(state)

    assert [10, 11, 12, 13, 14] == answers
    again = await state_home.start()
    assert 15 <= await step(again, 0) <= 15 + slack
    await again.close()


async def test_large_values_are_exact(state_home: StateHome) -> None:
    """Up to HIGHEST no digit is lost, in memory or on disk."""
    state = await state_home.start()
    assert HIGHEST - 1 == await step(state, HIGHEST - 1)
    assert HIGHEST == await step(state, 0)
    assert HIGHEST < await step(state, 0)
    await state.close()

    again = await state_home.start()

    assert HIGHEST + 1 == await step(again, 0)
    await again.close()


@pytest.mark.parametrize(
    "name", ["a b", "a\nb 9999", "100%", "%0A", "tab\t", "Ω/ä", "x" * 5_000, "0", "{}[]"]
)
async def test_any_name_survives_a_restart(state_home: StateHome, name: str) -> None:
    """A name may hold anything: it neither damages the state nor meets another name."""
    state = await state_home.start()
    await step(state, 1_000, name)
    await step(state, 7, "b")
    await state.close()

    again = await state_home.start()

    assert [1_001, 8] == [await step(again, 0, name), await step(again, 0, "b")]
    await again.close()


async def test_a_closed_state_gives_nothing(state_home: StateHome) -> None:
    """After `close` a second one is harmless, and no value is given, old name or new."""
    state = await state_home.start()
    await step(state, 1_000)
    await asyncio.gather(state.close(), state.close())
    await state.close()

    for name in ("n", "new"):
        with pytest.raises(StateUnavailable):
            await step(state, 0, name)


async def test_closing_leaves_callers_with_a_clear_answer(state_home: StateHome) -> None:
    """A step that a close overtakes is refused or answered; what was answered stays spent."""
    state = await state_home.start()
    steps = [asyncio.ensure_future(step(state, 1_000, f"n{index % 7}")) for index in range(200)]
    await asyncio.sleep(0)
    await state.close()
    answers = await asyncio.gather(*steps, return_exceptions=True)

    again = await state_home.start()
    assert all(isinstance(answer, int | StateUnavailable) for answer in answers)
    for index in range(7):
        given = [answer for answer in answers[index::7] if isinstance(answer, int)]
        assert len(set(given)) == len(given)
        assert await step(again, 0, f"n{index}") > max(given, default=0)
    await again.close()


async def test_a_caller_who_goes_away_disturbs_nobody(state_home: StateHome) -> None:
    """Cancelling waiting callers, the first one too, neither stops nor repeats the others."""
    state = await state_home.start()
    steps = [asyncio.ensure_future(step(state, 1_000)) for _ in range(100)]
    await asyncio.sleep(0)
    for each in steps[:50]:
        each.cancel()
    answers = await asyncio.gather(*steps, return_exceptions=True)

    assert list(range(1_000, 1_050)) == sorted(answers[50:], key=repr)
    assert {asyncio.CancelledError} == {type(answer) for answer in answers[:50]}
    await state.close()
