"""Clocks that run, but not as they should."""

from privyseald.clock import SystemClock


class SkewedClock(SystemClock):
    """The machine's clock, early or late by as many milliseconds as are set."""

    def __init__(self, skew_ms: int = 0) -> None:
        self.skew_ms = skew_ms

    def time_us(self) -> int:
        """Return Unix time in microseconds, as this clock believes it to be."""
        return super().time_us() + self.skew_ms * 1_000
