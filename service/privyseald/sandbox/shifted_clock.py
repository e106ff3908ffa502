"""The venues' clock: the one that the sandbox is given, moved by hand."""

from privyseald.clock import Clock


class ShiftedClock:
    """A clock that runs beside another, `offset_ms` ahead of it (behind, when negative)."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.offset_ms = 0

    def time_us(self) -> int:
        """Return Unix time in microseconds, as the venues see it."""
        return self._clock.time_us() + self.offset_ms * 1_000
