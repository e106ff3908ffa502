from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from privyseald.state.counter import Counter
from privyseald.state.marked_counter import MarkedCounter
from privyseald.state.state import HIGHEST, Step

Places = st.one_of(st.integers(0, 60), st.sampled_from([0, 100, 101, 500, 1_000]))


def allows(record: Counter, value: int) -> bool:
    """Return whether a process that starts with this record counts the value as given."""
    return (
        value <= record.before
        or record.start <= value <= record.given
        or record.skip_from <= value <= record.skip_to
    )


class MarkedLives(RuleBasedStateMachine):
    """Steps, resyncs, writes that take their time, fail or half fail, and crashes, in any order.

    At most one record is under way, as `EmbeddedState` has it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.counter = MarkedCounter()
        self.given: set[int] = set()
        self.under_way: tuple[int | None, Counter] | None = None
        # What a crash may leave: the record that counts, and failed ones that stand there.
        self.found = [Counter()]

    @rule(
        floor=Places, room=st.integers(0, 2_000), slack=st.integers(0, 40), gap=st.integers(0, 60)
    )
    def advance(self, floor: int, room: int, slack: int, gap: int) -> None:
        """Take a value if the record allows one, or begin to write the next record."""
        step = Step(floor, floor + room, slack, gap, 0)
        value, record = self.counter.advance(step)
        if record is not None:
            self._begin(None, record)
        elif value <= step.ceiling:
            assert value not in self.given
            assert value >= floor
            self.given.add(value)
            if self.counter.is_short(slack):
                self._begin(None, self.counter.ahead(slack))

    @rule(to=Places)
    def resync(self, to: int) -> None:
        """Begin a resync, unless something is written."""
        if self.under_way is None:
            record = self.counter.resync(to)
            if record is None:
                self.counter.take_resync(to, None)
            else:
                self._begin(to, record)

    @rule(is_written=st.booleans())
    def finish(self, is_written: bool) -> None:
        """Let the write that is under way end, well or badly."""
        if self.under_way is None:
            return
        to, record = self.under_way
        self.under_way = None
        if not is_written:
            return
        self.found = [record]
        if to is None:
            self.counter.written = record
        else:
            self.counter.take_resync(to, record)

    @rule(data=st.data())
    def crash(self, data: st.DataObject) -> None:
        """Begin anew with any of the records that may be found."""
        record = data.draw(st.sampled_from(self.found))
        self.counter, self.found, self.under_way = MarkedCounter(record), [record], None

    @rule()
    def jump_and_come_back(self) -> None:
        """A jump above all that was written is undone, to what was given before it; unless that
        lies where an earlier resync turned back.
        """
        target = self.counter.exact.given
        if self.under_way is not None or target >= self.counter.exact.skip_from > 0:
            return
        floor = max(self.counter.written.given, self.counter.exact.skip_to) + 1_000
        floor = max(floor, self.counter.exact.last + 1)
        _, record = self.counter.advance(Step(floor, HIGHEST, 10, 500, 0))
        assert record is not None
        self.counter.written = record
        value, none = self.counter.advance(Step(floor, HIGHEST, 10, 500, 0))
        assert (none, value) == (None, floor)
        self.given.add(value)
        record = self.counter.resync(target)
        assert record is not None
        self.counter.take_resync(target, record)
        self.found = [record]
        assert target == self.counter.exact.last

    def _begin(self, to: int | None, record: Counter) -> None:
        if self.under_way is None:
            self.under_way = to, record
            self.found.append(record)

    @invariant()
    def every_record_covers_all(self) -> None:
        """Whichever record a crash leaves, nothing that was given can come again."""
        for record in self.found:
            assert record.last >= record.given
            assert all(allows(record, value) for value in self.given)


TestMarkedLives = MarkedLives.TestCase
TestMarkedLives.settings = settings(max_examples=300, stateful_step_count=50, deadline=None)


def test_a_resync_within_the_mark_needs_no_write() -> None:
    """A restart would begin above it in any case."""
    counter = MarkedCounter(Counter(100, 100, 50, 10))
    counter.written = Counter(600, 600, 50, 10)

    assert None is counter.resync(300)
    counter.take_resync(300, None)
    assert (301, None) == counter.advance(Step(0, HIGHEST, 500, 5_000, 0))


def test_a_resync_far_ahead_survives_a_crash_and_can_be_taken_back_after_it() -> None:
    """What is written says where the counter goes on, and that nothing was given there."""
    counter = MarkedCounter(Counter(100, 100, 50, 10))
    record = counter.resync(9_000_000)
    assert record is not None

    again = MarkedCounter(record)
    assert 9_000_001 == again.advance(Step(0, HIGHEST, 500, 5_000, 0))[0]
    back = again.resync(200)
    assert back is not None
    again.take_resync(200, back)
    assert 201 == again.advance(Step(0, HIGHEST, 500, 5_000, 0))[0]


def test_a_resync_that_failed_covers_what_is_given_after_it() -> None:
    """Its record may stand on the disk all the same, while the run goes on up to its mark."""
    counter = MarkedCounter(Counter(100, 100, 50, 10))
    record = counter.advance(Step(9_000, HIGHEST, 500, 5_000, 0))[1]
    assert record is not None
    counter.written = record
    assert (9_000, None) == counter.advance(Step(9_000, HIGHEST, 500, 5_000, 0))

    failed = counter.resync(200)
    assert failed is not None
    for value in range(9_001, 9_501):
        assert (value, None) == counter.advance(Step(0, HIGHEST, 500, 5_000, 0))
        assert allows(failed, value)
