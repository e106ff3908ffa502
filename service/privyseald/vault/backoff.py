"""How long to leave Vault alone between two logins."""

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RenewalTimes:
    """How often a login may be tried, and how often a token file is looked at."""

    first_backoff_ms: int = 500
    longest_backoff_ms: int = 30_000
    look_ms: int = 5_000


class Backoff:
    """Waits that double while events follow one another, with jitter, up to a longest one."""

    __slots__ = ("_end_ms", "_length_ms", "_times")

    def __init__(self, times: RenewalTimes) -> None:
        self._times = times
        self._length_ms = 0
        self._end_ms: int | None = None

    def wait_ms(self, now_ms: int) -> int:
        """Return how long is still to be waited."""
        return 0 if self._end_ms is None else max(0, self._end_ms - now_ms)

    def extend(self, now_ms: int) -> None:
        """Begin the next wait, a short one when the last is long over."""
        if self._end_ms is not None and now_ms - self._end_ms < self._times.longest_backoff_ms:
            self._length_ms = min(2 * self._length_ms, self._times.longest_backoff_ms)
        else:
            self._length_ms = self._times.first_backoff_ms
        jitter = random.uniform(0.75, 1.25)  # noqa: S311  # spreads replicas, guards nothing
        self._end_ms = now_ms + int(self._length_ms * jitter)
