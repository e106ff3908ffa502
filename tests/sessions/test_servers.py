import asyncio
from dataclasses import replace

import pytest

from fakes import NOW_MS
from privyseald.errors import (
    LoginBackingOff,
    PrivysealError,
    StateUnavailable,
    VenueAccountLocked,
    VenueCredentialRejected,
    VenueOutcomeUnknown,
    VenueRefused,
    VenueTwoFactorPending,
)
from privyseald.sessions.sessions import Sessions
from service import eventually
from session_desk import KEY, LIFE_MS, Crew, VenueDesk, login

HOUR_MS, DAY_MS = 3_600_000, 86_400_000


@pytest.fixture
def crew() -> Crew:
    """Three servers on one state."""
    return Crew()


@pytest.fixture
def venue(crew: Crew) -> VenueDesk:
    """A venue that opens sessions of an hour."""
    return VenueDesk(crew.state_clock)


async def token_of(sessions: Sessions) -> str | None:
    """Return the token that a Sign would use at this server."""
    session = await sessions.current(KEY)
    return session.token if session else None


async def outcome(
    sessions: Sessions, venue: VenueDesk, *, force: bool = False, has_code: bool = False
) -> str:
    """Return the token of a login, or the reason why there is none."""
    try:
        return await login(sessions, venue.log_in, force=force, has_code=has_code)
    except PrivysealError as error:
        return error.reason


async def test_200_logins_at_three_servers_are_one(crew: Crew, venue: VenueDesk) -> None:
    """All get the token that one of them was given."""
    tokens = await asyncio.gather(
        *(login(crew.servers[number % 3], venue.log_in) for number in range(200))
    )
    assert (["token-1"] * 200, 1) == (tokens, venue.calls)
    assert ["token-1"] * 3 == [await token_of(sessions) for sessions in crew.servers]


@pytest.mark.parametrize("force", [False, True])
async def test_200_refusals_at_three_servers_are_one(
    crew: Crew, venue: VenueDesk, force: bool
) -> None:
    """All who waited hear what the venue said; who comes later is told to wait."""
    venue.refusal = VenueCredentialRejected("wrong", metadata={"venue": "kiiex"})
    venue.open.clear()
    asking = [
        asyncio.ensure_future(login(crew.servers[number % 3], venue.log_in, force=force))
        for number in range(200)
    ]
    await venue.asked(1)
    venue.open.set()
    answers = await asyncio.gather(*asking, return_exceptions=True)
    told = {(type(each), str(each), getattr(each, "retry_after_ms", 0)) for each in answers}
    assert ({(VenueCredentialRejected, "wrong", 30_000)}, 1) == (told, venue.calls)
    for sessions in crew.servers:
        assert "LOGIN_BACKING_OFF" == await outcome(sessions, venue, force=force)
    assert 1 == venue.calls


@pytest.mark.parametrize(
    ("refusal", "in_an_hour", "in_a_day"),
    [
        (VenueCredentialRejected("no"), 7, 30),
        (VenueRefused("no"), 7, 30),
        (VenueOutcomeUnknown("?"), 10, 33),
        (VenueTwoFactorPending("code?"), 1, 1),
        (VenueAccountLocked("locked"), 1, 1),
    ],
)
async def test_how_often_a_venue_that_refuses_is_asked(
    crew: Crew, venue: VenueDesk, refusal: PrivysealError, in_an_hour: int, in_a_day: int
) -> None:
    """Impatient callers at three servers, which are restarted again and again, have the venue
    asked exactly so often: in an hour of asking each second, and in a day.
    """
    venue.refusal = refusal
    for second in range(3_600):
        await outcome(crew.servers[second % 3], venue, force=second % 2 == 0)
        if second % 60 == 59:
            crew.restart()
        crew.advance(1_000)
    asked = venue.calls
    for minute in range(23 * 60):
        await outcome(crew.servers[minute % 3], venue)
        crew.advance(60_000)
    # A caller who asks once a minute may come a little late for a wait that is over.
    assert asked == in_an_hour
    assert in_a_day - 1 <= venue.calls <= in_a_day


