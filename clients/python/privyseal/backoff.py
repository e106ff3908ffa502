"""When a call is tried again, and after how long."""

import random
import time
from collections.abc import Callable

from privyseal.errors import PrivysealError

_FIRST_S = 0.1
_LONGEST_S = 2.0

# What gRPC can't count any more is as good as this.
_FAR_S = 365 * 24 * 3600.0


def deadline_of(timeout_s: float) -> float:
    """Return the monotonic time at which a call that begins now is over."""
    return time.monotonic() + min(timeout_s, _FAR_S)


def backoff_s(
    attempt: int, failure: PrivysealError, chance: Callable[[], float] = random.random
) -> float:
    """Return how long to wait after the attempt of this number, from 1, failed: what the server
    asks for, else between a half and the whole of a time that doubles.
    """
    if failure.retry_after_s is not None:
        return max(failure.retry_after_s, 0.0)
    # Beyond a few attempts the power would only overflow.
    whole_s = min(_FIRST_S * 2.0 ** min(attempt - 1, 10), _LONGEST_S)
    return whole_s * (1 + chance()) / 2


def retry_wait_s(
    attempt: int,
    max_attempts: int,
    failure: PrivysealError,
    left_s: float,
    chance: Callable[[], float] = random.random,
) -> float | None:
    """Return how long to wait before the next attempt, or None where the failure stands."""
    if attempt >= max_attempts or not failure.is_retryable:
        return None
    wait_s = backoff_s(attempt, failure, chance)
    return wait_s if wait_s < left_s else None
