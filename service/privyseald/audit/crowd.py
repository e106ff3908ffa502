"""Whether lines come so densely that it is better to let a few gather."""

from privyseald.clock import Clock

# Two RPCs a millisecond, measured over so long.
_DENSE_PER_MS, _WINDOW_MS = 2, 20


class Crowd:
    """Counts who comes. Below its bound nobody should wait for others."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since_ms = clock.monotonic_ms()
        self._count = 0
        self.is_dense = False

    def come(self) -> None:
        """Count one more."""
        self._count += 1

    def look(self) -> None:
        """See how many came since the last look, if that is long enough ago."""
        elapsed_ms = self._clock.monotonic_ms() - self._since_ms
        if elapsed_ms >= _WINDOW_MS:
            self.is_dense = self._count > _DENSE_PER_MS * elapsed_ms
            self._since_ms += elapsed_ms
            self._count = 0