@pytest.mark.parametrize("skew_ms", [-HOUR_MS, HOUR_MS])
async def test_wrong_clocks_change_no_wait(crew: Crew, venue: VenueDesk, skew_ms: int) -> None:
    """A back-off ends by the state's clock: at servers whose clocks are off, or are set meanwhile,
    not a second later or earlier. What they tell is never longer than the whole wait.
    """
    venue.refusal = VenueRefused("no")
    crew.clocks[1].step(skew_ms)
    assert "VENUE_REFUSED" == await outcome(crew.servers[0], venue)
    crew.clocks[0].step(-skew_ms)
    crew.advance(29_999)
    for sessions in crew.servers:
        with pytest.raises(LoginBackingOff) as told:
            await login(sessions, venue.log_in)
        assert 1 <= (told.value.retry_after_ms or 0) <= 30_000
    crew.advance(1)
    assert "VENUE_REFUSED" == await outcome(crew.servers[1], venue)
    assert 2 == venue.calls


@pytest.mark.parametrize("skew_ms", [-HOUR_MS, HOUR_MS])
async def test_wrong_clocks_share_sessions(crew: Crew, venue: VenueDesk, skew_ms: int) -> None:
    """A server whose clock is off uses others' sessions, and asks the venue no more than they."""
    crew.clocks[1].step(skew_ms)
    for _ in range(60):
        assert ["token-1"] * 3 == [await login(each, venue.log_in) for each in crew.servers]
        crew.advance(30_000)
    crew.advance(LIFE_MS)
    assert ["token-2"] * 3 == [await login(each, venue.log_in) for each in crew.servers]


@pytest.mark.parametrize("is_asleep", [False, True])
async def test_a_state_whose_clock_stands_prolongs_no_session(
    crew: Crew, venue: VenueDesk, is_asleep: bool
) -> None:
    """Servers also look at their own clocks: at the one that runs on in a sleep, and at the one
    that nobody can set back.
    """
    await login(crew.servers[0], venue.log_in)
    assert "token-1" == await token_of(crew.servers[1])
    for clock in crew.clocks:
        if is_asleep:
            clock.step(LIFE_MS)
        else:
            clock.step(-LIFE_MS)
            clock.advance(LIFE_MS)
    assert [None] * 2 == [await token_of(sessions) for sessions in crew.servers[:2]]


async def test_a_drop_counts_everywhere_within_two_seconds(crew: Crew, venue: VenueDesk) -> None:
    """Also where no signal is heard; what is used meanwhile costs no look at the state."""
    await login(crew.servers[0], venue.log_in)
    assert "token-1" == await token_of(crew.servers[1])
    looks = 0

    async def count(method: str, _name: str) -> None:
        nonlocal looks
        looks += method == "get"

    crew.state.before = count
    for _ in range(1_000):
        assert "token-1" == await token_of(crew.servers[1])
    assert 0 == looks
    dropped = await crew.servers[0].drop(KEY.key_id)
    assert dropped is not None
    assert await token_of(crew.servers[0]) is None
    crew.advance(2_000)
    assert await token_of(crew.servers[1]) is None
    assert "token-2" == await login(crew.servers[1], venue.log_in)


async def test_a_copy_in_use_is_read_again_in_the_background(crew: Crew, venue: VenueDesk) -> None:
    """After a second the next use begins a look at the state, and does not wait for it."""
    await login(crew.servers[0], venue.log_in)
    assert "token-1" == await token_of(crew.servers[1])
    await crew.servers[0].drop(KEY.key_id)
    crew.advance(1_000)
    assert "token-1" == await token_of(crew.servers[1])
    for _ in range(5):
        await asyncio.sleep(0)
    assert await token_of(crew.servers[1]) is None


async def test_a_login_under_way_at_another_server_is_not_kept_after_a_drop(
    crew: Crew, venue: VenueDesk
) -> None:
    """After a logout, a disabled key or a hold, no older login puts a session back, anywhere."""
    venue.open.clear()
    early = asyncio.ensure_future(login(crew.servers[0], venue.log_in))
    await venue.asked(1)
    await crew.servers[1].drop(KEY.key_id)
    venue.open.set()
    assert "token-1" == await early
    assert [None] * 3 == [await token_of(sessions) for sessions in crew.servers]


