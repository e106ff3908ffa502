import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from fakes import NOW_MS, FakeClock
from privyseald.errors import (
    LoginBackingOff,
    VenueAccountLocked,
    VenueCredentialRejected,
    VenueOutcomeUnknown,
    VenueRateLimited,
    VenueRefused,
)
from privyseald.key import Key, KeyState
from privyseald.sessions import Sessions
from privyseald.venues.venue import Session

KEY = Key("desk-1", "kiiex", "production", "hmac-sha256", "public", KeyState.ENABLED, 1, NOW_MS, 0)
MARGIN_MS = 10_000
LIFE_MS = 3_600_000
HALF_HOUR_MS = 1_800_000


class VenueDesk:
    """Plays the venue: counts logins, holds them up, answers or refuses."""

    def __init__(self, clock: FakeClock, life_ms: int | None = LIFE_MS) -> None:
        self.calls = 0
        self.open = asyncio.Event()
        self.open.set()
        self.refusal: BaseException | None = None
        self._clock = clock
        self._life_ms = life_ms

    async def log_in(self) -> Session:
        """Return a session with a token of its own."""
        self.calls += 1
        token = f"token-{self.calls}"
        await self.open.wait()
        if self.refusal is not None:
            raise self.refusal
        now_ms = self._clock.time_us() // 1_000
        end_ms = None if self._life_ms is None else now_ms + self._life_ms
        return Session(token, (("aptoken", token),), "7", now_ms, end_ms)


@pytest.fixture
def clock() -> FakeClock:
    """A clock that the test moves."""
    return FakeClock()


@pytest.fixture
def venue(clock: FakeClock) -> VenueDesk:
    """A venue that opens sessions of an hour."""
    return VenueDesk(clock)


@pytest.fixture
def sessions(clock: FakeClock) -> Sessions:
    """No sessions yet."""
    return Sessions(clock)


@pytest.fixture(autouse=True)
async def _unseen() -> AsyncIterator[None]:
    """Fails a test that leaves an exception which nobody looked at."""
    loop = asyncio.get_running_loop()
    complaints: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _loop, context: complaints.append(context))
    yield
    await asyncio.sleep(0)
    gc.collect()
    assert [] == complaints


async def login(
    sessions: Sessions,
    log_in: Callable[[], Awaitable[Session]],
    key: Key = KEY,
    *,
    force: bool = False,
) -> str:
    """Log in and return the token."""
    return (await sessions.login(key, log_in, force=force)).token


async def test_all_who_ask_at_once_share_one_login(sessions: Sessions, venue: VenueDesk) -> None:
    """200 callers cost the venue one login, and all get its token."""
    tokens = await asyncio.gather(*(login(sessions, venue.log_in) for _ in range(200)))

    assert (["token-1"] * 200, 1) == (tokens, venue.calls)


async def test_a_session_is_used_again(sessions: Sessions, venue: VenueDesk) -> None:
    """A later caller gets the session that is there, and so does Sign."""
    await login(sessions, venue.log_in)

    assert "token-1" == await login(sessions, venue.log_in)
    current = sessions.current(KEY)
    assert current is not None
    assert ("token-1", 1) == (current.token, venue.calls)


@pytest.mark.parametrize(("life_ms", "used_ms"), [(LIFE_MS, LIFE_MS), (None, HALF_HOUR_MS)])
async def test_a_session_ends_a_margin_before_its_life(
    clock: FakeClock, sessions: Sessions, life_ms: int | None, used_ms: int
) -> None:
    """A token is not given out so late that it could die on its way; without a known life
    it serves half an hour.
    """
    venue = VenueDesk(clock, life_ms)
    await login(sessions, venue.log_in)

    clock.advance(used_ms - MARGIN_MS - 1)
    assert "token-1" == await login(sessions, venue.log_in)
    clock.advance(1)
    assert sessions.current(KEY) is None
    assert "token-2" == await login(sessions, venue.log_in)


