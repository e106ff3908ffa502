import asyncio
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import NOW_MS, FakeClock
from privyseald.errors import NonceAhead, StateUnavailable
from privyseald.key import Key, KeyState
from privyseald.nonces import NonceSource, Numbers
from privyseald.state.embedded import EmbeddedState
from privyseald.state.state import LONGEST_LEAD_MS
from privyseald.venues.venue import Moment, NonceOrder, NoncePolicy, NonceUnit
from state_home import EmbeddedStateHome

KEY = Key("desk-1", "whitebit", "production", "hmac-sha512", "public", KeyState.ENABLED, 1, 0, 0)
HOUR_MS = 3_600_000
WINDOW_MS = 5_000
MS = NoncePolicy(NonceUnit.MS, NonceOrder.INCREASING, WINDOW_MS)
US = NoncePolicy(NonceUnit.US, NonceOrder.UNIQUE, WINDOW_MS)
UNBOUNDED = NoncePolicy(NonceUnit.MS, NonceOrder.INCREASING, None)


async def nonce_of(nonces: NonceSource, policy: NoncePolicy = MS, key: Key = KEY) -> int:
    """Return the next nonce."""
    moment = await nonces.reserve(key, policy)
    assert moment.nonce is not None
    return moment.nonce


async def test_without_a_policy_there_is_the_time_and_no_nonce(tmp_path: Path) -> None:
    """A venue that takes no nonce gets the time alone, and nothing is written."""
    state = EmbeddedState.open_path(tmp_path / "marks")

    moment = await NonceSource(state, FakeClock()).reserve(KEY, None)

    assert Moment(NOW_MS) == moment
    await state.close()
    assert b"" == (tmp_path / "marks").read_bytes()


@pytest.mark.parametrize(("policy", "first"), [(MS, NOW_MS), (US, NOW_MS * 1_000)])
async def test_a_nonce_is_the_time_in_the_venues_unit(
    tmp_path: Path, policy: NoncePolicy, first: int
) -> None:
    """The first nonce is now; with the clock standing still, the next ones follow it."""
    state = EmbeddedState.open_path(tmp_path / "marks")
    nonces = NonceSource(state, FakeClock())

    moments = [await nonces.reserve(KEY, policy) for _ in range(3)]

    assert [Moment(NOW_MS, first + index) for index in range(3)] == moments
    await state.close()


async def test_concurrent_reservations_all_differ(tmp_path: Path) -> None:
    """Thousands at once, over two units and a running clock: each counter only grows."""
    state = EmbeddedState.open_path(tmp_path / "marks")
    clock = FakeClock()
    nonces = NonceSource(state, clock)
    given_out: dict[NoncePolicy, list[int]] = {UNBOUNDED: [], US: []}

    async def reserve(index: int) -> None:
        policy = (UNBOUNDED, US)[index % 2]
        given_out[policy].append(await nonce_of(nonces, policy))
        clock.advance(index % 3)

    await asyncio.gather(*(reserve(index) for index in range(6_000)))

    for nonces_of_one in given_out.values():
        assert 3_000 == len(nonces_of_one)
        assert all(one < after for one, after in pairwise(nonces_of_one))
    await state.close()


async def test_the_counter_belongs_to_the_api_key(tmp_path: Path) -> None:
    """Two key ids that hold one API key never share a nonce; others have counters of their own."""
    state = EmbeddedState.open_path(tmp_path / "marks")
    nonces = NonceSource(state, FakeClock())
    twin = replace(KEY, key_id="desk-2")
    others = [
        replace(KEY, public_id="other"),
        replace(KEY, venue="kiiex"),
        replace(KEY, environment="testnet"),
        replace(KEY, public_id=""),
    ]

    pair = [await nonce_of(nonces, key=key) for key in (KEY, twin, KEY, twin)]

    assert [NOW_MS + index for index in range(4)] == pair
    assert [NOW_MS] * 4 == [await nonce_of(nonces, key=key) for key in others]
    await state.close()


async def test_a_clock_that_steps_back_repeats_nothing(tmp_path: Path) -> None:
    """An hour back, nonces without a window go on from the last one."""
    state = EmbeddedState.open_path(tmp_path / "marks")
    clock = FakeClock()
    nonces = NonceSource(state, clock)
    first = await nonce_of(nonces, UNBOUNDED)

    clock.step(-HOUR_MS)
    assert first + 1 == await nonce_of(nonces, UNBOUNDED)

    clock.step(2 * HOUR_MS)
    assert first + HOUR_MS == await nonce_of(nonces, UNBOUNDED)
    await state.close()


@pytest.mark.parametrize("orderly", [True, False])
async def test_a_restart_after_a_clock_step_repeats_nothing(tmp_path: Path, orderly: bool) -> None:
    """The file, not the clock, says where a process goes on: after a close and after a crash."""
    home = EmbeddedStateHome(tmp_path)
    clock = FakeClock()
    last = 0
    for step_ms in (0, -HOUR_MS, HOUR_MS, -HOUR_MS, 2 * HOUR_MS):
        clock.step(step_ms)
        state = home.open()
        given = [await nonce_of(NonceSource(state, clock), UNBOUNDED) for _ in range(3)]

        assert last < given[0] < given[1] < given[2]
        last = given[2]
        if orderly:
            await state.close()
        else:
            home.crash(state)