async def test_a_server_that_stood_still_does_not_overwrite_a_later_session(
    crew: Crew, venue: VenueDesk
) -> None:
    """Who lost its turn in the middle of a login returns what stands there when it goes on. Before
    that the others take the lost turn for a login whose outcome nobody knows.
    """
    gate = venue.open = asyncio.Event()
    slow = asyncio.ensure_future(login(crew.servers[0], venue.log_in))
    await venue.asked(1)
    crew.links[0].is_cut = True
    venue.open = asyncio.Event()
    venue.open.set()
    crew.advance(4_999)
    waiting = asyncio.ensure_future(outcome(crew.servers[1], venue))
    await asyncio.sleep(0.25)
    assert not waiting.done()
    crew.advance(1)
    assert "VENUE_OUTCOME_UNKNOWN" == await waiting
    assert 1 == venue.calls
    crew.advance(5_000)
    assert "token-2" == await login(crew.servers[1], venue.log_in)
    crew.links[0].is_cut = False
    gate.set()
    assert "token-2" == await slow
    assert ["token-2"] * 3 == [await token_of(sessions) for sessions in crew.servers]
    assert "token-2" == await login(crew.servers[2], venue.log_in)
    assert 2 == venue.calls


async def test_a_login_that_takes_long_keeps_its_turn(crew: Crew, venue: VenueDesk) -> None:
    """The turn is extended while the venue is asked, so that nobody else asks."""
    venue.open.clear()
    first = asyncio.ensure_future(login(crew.servers[0], venue.log_in))
    await venue.asked(1)
    for _ in range(2):
        version = _turn_version(crew)
        crew.advance(4_000)
        second = asyncio.ensure_future(login(crew.servers[1], venue.log_in))
        async with asyncio.timeout(10):
            while _turn_version(crew) == version:  # noqa: ASYNC110  # it is extended by itself
                await asyncio.sleep(0.01)
    venue.open.set()
    assert (["token-1"] * 2, 1) == ([await first, await second], venue.calls)


def _turn_version(crew: Crew) -> int:
    (version,) = [
        value.version for name, value in crew.state.values.items() if name.startswith("login/")
    ]
    return version


async def test_an_extension_whose_answer_was_lost_keeps_the_turn(
    crew: Crew, venue: VenueDesk
) -> None:
    """It may have landed: the turn stays this server's, and its login is no unknown outcome."""
    venue.open.clear()
    first = asyncio.ensure_future(login(crew.servers[0], venue.log_in))
    await venue.asked(1)
    crew.links[0].lost_answers = 1

    async def is_lost() -> bool:
        return not crew.links[0].lost_answers

    await eventually(is_lost)
    venue.open.set()
    assert "token-1" == await first
    async with asyncio.timeout(5):
        assert "token-2" == await login(crew.servers[1], venue.log_in, force=True)


async def test_servers_that_die_at_the_venue_are_counted(crew: Crew, venue: VenueDesk) -> None:
    """A crash in the middle of each login is no way to ask more often."""
    venue.open.clear()
    for _ in range(3_600):
        asking = asyncio.ensure_future(outcome(crew.servers[0], venue))
        calls = venue.calls
        for _ in range(20):
            await asyncio.sleep(0)
        if venue.calls > calls:
            # It dies here: nothing it does reaches the state any more.
            crew.links[0].is_cut = True
            asking.cancel()
            crew.links[0] = type(crew.links[0])(crew.state)
            crew.restart()
        crew.advance(1_000)
    assert venue.calls <= 10


async def test_a_code_is_tried_once_per_wait(crew: Crew, venue: VenueDesk) -> None:
    """Without a code the venue is not asked again; one with a code is tried at once, and each that
    is refused counts.
    """
    venue.refusal = VenueTwoFactorPending("give a code")
    assert "VENUE_TWO_FACTOR_PENDING" == await outcome(crew.servers[0], venue)
    crew.advance(DAY_MS - 1)
    for force in (False, True):
        assert "VENUE_TWO_FACTOR_PENDING" == await outcome(crew.servers[1], venue, force=force)
    assert 1 == venue.calls
    for wait_ms in (30_000, 60_000, 120_000):
        venue.refusal = VenueCredentialRejected("wrong code")
        calls = venue.calls
        assert "VENUE_CREDENTIAL_REJECTED" == await outcome(crew.servers[1], venue, has_code=True)
        crew.advance(wait_ms - 1)
        for has_code in (False, True):
            assert "LOGIN_BACKING_OFF" == await outcome(crew.servers[2], venue, has_code=has_code)
        assert calls + 1 == venue.calls
        crew.advance(1)
    venue.refusal = None
    assert "token-5" == await outcome(crew.servers[0], venue, has_code=True)
    assert "token-5" == await outcome(crew.servers[2], venue)


