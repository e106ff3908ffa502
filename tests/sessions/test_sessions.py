import asyncio
import gc
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from fakes import NOW_MS, FakeClock, FakeState, sealed
from privyseald.errors import (
    LoginBackingOff,
    VenueOutcomeUnknown,
    VenueRefused,
)
from privyseald.sessions.sessions import Sessions
from session_desk import KEY, LIFE_MS, VenueDesk, login

MARGIN_MS = 10_000
HALF_HOUR_MS = 1_800_000


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


async def test_all_who_ask_at_once_share_one_login(sessions: Sessions, venue: VenueDesk) -> None:
    """200 callers cost the venue one login, and all get its token."""
    tokens = await asyncio.gather(*(login(sessions, venue.log_in) for _ in range(200)))

    assert (["token-1"] * 200, 1) == (tokens, venue.calls)


async def test_a_session_is_used_again(sessions: Sessions, venue: VenueDesk) -> None:
    """A later caller gets the session that is there, and so does Sign."""
    await login(sessions, venue.log_in)

    assert "token-1" == await login(sessions, venue.log_in)
    current = await sessions.current(KEY)
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
    assert await sessions.current(KEY) is None
    assert "token-2" == await login(sessions, venue.log_in)


@pytest.mark.parametrize("step_ms", [-3 * LIFE_MS, LIFE_MS])
async def test_a_clock_step_never_prolongs_a_session(
    clock: FakeClock, sessions: Sessions, venue: VenueDesk, step_ms: int
) -> None:
    """A token is not returned past its life, even when the wall clock is set back meanwhile."""
    await login(sessions, venue.log_in)
    clock.step(step_ms)
    clock.advance(LIFE_MS - MARGIN_MS)

    assert await sessions.current(KEY) is None


@pytest.mark.parametrize("change", [{"version": 2}, {"create_time_ms": NOW_MS + 1}])
async def test_another_credential_has_no_part_in_the_session(
    sessions: Sessions, venue: VenueDesk, change: dict[str, int]
) -> None:
    """A rotated key, or a new key under the old id, starts without a session."""
    await login(sessions, venue.log_in)
    successor = replace(KEY, version=change.get("version", 1))
    successor = replace(successor, create_time_ms=change.get("create_time_ms", NOW_MS))

    assert await sessions.current(successor) is None
    assert "token-2" == await login(sessions, venue.log_in, successor)
    assert await sessions.current(KEY) is None


async def test_another_credential_does_not_join_a_login_under_way(
    sessions: Sessions, venue: VenueDesk
) -> None:
    """A login of the old version serves only those who asked with the old version."""
    venue.open.clear()
    old = asyncio.ensure_future(login(sessions, venue.log_in))
    await venue.asked(1)
    new = asyncio.ensure_future(login(sessions, venue.log_in, replace(KEY, version=2)))
    await asyncio.sleep(0)
    venue.open.set()

    assert ["token-1", "token-2"] == [await old, await new]
    current = await sessions.current(replace(KEY, version=2))
    assert current is not None
    assert "token-2" == current.token
    assert await sessions.current(KEY) is None


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

    dropped = await sessions.drop(KEY.key_id)

    assert dropped is not None
    assert "token-1" == dropped.token
    assert (None, None) == (await sessions.drop(KEY.key_id), await sessions.current(KEY))
    assert "token-2" == await login(sessions, venue.log_in)


@pytest.mark.parametrize("is_at_the_venue", [True, False])
async def test_a_login_under_way_at_a_drop_is_not_kept(
    sessions: Sessions, venue: VenueDesk, is_at_the_venue: bool
) -> None:
    """After a key was disabled or logged out, no older login puts a session back."""
    venue.open.clear()
    early = asyncio.ensure_future(login(sessions, venue.log_in))
    if is_at_the_venue:
        await venue.asked(1)
    else:
        await asyncio.sleep(0)
    await sessions.drop(KEY.key_id)
    venue.open.set()

    assert "token-1" == await early
    assert await sessions.current(KEY) is None
    assert "token-2" == await login(sessions, venue.log_in)


async def test_a_login_begun_after_a_drop_is_the_one_that_is_kept(
    sessions: Sessions, venue: VenueDesk
) -> None:
    """The end of the older login does not touch the newer one."""
    venue.open.clear()
    early = asyncio.ensure_future(login(sessions, venue.log_in))
    await venue.asked(1)
    await sessions.drop(KEY.key_id)
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


@pytest.mark.parametrize("failure", [VenueRefused("no"), VenueOutcomeUnknown("?"), KeyError("x")])
async def test_a_failure_reaches_all_who_wait(
    sessions: Sessions, venue: VenueDesk, failure: Exception
) -> None:
    """Everyone who shares a login hears how it failed, also when nobody foresaw it."""
    venue.refusal = failure

    answers = await asyncio.gather(
        *(login(sessions, venue.log_in) for _ in range(200)), return_exceptions=True
    )

    told = {(type(each), str(each)) for each in answers}
    assert ({(type(failure), str(failure))}, 200, 1) == (told, len(answers), venue.calls)


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
        assert await sessions.current(KEY) is not None
    elif kind is VenueRefused:
        with pytest.raises(LoginBackingOff):
            await login(sessions, venue.log_in)
    assert 1 == venue.calls


async def test_a_login_that_ends_by_cancellation_is_no_session(
    sessions: Sessions, venue: VenueDesk
) -> None:
    """A shared login that is cancelled from within leaves nothing behind; the next one works."""
    venue.refusal = asyncio.CancelledError()
    with pytest.raises(asyncio.CancelledError):
        await login(sessions, venue.log_in)
    venue.refusal = None

    assert "token-2" == await login(sessions, venue.log_in)
