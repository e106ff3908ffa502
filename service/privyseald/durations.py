"""How long things took, counted in buckets: cheap enough for every request."""

from bisect import bisect_left

# From 100 us, in microseconds; what is longer than the last one is in a bucket without an end.
BOUNDS_US = (
    100,
    250,
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    30_000_000,
)


class Durations:
    """How many there were in each bucket, and how long all took together."""

    __slots__ = ("counts", "sum_us")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_US) + 1)
        self.sum_us = 0

    def add(self, duration_us: int) -> None:
        """Count one more."""
        self.counts[bisect_left(BOUNDS_US, duration_us)] += 1
        self.sum_us += duration_us
