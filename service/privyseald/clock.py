"""The only source of time. Everything that needs the time is handed a `Clock`."""

import time
from typing import Protocol


class Clock(Protocol):
    """Wall time for venues, monotonic time for life spans."""

    def time_us(self) -> int:
        """Return Unix time in microseconds."""

    def monotonic_ms(self) -> int:
        """Return milliseconds that never go back; only differences mean anything."""

    def monotonic_us(self) -> int:
        """Return the same in microseconds, for what is measured."""


class SystemClock:
    """The machine's own clock."""

    def time_us(self) -> int:
        """Return Unix time in microseconds."""
        return time.time_ns() // 1_000

    def monotonic_ms(self) -> int:
        """Return milliseconds that never go back."""
        return time.monotonic_ns() // 1_000_000

    def monotonic_us(self) -> int:
        """Return microseconds that never go back."""
        return time.monotonic_ns() // 1_000
