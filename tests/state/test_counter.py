from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from privyseald.state.counter import Counter
from privyseald.state.state import HIGHEST

HOUR = 3_600_000
NOW = 1_700_000_000_000
GAP = 5_000


def at(counter: Counter, *floors: int) -> tuple[list[int], Counter]:
    """Return what steps at these floors are given, and the counter behind them."""
    values = []
    for floor in floors:
        value, counter = counter.advance(floor, HIGHEST, GAP)
        values.append(value)
    return values, counter


def test_a_clock_set_forward_and_back_is_followed_after_a_resync() -> None:
    """An hour ahead and back: the next value is at the clock, and those ahead are passed over."""
    _, counter = at(Counter(), NOW, NOW + HOUR, NOW + HOUR)

    counter = counter.resync(NOW + 2_000)
    values, counter = at(counter, NOW + 2_500, NOW + 2_500, NOW + HOUR, NOW + HOUR)

    assert [NOW + 2_500, NOW + 2_501, NOW + HOUR + 2, NOW + HOUR + 3] == values


def test_a_second_time_works_as_well() -> None:
    """Each jump is undone for itself, whether above or below what an earlier one left."""
    _, counter = at(Counter(), NOW, NOW + HOUR)
    for jump in (2 * HOUR, HOUR // 2, 3 * HOUR):
        now = NOW + jump // 1_000
        _, counter = at(counter.resync(now), now, NOW + jump)

    values, _ = at(counter.resync(NOW + 19_000), NOW + 20_000, NOW + HOUR)

    assert [NOW + 20_000, NOW + 3 * HOUR + 1] == values


def test_what_may_have_been_given_is_not_come_below() -> None:
    """Within a run there is nothing to undo: the counter stays as it is."""
    _, counter = at(Counter(), *range(NOW, NOW + 20_000, GAP))

    for target in (NOW, NOW + 1, NOW + 14_999):
        assert counter == counter.resync(target)


def test_it_comes_no_lower_than_the_run_before() -> None:
    """A resync to below all that was given before the jump goes on right after that."""
    _, counter = at(Counter(), NOW, NOW, NOW + HOUR)

    values, _ = at(counter.resync(0), 0)

    assert [NOW + 2] == values


def test_a_number_that_was_too_high_is_taken_back() -> None:
    """Microseconds in place of milliseconds: nothing was given there, so another resync undoes
    it, also when values were given meanwhile.
    """
    _, counter = at(Counter(), NOW, NOW)
    wrong = counter.resync(NOW * 1_000)
    assert [NOW * 1_000 + 1] == at(wrong, NOW)[0]

    assert counter == wrong.resync(NOW)
    assert [NOW + 5] == at(wrong.resync(NOW + 4), NOW)[0]
    assert [NOW + 4] == at(at(wrong, NOW)[1].resync(NOW + 3), NOW)[0]


def test_a_resync_to_where_the_clock_is_leaves_the_jump_undoable() -> None:
    """While the clock is still wrong a resync changes nothing for the next one."""
    _, counter = at(Counter(), NOW, NOW + HOUR)
    counter = counter.resync(NOW + HOUR + 100)
    _, counter = at(counter, NOW + HOUR + 100)

    values, _ = at(counter.resync(NOW + 1_000), NOW + 1_000)

    assert [NOW + 1_001] == values


def test_a_resync_without_a_step_changes_nothing_for_the_next() -> None:
    """Coming down in several steps leads to the same place as in one."""
    _, counter = at(Counter(), NOW, NOW + HOUR)

    once = counter.resync(NOW + 10)

    assert once == counter.resync(NOW + 900).resync(NOW + 10)
    assert once == once.resync(0).resync(NOW + 10)


def test_a_value_above_the_ceiling_leaves_the_counter() -> None:
    """What is refused is told and not given."""
    _, counter = at(Counter(), NOW)

    assert (NOW + 1, counter) == counter.advance(0, NOW, GAP)


# Close enough that runs meet, with a few far ones, so that jumps and gaps do too.
Places = st.one_of(st.integers(0, 60), st.sampled_from([0, 100, 101, 500, 1_000]))


class CounterLives(RuleBasedStateMachine):
    """Steps and resyncs in any order, on a counter in memory.

    `test_marked_counter` adds crashes, at which only what is on the disk is left.
    """

    def __init__(self) -> None:
        super().__init__()
        self.counter = Counter()
        self.given: set[int] = set()

    @rule(floor=Places, room=st.integers(0, 1_000), gap=st.integers(0, 50))
    def advance(self, floor: int, room: int, gap: int) -> None:
        """Step, and see that the value is new, not below the floor, and no higher than need be."""
        value, after = self.counter.advance(floor, floor + room, gap)
        if value > floor + room:
            assert after == self.counter
            return
        assert value not in self.given
        assert value >= max(floor, self.counter.last + 1)
        assert value == after.last
        self.given.add(value)
        self.counter = after

    @rule(to=Places)
    def resync(self, to: int) -> None:
        """Resync: up always, down unless values between may have been given."""
        after = self.counter.resync(to)
        assert after.last >= to
        if after.last > to:
            # Something stands in the way: it was given, or may have been.
            assert to < max(self.counter.given, after.before)
        self.counter = after

    @rule(floor=Places, jump=st.integers(2, 1_000), gap=st.integers(0, 50))
    def jump_and_come_back(self, floor: int, jump: int, gap: int) -> None:
        """A step by more than the gap is always undone, to where the counter stood before."""
        before = self.counter
        value, after = before.advance(before.given + gap + jump + floor, HIGHEST, gap)
        assert value not in self.given
        self.given.add(value)
        self.counter = after.resync(before.given)
        assert before.given == self.counter.last

    @invariant()
    def all_that_was_given_is_covered(self) -> None:
        """The runs that the counter remembers hold every value ever given."""
        counter = self.counter
        for value in self.given:
            assert (
                value <= counter.before
                or counter.start <= value <= counter.given
                or counter.skip_from <= value <= counter.skip_to
            )


TestCounterLives = CounterLives.TestCase
TestCounterLives.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)