async def test_who_brings_a_code_does_not_share_a_login_without_one(
    crew: Crew, venue: VenueDesk
) -> None:
    """The code is tried although somebody without one is at the venue already."""
    venue.open.clear()
    venue.refusal = VenueTwoFactorPending("give a code")
    without = asyncio.ensure_future(outcome(crew.servers[0], venue))
    await venue.asked(1)
    with_code = asyncio.ensure_future(outcome(crew.servers[0], venue, has_code=True))
    venue.open.set()
    assert "VENUE_TWO_FACTOR_PENDING" == await without
    venue.refusal = None
    assert await with_code in {"token-2", "VENUE_TWO_FACTOR_PENDING"}
    assert 2 == venue.calls


async def test_a_code_that_is_asked_for_again_counts_as_refused(
    crew: Crew, venue: VenueDesk
) -> None:
    """A venue that has a code and asks for one is left alone for a while, also by codes."""
    venue.refusal = VenueTwoFactorPending("give a code")
    assert "VENUE_TWO_FACTOR_PENDING" == await outcome(crew.servers[0], venue, has_code=True)
    assert "LOGIN_BACKING_OFF" == await outcome(crew.servers[1], venue, has_code=True)
    crew.advance(30_000)
    assert "VENUE_TWO_FACTOR_PENDING" == await outcome(crew.servers[1], venue, has_code=True)


async def test_a_pardon_counts_everywhere(crew: Crew, venue: VenueDesk) -> None:
    """What a custodian forgave at one server is forgiven at all, the doubled wait too."""
    venue.refusal = VenueRefused("no")
    for _ in range(3):
        assert "VENUE_REFUSED" == await outcome(crew.servers[0], venue)
        crew.advance(HOUR_MS)
    assert "VENUE_REFUSED" == await outcome(crew.servers[0], venue)
    await crew.servers[1].pardon(KEY)
    with pytest.raises(VenueRefused) as refused:
        await login(crew.servers[2], venue.log_in)
    assert 30_000 == refused.value.retry_after_ms


async def test_a_pardon_does_not_end_a_login_under_way(crew: Crew, venue: VenueDesk) -> None:
    """Nobody else asks the venue meanwhile."""
    venue.open.clear()
    first = asyncio.ensure_future(login(crew.servers[0], venue.log_in))
    await venue.asked(1)
    await crew.servers[1].pardon(KEY)
    second = asyncio.ensure_future(login(crew.servers[1], venue.log_in))
    await asyncio.sleep(0.25)
    venue.open.set()
    assert (["token-1"] * 2, 1) == ([await first, await second], venue.calls)


async def test_an_earlier_version_does_not_replace_a_later_ones_session(
    crew: Crew, venue: VenueDesk
) -> None:
    """A server that has not heard of a rotation logs in for itself alone."""
    later = replace(KEY, version=2)
    assert "token-1" == await login(crew.servers[0], venue.log_in, later)
    assert "token-2" == await login(crew.servers[1], venue.log_in)
    assert "token-1" == await login(crew.servers[2], venue.log_in, later)
    assert await token_of(crew.servers[1]) is None


async def test_a_reported_session_is_dropped_everywhere(crew: Crew, venue: VenueDesk) -> None:
    """If it was opened by then, and not after; and once in 30 s for an account."""
    await login(crew.servers[0], venue.log_in)
    assert not await crew.servers[1].invalidate(KEY, NOW_MS - 1)
    assert "token-1" == await token_of(crew.servers[1])
    assert await crew.servers[1].invalidate(KEY, NOW_MS)
    assert not await crew.servers[1].invalidate(KEY, NOW_MS)
    assert "token-2" == await login(crew.servers[1], venue.log_in)
    crew.advance(29_999)
    assert not await crew.servers[2].invalidate(KEY, NOW_MS + HOUR_MS)
    crew.advance(1)
    assert await crew.servers[2].invalidate(KEY, NOW_MS + HOUR_MS)


async def test_who_goes_on_reporting_has_the_venue_asked_every_30_s(
    crew: Crew, venue: VenueDesk
) -> None:
    """An hour of reports and logins each second, at all servers."""
    for second in range(3_600):
        sessions = crew.servers[second % 3]
        await login(sessions, venue.log_in)
        await sessions.invalidate(KEY, NOW_MS + DAY_MS)
        crew.advance(1_000)
    assert 119 <= venue.calls <= 121


