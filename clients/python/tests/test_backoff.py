import pytest

from privyseal import PrivysealError
from privyseal.backoff import backoff_s, retry_wait_s

_AWAY = PrivysealError("UNAVAILABLE")


@pytest.mark.parametrize(
    ("attempt", "shortest", "longest"),
    [(1, 0.05, 0.1), (2, 0.1, 0.2), (3, 0.2, 0.4), (5, 0.8, 1.6), (6, 1, 2), (10_000, 1, 2)],
)
def test_waits_double_up_to_two_seconds(attempt: int, shortest: float, longest: float) -> None:
    """Between a half and the whole, whatever chance says."""
    assert shortest == pytest.approx(backoff_s(attempt, _AWAY, lambda: 0.0))
    assert longest == pytest.approx(backoff_s(attempt, _AWAY, lambda: 1.0))


def test_what_the_server_asks_for_is_waited() -> None:
    """RetryInfo beats the backoff, also where it is zero or, by mistake, less."""
    for asked_s, wait_s in ((3.5, 3.5), (0.0, 0.0), (-1.0, 0.0)):
        failure = PrivysealError("UNAVAILABLE", retry_after_s=asked_s)
        assert wait_s == backoff_s(1, failure)


@pytest.mark.parametrize(
    ("attempt", "failure", "left_s", "retried"),
    [
        (1, _AWAY, 10, True),
        (3, _AWAY, 10, True),
        (4, _AWAY, 10, False),
        (1, _AWAY, 0.1, False),
        (1, PrivysealError("ABORTED", "ANYTHING"), 10, True),
        (1, PrivysealError("UNAVAILABLE", "VENUE_OUTCOME_UNKNOWN"), 10, False),
        (1, PrivysealError("RESOURCE_EXHAUSTED", "OVERLOADED", retry_after_s=0.1), 10, False),
        (1, PrivysealError("UNAVAILABLE", retry_after_s=9.9), 10, True),
        (1, PrivysealError("UNAVAILABLE", retry_after_s=10), 10, False),
        (1, PrivysealError("DEADLINE_EXCEEDED"), 10, False),
    ],
)
def test_when_an_attempt_follows(
    attempt: int, failure: PrivysealError, left_s: float, retried: bool
) -> None:
    """Codes, the reason, the count and the deadline decide."""
    assert retried == (retry_wait_s(attempt, 4, failure, left_s, lambda: 1.0) is not None)
