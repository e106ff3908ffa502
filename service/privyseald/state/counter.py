"""The rule of a counter that never gives a value twice, and can be put right without that.

Adapters store it; `valkey` says the same in Lua. A value counts as given from the moment that a
step returned it.
"""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Counter:
    """Where a counter stands: it goes on above `last`.

    All values ever given lie at or below `before`, from `start` to `given` (the run that goes
    on), or from `skip_from` to `skip_to` (runs that a resync turned back from). Where a resync
    moved `last` above `given`, nothing in between was given, and another may bring it back.
    """

    last: int = 0
    given: int = 0
    start: int = 0
    before: int = 0
    skip_from: int = 0
    skip_to: int = 0

    def advance(self, floor: int, ceiling: int, gap: int) -> tuple[int, "Counter"]:
        """Return the next value and the counter behind it, unchanged if that is too high."""
        value = max(floor, self.last + 1)
        if self.skip_from <= value <= self.skip_to:
            value = self.skip_to + 1
        if value > ceiling:
            return value, self
        start, before, skip_from, skip_to = self.start, self.before, self.skip_from, self.skip_to
        if value - self.given > gap:
            start, before = value, self.given
        if value > skip_to > 0:
            # The run counts from below what it skipped: all of that has been given.
            start, skip_from, skip_to = min(start, skip_from), 0, 0
        return value, Counter(value, value, start, before, skip_from, skip_to)

    def resync(self, target: int) -> "Counter":
        """Return the counter as near to `target` as can be without giving a value again."""
        if target >= self.given:
            return replace(self, last=target)
        lowest = max(target, self.before)
        if lowest >= self.start:
            return replace(self, last=self.given)
        skip_from, skip_to = self.start, self.given
        if self.skip_to:
            skip_from, skip_to = min(skip_from, self.skip_from), max(skip_to, self.skip_to)
        return Counter(lowest, self.before, self.before, self.before, skip_from, skip_to)