@pytest.mark.parametrize("step_ms", [-3 * LIFE_MS, LIFE_MS])
async def test_a_clock_step_never_prolongs_a_session(
    clock: FakeClock, sessions: Sessions, venue: VenueDesk, step_ms: int
) -> None:
    """A token is not returned past its life, even when the wall clock is set back meanwhile."""
    await login(sessions, venue.log_in)
    clock.step(step_ms)
    clock.advance(LIFE_MS - MARGIN_MS)

    assert sessions.current(KEY) is None


@pytest.mark.parametrize("change", [{"version": 2}, {"create_time_ms": NOW_MS + 1}])
async def test_another_credential_has_no_part_in_the_session(
    sessions: Sessions, venue: VenueDesk, change: dict[str, int]
) -> None:
    """A rotated key, or a new key under the old id, starts without a session."""
    await login(sessions, venue.log_in)
    successor = replace(KEY, version=change.get("version", 1))
    successor = replace(successor, create_time_ms=change.get("create_time_ms", NOW_MS))

    assert sessions.current(successor) is None
    assert "token-2" == await login(sessions, venue.log_in, successor)
    assert sessions.current(KEY) is None


async def test_another_credential_does_not_join_a_login_under_way(
    sessions: Sessions, venue: VenueDesk
) -> None:
    """A login of the old version serves only those who asked with the old version."""
    venue.open.clear()
    old = asyncio.ensure_future(login(sessions, venue.log_in))
    await asyncio.sleep(0)
    new = asyncio.ensure_future(login(sessions, venue.log_in, replace(KEY, version=2)))
    await asyncio.sleep(0)
    venue.open.set()

    assert ["token-1", "token-2"] == [await old, await new]
    current = sessions.current(replace(KEY, version=2))
    assert current is not None
    assert "token-2" == current.token
    assert sessions.current(KEY) is None


async def test_a_forced_login_replaces_the_session(sessions: Sessions, venue: VenueDesk) -> None:
    """`force` asks the venue although a session is there."""
    await login(sessions, venue.log_in)

    assert "token-2" == await login(sessions, venue.log_in, force=True)
    assert ("token-2", 2) == (await login(sessions, venue.log_in), venue.calls)


async def test_forced_logins_at_once_share_one(sessions: Sessions, venue: VenueDesk) -> None:
    """`force` never multiplies logins."""
    await login(sessions, venue.log_in)
    tokens = await asyncio.gather(*(login(sessions, venue.log_in, force=True) for _ in range(50)))

    assert (["token-2"] * 50, 2) == (tokens, venue.calls)


async def test_a_forced_login_that_fails_leaves_the_session(
    sessions: Sessions, venue: VenueDesk
) -> None:
    """A refusal of a second login does not end the first."""
    await login(sessions, venue.log_in)
    venue.refusal = VenueRefused("no")
    with pytest.raises(VenueRefused):
        await login(sessions, venue.log_in, force=True)

    assert "token-1" == await login(sessions, venue.log_in)


async def test_a_dropped_session_is_gone(sessions: Sessions, venue: VenueDesk) -> None:
    """`drop` returns the session once, and nobody gets it again."""
    await login(sessions, venue.log_in)

    dropped = sessions.drop(KEY.key_id)

    assert dropped is not None
    assert "token-1" == dropped.token
    assert (None, None) == (sessions.drop(KEY.key_id), sessions.current(KEY))
    assert "token-2" == await login(sessions, venue.log_in)


async def test_a_login_under_way_at_a_drop_is_not_kept(
    sessions: Sessions, venue: VenueDesk
) -> None:
    """After a key was disabled or logged out, no older login puts a session back."""
    venue.open.clear()
    early = asyncio.ensure_future(login(sessions, venue.log_in))
    await asyncio.sleep(0)
    sessions.drop(KEY.key_id)
    venue.open.set()

    assert "token-1" == await early
    assert sessions.current(KEY) is None
    assert "token-2" == await login(sessions, venue.log_in)


