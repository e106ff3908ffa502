import asyncio
import gc
import weakref
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from fakes import FakeClock, FakeState, sealed
from privyseald.errors import (
    LoginBackingOff,
    VenueAccountLocked,
    VenueCredentialRejected,
    VenueOutcomeUnknown,
    VenueRateLimited,
    VenueRefused,
    VenueUnreachable,
)
from privyseald.sessions.sessions import Sessions
from session_desk import KEY, VenueDesk, login


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
    state = FakeState(clock)
    return Sessions(state, sealed(state), clock)


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
    venue.refusal = VenueRefused("no")
    for wait_ms in (30_000, 60_000, 120_000):
        with pytest.raises(VenueRefused):
            await login(sessions, venue.log_in)
        clock.advance(wait_ms)
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


async def test_a_locked_account_is_left_alone_until_a_custodian_acts(
    clock: FakeClock, sessions: Sessions, venue: VenueDesk
) -> None:
    """A lock is told as a lock, for weeks, and nothing is tried against it, whatever code comes
    along; a pardon ends that, and what was counted before.
    """
    venue.refusal = VenueAccountLocked("locked", metadata={"venue": "kiiex"}, retry_after_ms=1_000)
    with pytest.raises(VenueAccountLocked, match="locked; no login is tried until a custodian"):
        await login(sessions, venue.log_in)

    for _ in range(20):
        clock.advance(86_400_000)
        for force, has_code in ((False, False), (True, False), (False, True)):
            with pytest.raises(VenueAccountLocked, match="privyseal keys enable desk-1") as told:
                await login(sessions, venue.log_in, force=force, has_code=has_code)
            assert (None, {"venue": "kiiex"}) == (told.value.retry_after_ms, told.value.metadata)
    assert 1 == venue.calls

    await sessions.pardon(KEY)
    venue.refusal = VenueRefused("no")
    with pytest.raises(VenueRefused) as refused:
        await login(sessions, venue.log_in)
    assert (30_000, 2) == (refused.value.retry_after_ms, venue.calls)


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


async def test_an_unknown_outcome_is_soon_worth_a_retry(
    clock: FakeClock, sessions: Sessions, venue: VenueDesk
) -> None:
    """It may have counted as a failed login, so the venue is left alone for 5 s, then 10 s."""
    for wait_ms in (5_000, 10_000):
        venue.refusal = VenueOutcomeUnknown("no answer")
        with pytest.raises(VenueOutcomeUnknown):
            await login(sessions, venue.log_in)
        calls = venue.calls
        clock.advance(wait_ms - 1)
        with pytest.raises(VenueOutcomeUnknown) as caught:
            await login(sessions, venue.log_in)
        assert (1, calls) == (caught.value.retry_after_ms, venue.calls)
        clock.advance(1)
    venue.refusal = None

    assert "token-3" == await login(sessions, venue.log_in)


async def test_a_venue_out_of_reach_is_asked_again(sessions: Sessions, venue: VenueDesk) -> None:
    """What did not reach the venue can't have counted there, so there is no wait."""
    venue.refusal = VenueUnreachable("not there")
    with pytest.raises(VenueUnreachable):
        await login(sessions, venue.log_in)
    venue.refusal = None

    assert "token-2" == await login(sessions, venue.log_in)


async def test_a_refusal_keeps_nothing_of_the_login_alive(
    sessions: Sessions, venue: VenueDesk
) -> None:
    """For as long as a refusal counts, what was sent is not held in memory by its exception."""
    venue.refusal = VenueRefused("no")
    with pytest.raises(VenueRefused) as refused:
        await login(sessions, venue.log_in)
    alive = weakref.ref(refused.value)
    assert alive() is not None
    del refused
    await asyncio.sleep(0)
    gc.collect()

    assert alive() is None