async def test_a_crash_loses_no_service(tmp_path: Path) -> None:
    """After a crash the first nonce is at most half a second ahead, well inside any window."""
    home = EmbeddedStateHome(tmp_path)
    for policy, units in ((MS, 1), (US, 1_000)):
        state = home.open()
        last = await nonce_of(NonceSource(state, FakeClock()), policy)
        home.crash(state)

        again = home.open()
        first = await nonce_of(NonceSource(again, FakeClock()), policy)
        home.crash(again)

        assert last < first <= last + 500 * units + 1


@pytest.mark.parametrize("policy", [MS, US])
async def test_a_counter_far_ahead_is_refused_with_the_wait_that_helps(
    tmp_path: Path, policy: NoncePolicy
) -> None:
    """Up to half the window ahead is served; beyond it is refused, and after the wait it works."""
    state = EmbeddedState.open_path(tmp_path / "marks")
    clock = FakeClock()
    nonces = NonceSource(state, clock)
    last = await nonce_of(nonces, policy)
    half_ms = WINDOW_MS // 2

    clock.step(-half_ms)
    with pytest.raises(NonceAhead):
        await nonce_of(nonces, policy)
    clock.step(1)
    assert last + 1 == await nonce_of(nonces, policy)

    clock.step(-HOUR_MS)
    for _ in range(1_000):
        with pytest.raises(NonceAhead) as caught:
            await nonce_of(nonces, policy)
    wait_ms = caught.value.retry_after_ms
    assert wait_ms is not None
    assert abs(HOUR_MS - wait_ms) <= 2
    assert {"key": "keys/desk-1", "leadMs": str(wait_ms + half_ms - 1)} == caught.value.metadata

    clock.advance(wait_ms)
    assert last + 2 == await nonce_of(nonces, policy)
    await state.close()


async def test_no_window_is_wide_enough_to_run_far_ahead(tmp_path: Path) -> None:
    """Nonces stay within the lead that a state without memory waits out, however wide the
    venue's window is.
    """
    state = EmbeddedState.open_path(tmp_path / "marks")
    clock = FakeClock()
    nonces = NonceSource(state, clock)
    wide = NoncePolicy(NonceUnit.MS, NonceOrder.UNIQUE, 60_000)
    last = await nonce_of(nonces, wide)

    clock.step(1 - LONGEST_LEAD_MS)
    assert last + 1 == await nonce_of(nonces, wide)
    clock.step(-2)
    with pytest.raises(NonceAhead, match="privyseal keys resync-nonce desk-1") as caught:
        await nonce_of(nonces, wide)

    clock.advance(caught.value.retry_after_ms or 0)
    assert last + 2 == await nonce_of(nonces, wide)
    await state.close()


