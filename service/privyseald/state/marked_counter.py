"""A counter in memory, and what stands on the disk about it.

Whatever is written counts only when it is synced, but may stand there after a crash even if
that failed. So each record covers all values that may be given until the next one counts: those
that the record before it allows, too.
"""

from dataclasses import replace

from privyseald.state.counter import Counter
from privyseald.state.state import Step


class MarkedCounter:
    """Gives the values that the record on the disk allows, and says what to write for others."""

    __slots__ = ("exact", "written")

    def __init__(self, written: Counter | None = None) -> None:
        """Take the record that was found; all that it allows counts as given."""
        self.written = written or Counter()
        self.exact = self.written

    def advance(self, step: Step) -> tuple[int, Counter | None]:
        """Return the next value, given unless it is above the ceiling, or a record comes with
        it that has to be written first.
        """
        exact = self.exact
        value, after = exact.advance(step.floor, step.ceiling, step.gap)
        if value > step.ceiling:
            return value, None
        if self.written.start <= value <= self.written.given:
            self.exact = after
            return value, None
        return value, self._ahead(after, step.slack)

    def is_short(self, slack: int) -> bool:
        """Whether a write ahead is due, so that no step has to wait for it."""
        return self.written.given - self.exact.given < slack // 2

    def ahead(self, slack: int) -> Counter:
        """Return the record that allows `slack` more values."""
        return self._ahead(self.exact, slack)

    def resync(self, target: int) -> Counter | None:
        """Return the record to write for this resync; None when the one there suffices."""
        is_begun = self.written.start <= self.exact.given
        if not is_begun:
            # Nothing was given yet of the run that was written last, and nothing is from here on.
            self.written = self.exact
        after = self.exact.resync(target)
        if after.start == self.exact.start:
            # The run goes on, from another place.
            allowed = self.written.given
            last = max(after.last, allowed)
            if is_begun and last == max(self.written.last, allowed):
                return None
            return replace(self.exact, last=last, given=allowed)
        return replace(self.exact, last=self.written.given, given=self.written.given).resync(target)

    def take_resync(self, target: int, record: Counter | None) -> None:
        """Do the resync, now that its record counts."""
        after = self.exact.resync(target)
        if record is not None:
            self.written = record
            if after.start != self.exact.start:
                after = record
        self.exact = after

    def _ahead(self, counter: Counter, slack: int) -> Counter:
        mark = max(counter.given + slack, self.written.given)
        before = counter.before
        if counter.start > max(self.exact.given, self.written.start):
            # Until this counts, values of the run before it may yet be given.
            before = max(before, self.written.given)
        return replace(counter, last=max(counter.last, mark), given=mark, before=before)
