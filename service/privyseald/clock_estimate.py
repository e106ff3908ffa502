"""By how much another clock is ahead of ours, from several coarse readings of it."""

from collections import deque
from dataclasses import dataclass

_KEPT = 8
# Two ordinary clocks drift apart by less than one part in so many.
_DRIFT = 10_000


@dataclass(frozen=True, slots=True)
class Bounds:
    """The other clock is ahead of ours by something between, in microseconds."""

    low_us: int
    high_us: int

    @property
    def middle_us(self) -> int:
        """The best guess."""
        return (self.low_us + self.high_us) // 2

    @property
    def error_us(self) -> int:
        """How wrong the best guess can be."""
        return (self.high_us - self.low_us + 1) // 2

    def widened(self, by_us: int) -> "Bounds":
        """Return the bounds that are as sure after a drift."""
        return Bounds(self.low_us - by_us, self.high_us + by_us)

    def narrowed(self, other: "Bounds") -> "Bounds | None":
        """Return what both leave possible, None where they contradict each other."""
        low_us, high_us = max(self.low_us, other.low_us), min(self.high_us, other.high_us)
        return Bounds(low_us, high_us) if low_us <= high_us else None


def read_clock(time_us: int, grain_us: int, received_us: int, wait_us: int) -> Bounds:
    """Return what one reading says: the other clock showed `time_us`, or less than a grain more,
    at some moment of the wait before `received_us` of our clock.
    """
    return Bounds(time_us - received_us, time_us + grain_us - received_us + wait_us)


class ClockEstimate:
    """What the last readings leave possible together.

    A reading in whole seconds says little, but each at another fraction of the second cuts
    something off. One that contradicts the others means that a clock was set: it stands alone.
    """

    def __init__(self) -> None:
        self._readings: deque[tuple[Bounds, int]] = deque(maxlen=_KEPT)

    def add(self, reading: Bounds, now_ms: int) -> Bounds:
        """Take a reading at a moment of the monotonic clock; return what is possible now."""
        known = self.bounds(now_ms)
        if known is None or known.narrowed(reading) is None:
            self._readings.clear()
        self._readings.append((reading, now_ms))
        return self.bounds(now_ms) or reading

    def bounds(self, now_ms: int) -> Bounds | None:
        """Return what is possible at a moment; None where there was no reading."""
        known: Bounds | None = None
        for reading, at_ms in self._readings:
            aged = reading.widened((now_ms - at_ms) * 1_000 // _DRIFT)
            known = aged if known is None else known.narrowed(aged) or aged
        return known

    @property
    def count(self) -> int:
        """How many readings agree, of the last eight."""
        return len(self._readings)
