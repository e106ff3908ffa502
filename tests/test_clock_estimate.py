from hypothesis import given
from hypothesis import strategies as st

from privyseald.clock_estimate import Bounds, ClockEstimate, read_clock

MS = 1_000
S = 1_000_000


def test_a_reading_leaves_what_grain_and_wait_leave() -> None:
    """A second's grain and 200 ms of wait: the truth lies in 1.2 s, the guess in their middle."""
    bounds = read_clock(10 * S, S, 8 * S, 200 * MS)

    assert Bounds(2 * S, 3 * S + 200 * MS) == bounds
    assert 2_600 * MS == bounds.middle_us
    assert 600 * MS == bounds.error_us


def test_readings_at_other_fractions_of_the_second_narrow_it() -> None:
    """A clock 300 ms ahead that tells whole seconds, read as its second is thought to turn: each
    reading halves the error.
    """
    estimate, ours_us, errors_ms = ClockEstimate(), 5 * S + 123, []
    for _ in range(6):
        theirs_us = (ours_us + 300 * MS) // S * S
        bounds = estimate.add(read_clock(theirs_us, S, ours_us, 0), ours_us // MS)
        errors_ms.append(bounds.error_us // MS)
        assert abs(bounds.middle_us - 300 * MS) <= bounds.error_us
        ours_us += S
        ours_us += -(ours_us + bounds.middle_us) % S

    assert [500, 250, 125, 62, 31, 15] == errors_ms
    assert 6 == estimate.count


def test_a_reading_that_contradicts_the_others_stands_alone() -> None:
    """One of the clocks was set: what was known before is of no use."""
    estimate = ClockEstimate()
    for second in range(8):
        estimate.add(Bounds(10 * MS, 20 * MS), second * 1_000)
    assert 8 == estimate.count

    assert Bounds(3 * S, 3 * S + MS) == estimate.add(Bounds(3 * S, 3 * S + MS), 9_000)
    assert 1 == estimate.count


def test_what_was_read_long_ago_says_less() -> None:
    """A minute of drift takes 6 ms off what a reading says."""
    estimate = ClockEstimate()
    assert estimate.bounds(0) is None
    estimate.add(Bounds(0, MS), 0)

    assert Bounds(0, MS) == estimate.bounds(0)
    assert Bounds(-6 * MS, 7 * MS) == estimate.bounds(60_000)


@given(
    offset_us=st.integers(-5 * S, 5 * S),
    drift_ppm=st.integers(-90, 90),
    readings=st.lists(
        st.tuples(
            st.integers(0, 120 * S),  # since the reading before
            st.sampled_from([MS, S]),
            st.integers(0, 2 * S),  # there
            st.integers(0, 2 * S),  # and back
        ),
        min_size=1,
        max_size=20,
    ),
)
def test_the_truth_is_never_out_of_bounds(
    offset_us: int, drift_ppm: int, readings: list[tuple[int, int, int, int]]
) -> None:
    """Whatever the way there and back take, and however the clocks drift, the true offset lies
    within the bounds.
    """
    estimate, ours_us, began_us = ClockEstimate(), 100 * S, 100 * S
    for pause_us, grain_us, there_us, back_us in readings:
        ours_us += pause_us + there_us
        truth_us = offset_us + (ours_us - began_us) * drift_ppm // S
        shown_us = (ours_us + truth_us) // grain_us * grain_us
        ours_us += back_us
        bounds = estimate.add(
            read_clock(shown_us, grain_us, ours_us, there_us + back_us), ours_us // MS
        )
        truth_us = offset_us + (ours_us - began_us) * drift_ppm // S

        # 4 s of one reading's wait drift by less than a millisecond.
        assert bounds.low_us - MS <= truth_us <= bounds.high_us + MS