async def test_a_login_begun_after_a_drop_is_the_one_that_is_kept(
    sessions: Sessions, venue: VenueDesk
) -> None:
    """The end of the older login does not touch the newer one."""
    venue.open.clear()
    early = asyncio.ensure_future(login(sessions, venue.log_in))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    sessions.drop(KEY.key_id)
    gate, venue.open = venue.open, asyncio.Event()
    late = asyncio.ensure_future(login(sessions, venue.log_in))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    gate.set()
    assert "token-1" == await early
    joined = asyncio.ensure_future(login(sessions, venue.log_in))
    await asyncio.sleep(0)
    venue.open.set()

    assert (["token-2"] * 2, 2) == ([await late, await joined], venue.calls)


async def test_refusals_double_the_wait_up_to_an_hour(
    clock: FakeClock, sessions: Sessions, venue: VenueDesk
) -> None:
    """30 s, 1 min, 2 min… 1 h: within each wait the venue is not asked, forced or not."""
    venue.refusal = VenueCredentialRejected("wrong signature")
    waits_ms = []
    for calls in range(1, 10):
        with pytest.raises(VenueCredentialRejected) as refused:
            await login(sessions, venue.log_in)
        wait_ms = refused.value.retry_after_ms
        assert wait_ms is not None
        waits_ms.append(wait_ms)
        for force in (False, True):
            with pytest.raises(LoginBackingOff, match="wrong signature") as waiting:
                await login(sessions, venue.log_in, force=force)
            assert wait_ms == waiting.value.retry_after_ms
        clock.advance(wait_ms - 1)
        with pytest.raises(LoginBackingOff, match=r"wait 1 s\. It said") as waiting:
            await login(sessions, venue.log_in)
        assert 1 == waiting.value.retry_after_ms
        assert "VENUE_CREDENTIAL_REJECTED" == waiting.value.metadata["refusal"]
        assert calls == venue.calls
        clock.advance(1)

    assert [30_000 * 2**index for index in range(7)] + [3_600_000] * 2 == waits_ms


async def test_a_session_ends_the_backing_off(
    clock: FakeClock, sessions: Sessions, venue: VenueDesk
) -> None:
    """After a login that worked, the next refusal begins at 30 s again."""
    refusal = VenueRefused("no")
    venue.refusal = refusal
    for _ in range(3):
        with pytest.raises(VenueRefused):
            await login(sessions, venue.log_in)
        clock.advance(refusal.retry_after_ms or 0)
    venue.refusal = None
    await login(sessions, venue.log_in)
    venue.refusal = VenueRefused("no")
    with pytest.raises(VenueRefused) as refused:
        await login(sessions, venue.log_in, force=True)

    assert 30_000 == refused.value.retry_after_ms


async def test_a_longer_wait_of_the_venues_own_counts(
    clock: FakeClock, sessions: Sessions, venue: VenueDesk
) -> None:
    """Where the venue asks for more than our wait, it gets that."""
    venue.refusal = VenueRateLimited("slow down", retry_after_ms=90_000)
    with pytest.raises(VenueRateLimited) as refused:
        await login(sessions, venue.log_in)
    assert 90_000 == refused.value.retry_after_ms

    clock.advance(89_999)
    with pytest.raises(LoginBackingOff):
        await login(sessions, venue.log_in)
    assert 1 == venue.calls


async def test_a_locked_account_is_left_alone_for_an_hour(
    clock: FakeClock, sessions: Sessions, venue: VenueDesk
) -> None:
    """A lock is told as a lock, with the time that is left, and is not tried against."""
    venue.refusal = VenueAccountLocked("locked", metadata={"venue": "kiiex"})
    with pytest.raises(VenueAccountLocked) as refused:
        await login(sessions, venue.log_in)
    assert 3_600_000 == refused.value.retry_after_ms

    clock.advance(3_599_000)
    for force in (False, True):
        with pytest.raises(VenueAccountLocked) as refused:
            await login(sessions, venue.log_in, force=force)
    assert (1_000, {"venue": "kiiex"}, 1) == (
        refused.value.retry_after_ms,
        refused.value.metadata,
        venue.calls,
    )