@pytest.mark.parametrize("offset_ms", [-60_000, -3_000, 3_000, 60_000])
@pytest.mark.parametrize(("policy", "units"), [(MS, 1), (US, 1_000)])
async def test_nonces_follow_the_venues_clock(
    tmp_path: Path, policy: NoncePolicy, units: int, offset_ms: int
) -> None:
    """The floor is the venue's time, and the bound ahead is counted from there."""
    state = EmbeddedState.open_path(tmp_path / "marks")
    clock = FakeClock()
    nonces = NonceSource(state, clock, lambda key: offset_ms if key == KEY else 0)
    at_venue_ms = NOW_MS + offset_ms

    first = await nonces.reserve(KEY, policy)
    clock.step(1 - WINDOW_MS // 2)
    second = await nonces.reserve(KEY, policy)
    clock.step(-1)
    with pytest.raises(NonceAhead):
        await nonces.reserve(KEY, policy)
    timed = await nonces.reserve(KEY, None)

    assert Moment(at_venue_ms, at_venue_ms * units, offset_ms) == first
    assert NOW_MS == first.our_time_ms
    assert at_venue_ms * units + 1 == second.nonce
    assert Moment(clock.time_us() // 1_000 + offset_ms, None, offset_ms) == timed
    await state.close()


async def test_an_old_nonce_is_not_handed_out(tmp_path: Path) -> None:
    """A process that stood still between nonce and answer takes the next nonce: what came of
    the old one goes nowhere.
    """
    state = EmbeddedState.open_path(tmp_path / "marks")
    clock = FakeClock()
    nonces = NonceSource(state, clock, lambda _key: 7)
    pauses_ms = [60_000, 1_001, 1_000]

    async def sign(moment: Moment) -> str:
        clock.advance(pauses_ms.pop(0))
        return f"signed {moment.nonce}"

    moment, signed = await nonces.spend(KEY, UNBOUNDED, sign)

    assert not pauses_ms
    assert NOW_MS + 61_001 + 7 == moment.nonce
    assert f"signed {moment.nonce}" == signed
    await state.close()


async def test_three_old_nonces_are_enough(tmp_path: Path) -> None:
    """Where everything is slow the caller hears so, with a time to try again, and gets nothing."""
    state = EmbeddedState.open_path(tmp_path / "marks")
    clock = FakeClock()
    nonces = NonceSource(state, clock)
    seen: list[int | None] = []

    async def sign(moment: Moment) -> None:
        seen.append(moment.nonce)
        clock.advance(1_001)

    with pytest.raises(StateUnavailable) as caught:
        await nonces.spend(KEY, MS, sign)

    assert 1_000 == caught.value.retry_after_ms
    assert [NOW_MS, NOW_MS + 1_001, NOW_MS + 2_002] == seen
    await state.close()


async def test_what_has_no_nonce_may_be_slow(tmp_path: Path) -> None:
    """Without a nonce there is nothing that could arrive out of turn."""
    state = EmbeddedState.open_path(tmp_path / "marks")
    clock = FakeClock()

    async def sign(_moment: Moment) -> str:
        clock.advance(60_000)
        return "signed"

    spent = await NonceSource(state, clock).spend(KEY, None, sign)

    assert (Moment(NOW_MS), "signed") == spent
    await state.close()


async def test_the_last_nonce_can_be_looked_at(tmp_path: Path) -> None:
    """Looking takes none."""
    state = EmbeddedState.open_path(tmp_path / "marks")
    nonces = NonceSource(state, FakeClock())
    numbers = Numbers(KEY, MS)

    assert 0 == await nonces.last(numbers)
    given = await nonce_of(nonces)
    assert [given, given] == [await nonces.last(numbers) for _ in range(2)]
    assert given + 1 == await nonce_of(nonces)
    await state.close()


async def test_nonces_can_be_brought_above_another_systems(tmp_path: Path) -> None:
    """The next nonce is above what the venue has seen elsewhere; nothing is ever lowered."""
    state = EmbeddedState.open_path(tmp_path / "marks")
    nonces = NonceSource(state, FakeClock())
    numbers = Numbers(KEY, UNBOUNDED)
    first = await nonce_of(nonces, UNBOUNDED)
    elsewhere = NOW_MS * 1_000

    assert (first, elsewhere) == await nonces.pass_over(numbers, elsewhere)
    assert (elsewhere, elsewhere) == await nonces.pass_over(numbers, first)
    assert (elsewhere, elsewhere) == await nonces.pass_over(numbers, elsewhere)
    assert elsewhere + 1 == await nonce_of(nonces, UNBOUNDED)
    await state.close()


async def test_a_burst_never_runs_ahead_of_half_the_window(tmp_path: Path) -> None:
    """However many ask in one millisecond, no nonce is given that the venue would refuse."""
    state = EmbeddedState.open_path(tmp_path / "marks")
    nonces = NonceSource(state, FakeClock())

    answers = await asyncio.gather(
        *(nonce_of(nonces) for _ in range(4_000)), return_exceptions=True
    )

    given = [answer for answer in answers if isinstance(answer, int)]
    assert list(range(NOW_MS, NOW_MS + WINDOW_MS // 2 + 1)) == given
    assert {NonceAhead} == {type(answer) for answer in answers if not isinstance(answer, int)}
    await state.close()


Events = st.lists(
    st.one_of(
        st.tuples(st.just("reserve"), st.integers(1, 30)),
        st.tuples(st.just("step"), st.integers(-HOUR_MS, HOUR_MS)),
        st.tuples(st.just("advance"), st.integers(0, 2_000)),
        st.tuples(st.sampled_from(["close", "crash"]), st.just(0)),
    ),
    max_size=25,
)


@settings(max_examples=80, deadline=None)
@given(events=Events, policy=st.sampled_from([MS, US, UNBOUNDED]))
def test_whatever_happens_nonces_grow_and_fit_the_window(
    events: list[tuple[str, int]], policy: NoncePolicy
) -> None:
    """Over any order of bursts, clock steps, restarts and crashes, each nonce is above all
    before, and none is more than half the window ahead of the clock.
    """

    async def live(folder: Path) -> None:
        home, clock, last = EmbeddedStateHome(folder), FakeClock(), 0
        units = 1_000 if policy.unit is NonceUnit.US else 1
        state = home.open()
        for event, amount in events:
            if event == "step":
                clock.step(amount)
            elif event == "advance":
                clock.advance(amount)
            elif event == "close":
                await state.close()
                state = home.open()
            elif event == "crash":
                home.crash(state)
                state = home.open()
            else:
                nonces = NonceSource(state, clock)
                answers = await asyncio.gather(
                    *(nonce_of(nonces, policy) for _ in range(amount)), return_exceptions=True
                )
                for answer in answers:
                    if not isinstance(answer, int):
                        assert isinstance(answer, NonceAhead)
                        continue
                    assert last < answer
                    assert answer >= clock.time_us() * units // 1_000
                    if policy.window_ms is not None:
                        now = clock.time_us() * units // 1_000
                        assert answer - now <= policy.window_ms // 2 * units
                    last = answer
        await state.close()

    with TemporaryDirectory() as folder:
        asyncio.run(live(Path(folder)))