async def test_without_the_state_nothing_is_guessed(crew: Crew, venue: VenueDesk) -> None:
    """A session that was seen serves for two seconds more; then neither Sign nor Login, and what
    needs to be told fails. When the state is back, so is the session.
    """
    await login(crew.servers[0], venue.log_in)
    assert "token-1" == await token_of(crew.servers[1])
    crew.links[1].is_cut = True
    crew.advance(1_999)
    assert "token-1" == await token_of(crew.servers[1])
    crew.advance(1)
    for _ in range(3):
        with pytest.raises(StateUnavailable):
            await token_of(crew.servers[1])
    assert "STATE_UNAVAILABLE" == await outcome(crew.servers[1], venue)
    with pytest.raises(StateUnavailable):
        await crew.servers[1].drop(KEY.key_id)
    with pytest.raises(StateUnavailable):
        await crew.servers[1].pardon(KEY)
    crew.links[1].is_cut = False
    assert ("token-1", 1) == (await token_of(crew.servers[1]), venue.calls)


async def test_a_state_that_goes_away_during_a_login(crew: Crew, venue: VenueDesk) -> None:
    """The session can't be written, so nobody gets it; the login counts as one without outcome."""
    venue.open.clear()
    asking = asyncio.ensure_future(outcome(crew.servers[0], venue))
    await venue.asked(1)
    crew.links[0].is_cut = True
    venue.open.set()
    assert "STATE_UNAVAILABLE" == await asking
    crew.links[0].is_cut = False
    crew.advance(5_000)
    assert "VENUE_OUTCOME_UNKNOWN" == await outcome(crew.servers[0], venue)
    crew.advance(5_000)
    assert ("token-2", 2) == (await outcome(crew.servers[0], venue), venue.calls)


async def test_a_session_that_is_slow_to_come_has_less_to_live(
    crew: Crew, venue: VenueDesk
) -> None:
    """What passed while the venue was asked is taken off; one that took minutes is not kept."""
    venue.open.clear()
    asking = asyncio.ensure_future(login(crew.servers[0], venue.log_in))
    await venue.asked(1)
    for clock in crew.clocks:
        clock.advance(20_000)
    venue.open.set()
    await asking
    crew.state_clock.advance(LIFE_MS - 30_001)
    assert "token-1" == await token_of(crew.servers[1])
    crew.advance(1)
    crew.clocks[1].advance(2_000)
    assert await token_of(crew.servers[1]) is None

    venue.open.clear()
    asking = asyncio.ensure_future(login(crew.servers[0], venue.log_in))
    await venue.asked(2)
    crew.clocks[0].advance(300_000)
    venue.open.set()
    assert "token-2" == await asking
    assert await token_of(crew.servers[0]) is None


async def test_what_can_not_be_read_counts_as_nothing(crew: Crew, venue: VenueDesk) -> None:
    """Values under another key, or tampered with, neither serve nor stand in the way."""
    venue.refusal = VenueAccountLocked("locked")
    assert "VENUE_ACCOUNT_LOCKED" == await outcome(crew.servers[0], venue)
    venue.refusal = None
    for name in list(crew.state.values):
        await crew.state.put(name, b"spoilt")
    assert "token-2" == await outcome(crew.servers[0], venue)
    for name in list(crew.state.values):
        await crew.state.put(name, b"spoilt")
    assert "token-3" == await outcome(crew.servers[1], venue)


async def test_what_nobody_foresaw_counts_as_no_outcome(crew: Crew, venue: VenueDesk) -> None:
    """A mistake of ours behind the venue's answer is no reason to ask it again and again."""
    venue.refusal = KeyError("ours")
    with pytest.raises(KeyError):
        await login(crew.servers[0], venue.log_in)
    venue.refusal = None
    crew.advance(5_000)
    assert "VENUE_OUTCOME_UNKNOWN" == await outcome(crew.servers[1], venue)
    assert 1 == venue.calls


async def test_a_memory_that_is_lost_costs_one_login(crew: Crew, venue: VenueDesk) -> None:
    """A state that forgot all (a restart without a disk) has no session; all find the next."""
    await login(crew.servers[0], venue.log_in)
    crew.state.values.clear()
    crew.advance(2_000)
    tokens = await asyncio.gather(*(login(each, venue.log_in) for each in crew.servers * 10))
    assert (["token-2"] * 30, 2) == (tokens, venue.calls)