async def test_two_key_ids_of_one_account_back_off_together(
    sessions: Sessions, venue: VenueDesk
) -> None:
    """The venue locks accounts, not our names: a second id is no second try. Others log in."""
    venue.refusal = VenueCredentialRejected("wrong")
    with pytest.raises(VenueCredentialRejected):
        await login(sessions, venue.log_in)

    for twin in (replace(KEY, key_id="desk-2"), replace(KEY, version=2)):
        with pytest.raises(LoginBackingOff):
            await login(sessions, venue.log_in, twin)
    venue.refusal = None
    other = replace(KEY, key_id="desk-3", public_id="other")
    assert "token-2" == await login(sessions, venue.log_in, other)


async def test_an_outage_is_no_refusal(sessions: Sessions, venue: VenueDesk) -> None:
    """Only the venue's no begins a wait; a venue that did not answer can be asked again."""
    venue.refusal = VenueOutcomeUnknown("no answer")
    with pytest.raises(VenueOutcomeUnknown):
        await login(sessions, venue.log_in)
    venue.refusal = None

    assert "token-2" == await login(sessions, venue.log_in)


@pytest.mark.parametrize("failure", [VenueRefused("no"), VenueOutcomeUnknown("?"), KeyError("x")])
async def test_a_failure_reaches_all_who_wait(
    sessions: Sessions, venue: VenueDesk, failure: Exception
) -> None:
    """Everyone who shares a login hears how it failed, also when nobody foresaw it."""
    venue.refusal = failure

    answers = await asyncio.gather(
        *(login(sessions, venue.log_in) for _ in range(200)), return_exceptions=True
    )

    assert ([failure] * 200, 1) == (answers, venue.calls)


async def test_a_caller_who_goes_away_does_not_end_the_login(
    sessions: Sessions, venue: VenueDesk
) -> None:
    """The shared login goes on for the others when the first caller is cancelled."""
    venue.open.clear()
    callers = [asyncio.ensure_future(login(sessions, venue.log_in)) for _ in range(3)]
    await asyncio.sleep(0)
    callers[0].cancel()
    await asyncio.sleep(0)
    venue.open.set()

    assert ["token-1", "token-1"] == await asyncio.gather(*callers[1:])
    assert callers[0].cancelled()
    assert 1 == venue.calls


@pytest.mark.parametrize("kind", [None, VenueRefused, KeyError])
async def test_a_login_that_all_callers_left_ends_quietly(
    sessions: Sessions, venue: VenueDesk, kind: type[Exception] | None
) -> None:
    """With nobody left, the session is kept, a refusal still begins its wait, nothing is lost."""
    venue.open.clear()
    venue.refusal = None if kind is None else kind("no")
    caller = asyncio.ensure_future(login(sessions, venue.log_in))
    await asyncio.sleep(0)
    caller.cancel()
    for _ in range(5):
        await asyncio.sleep(0)
    venue.open.set()
    for _ in range(5):
        await asyncio.sleep(0)
    venue.refusal = None

    if kind is None:
        assert sessions.current(KEY) is not None
    elif kind is VenueRefused:
        with pytest.raises(LoginBackingOff):
            await login(sessions, venue.log_in)
    assert 1 == venue.calls


async def test_a_refusal_keeps_nothing_of_the_login_alive(
    sessions: Sessions, venue: VenueDesk
) -> None:
    """For as long as a refusal counts, what was sent is not held in memory by its exception."""
    refusal = VenueRefused("no")
    venue.refusal = refusal
    with pytest.raises(VenueRefused):
        await login(sessions, venue.log_in)
    venue.refusal = None
    alive = weakref.ref(refusal)
    del refusal
    await asyncio.sleep(0)
    gc.collect()

    assert alive() is None


async def test_a_login_that_ends_by_cancellation_is_no_session(
    sessions: Sessions, venue: VenueDesk
) -> None:
    """A shared login that is cancelled from within leaves nothing behind; the next one works."""
    venue.refusal = asyncio.CancelledError()
    with pytest.raises(asyncio.CancelledError):
        await login(sessions, venue.log_in)
    venue.refusal = None

    assert "token-2" == await login(sessions, venue.log_in)
