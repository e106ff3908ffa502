"""The sliding window against an exact model: a list of all that was ever spent."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from privyseald.state.spent import SLOTS, Spent, SpentWindow
from privyseald.state.state import HIGHEST, Charge

NOW = 1_700_000_000_000
WINDOWS = st.sampled_from([1, 2, 59, 60, 61, 1_000, 3_599, 60_000, 86_400_000])


def slot_of(window_ms: int) -> int:
    """Return how long a slot is."""
    return -(-window_ms // SLOTS)


class Desk(RuleBasedStateMachine):
    """One window, and all that was spent from it. Times are exact, in milliseconds."""

    @initialize(window_ms=WINDOWS, limit=st.integers(1, 50), begin=st.integers(0, 10**6))
    def begin(self, window_ms: int, limit: int, begin: int) -> None:
        """Open an empty window."""
        self.window = SpentWindow(window_ms)
        self.limit = limit
        self.now = NOW + begin
        self.shown = self.now
        self.taken: list[tuple[int, int]] = []
        self.seen_back = -HIGHEST
        self.is_set_back = False

    def turn(self) -> None:
        """Let the window see what the clock shows."""
        self.window.turn(self.shown)
        if self.is_set_back:
            self.seen_back, self.is_set_back = self.now, False

    def in_window(self, length_ms: int) -> int:
        """Return what was spent in the time before now."""
        return sum(amount for at, amount in self.taken if self.now - at < length_ms)

    @rule(amount=st.integers(1, 60))
    def spend(self, amount: int) -> None:
        """Spend where there is room."""
        self.turn()
        wait_ms = self.window.wait_ms(amount, self.limit, self.shown)
        assert 0 <= wait_ms <= self.window.window_ms
        if wait_ms == 0:
            self.window.take(amount)
            self.taken.append((self.now, amount))
            return
        # It is refused for what was spent in the window and two slots; longer ago only where it
        # was seen in that time that a clock was set back.
        longest_ms = self.window.life_ms + 1
        if self.now - self.seen_back >= longest_ms:
            assert self.in_window(longest_ms) + amount > self.limit

    @rule(part=st.floats(0, 1.2))
    def wait(self, part: float) -> None:
        """Let time pass, up to a little more than a window."""
        passed = int(self.window.window_ms * part)
        self.now += passed
        self.shown += passed

    @rule(back_ms=st.integers(1, 10**9))
    def set_back(self, back_ms: int) -> None:
        """Set the clock back."""
        self.shown -= back_ms
        self.is_set_back = True

    @rule()
    def restart(self) -> None:
        """Go through the record."""
        self.window = SpentWindow.of_record(self.window.record(), self.window.window_ms)

    @rule()
    def wait_out(self) -> None:
        """After the life of what was spent nothing counts, whatever the clock did before."""
        self.turn()
        self.now += self.window.life_ms
        self.shown += self.window.life_ms
        assert not self.window.turn(self.shown)
        assert 0 == self.window.wait_ms(self.limit, self.limit, self.shown)

    @invariant()
    def never_more_than_the_limit(self) -> None:
        """No window of this length holds more."""
        if not hasattr(self, "window"):
            return
        for end, _ in self.taken:
            held = [amount for at, amount in self.taken if 0 <= end - at < self.window.window_ms]
            assert sum(held) <= self.limit


TestDesk = Desk.TestCase
TestDesk.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)


def test_evenly_spaced_nearly_the_whole_limit_is_given() -> None:
    """One a slot for a limit of sixty: over an hour no more than a sixtieth is lost."""
    window, taken = SpentWindow(60_000), 0
    for second in range(3_600):
        window.turn(NOW + second * 1_000)
        if window.wait_ms(1, 60, NOW + second * 1_000) == 0:
            window.take(1)
            taken += 1
    assert 3_600 * 59 // 60 <= taken <= 3_600


def test_a_clock_set_forward_and_back_blocks_no_longer_than_the_window() -> None:
    """What was spent an hour ahead counts for its window once the clock is right again."""
    window = SpentWindow(60_000)
    window.turn(NOW + 3_600_000)
    window.take(10)
    window.turn(NOW)
    assert 60_000 == window.wait_ms(1, 10, NOW)
    window.turn(NOW + window.life_ms)
    assert 0 == window.wait_ms(10, 10, NOW + window.life_ms)


def test_a_record_moves_with_the_clock() -> None:
    """Written by a clock that was set forward, it tells the same ages by that clock."""
    window = SpentWindow(60_000)
    window.turn(NOW)
    window.take(10)
    moved = SpentWindow.of_record(window.record(shift_ms=3_600_000), 60_000)
    assert moved.turn(NOW + 3_600_000 + 60_000)
    assert not moved.turn(NOW + 3_600_000 + 62_000)


def test_names_that_count_no_more_are_forgotten() -> None:
    """A hundred thousand callers who came once take no memory for ever."""
    spent = Spent()
    for number in range(100_000):
        assert None is spent.spend([Charge(str(number), 1, 1, 60)], NOW + number, look=False)
    assert len(spent.windows) <= 2_000
