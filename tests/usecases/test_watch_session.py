import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
import structlog

from audit_log import lines_of
from privyseald.errors import (
    KeyUnknown,
    PolicyDenied,
    SecretStoreUnreachable,
    StateUnavailable,
    VenueUnreachable,
)
from usecases.desk import wallet
from usecases.watching_desk import LATE_MS, WatchingDesk


@pytest.fixture
async def desk(tmp_path: Path) -> WatchingDesk:
    """A desk with a wallet key."""
    desk = WatchingDesk(tmp_path)
    await desk.store.create("desk-1", wallet())
    return desk


async def until(is_so: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(10):
        while not is_so():  # noqa: ASYNC110  # nobody rings
            await asyncio.sleep(0.01)


async def test_other_rules_end_the_stream(desk: WatchingDesk) -> None:
    """Who may not log in any more hears it, and no session after it."""
    async with desk.watching() as events:
        assert "token-0001" == await events.next()
        desk.policy.replace(())
        assert "POLICY_DENIED" == await events.next()
        with pytest.raises(PolicyDenied):
            await events.next()


async def test_a_key_that_was_deleted_at_the_store_ends_the_stream(desk: WatchingDesk) -> None:
    """As soon as the cache hears of it."""
    async with desk.watching() as events:
        assert "token-0001" == await events.next()
        await desk.store.delete("desk-1")
        desk.clock.advance(120_000)
        assert "KEY_UNKNOWN" == await events.next()
        with pytest.raises(KeyUnknown):
            await events.next()


async def test_what_is_away_is_told_once(desk: WatchingDesk) -> None:
    """While the state or the store is away the stream stays open; then it goes on."""
    is_state_away = is_store_away = False

    async def state(_method: str, _name: str) -> None:
        if is_state_away:
            raise StateUnavailable("away")

    async def store(_method: str, _key_id: str) -> None:
        if is_store_away:
            raise SecretStoreUnreachable("away")

    desk.shared.before, desk.store.before = state, store
    async with desk.watching() as events, desk.renewing():
        assert "token-0001" == await events.next()
        is_state_away = True
        desk.clock.advance(2_000)
        assert "STATE_UNAVAILABLE" == await events.next()
        is_state_away, is_store_away = False, True
        desk.clock.advance(LATE_MS)
        assert "SECRET_STORE_UNREACHABLE" == await events.next()
        is_store_away = False
        desk.clock.advance(60_000)
        assert "token-0002" == await events.next()


async def test_a_venue_out_of_reach_is_asked_again_soon(desk: WatchingDesk) -> None:
    """What did not reach the venue counts for nothing, but is not repeated at once."""
    answers = desk.aster
    desk.aster = lambda: VenueUnreachable("not there")
    async with desk.watching() as events, desk.renewing() as renewals:
        assert "VENUE_UNREACHABLE" == await events.next()
        desk.aster = answers
        desk.clock.advance(60_000)
        assert "token-0001" == await events.next()
        await until(lambda: renewals.renewed == 1)
        assert 0 == renewals.failed


async def test_a_watcher_who_goes_away_leaves_nothing(desk: WatchingDesk) -> None:
    """Not watched any more, the session is not renewed."""
    async with desk.watching() as events, desk.renewing() as renewals:
        assert "token-0001" == await events.next()
        await events.close()
        desk.clock.advance(LATE_MS)
        await asyncio.sleep(0.6)
        assert (1, 0) == (desk.logins, renewals.renewed)


async def test_a_mistake_of_ours_is_logged_and_tried_again(desk: WatchingDesk) -> None:
    """What nobody foresaw in a renewal shows its kind alone, is told, and is not for ever."""
    async with desk.watching() as events, desk.renewing() as renewals:
        assert "token-0001" == await events.next()
        right = desk.store.before

        async def fail(method: str, _key_id: str) -> None:
            if method == "open":
                raise RuntimeError("canary-77aa")

        with structlog.testing.capture_logs() as logs:
            desk.store.before = fail
            desk.clock.advance(LATE_MS)
            desk.open_key.look_again("desk-1")
            await until(lambda: renewals.failed == 1)
        told = [log for log in logs if log["event"] == "internal error in a renewal"]
        assert [("RuntimeError", "desk-1")] == [(log["cause"], log["key"]) for log in told]
        assert "canary" not in str(logs)
        desk.store.before = right
        desk.clock.advance(60_000)
        await until(lambda: renewals.renewed == 1)


async def test_without_an_audit_log_nothing_is_renewed(desk: WatchingDesk) -> None:
    """A login that can't be audited is not made; those who watch hear why."""
    desk.audit_file.symlink_to("/dev/full")
    async with desk.watching() as events, desk.renewing() as renewals:
        assert "token-0001" == await events.next()
        desk.clock.advance(LATE_MS)
        assert "AUDIT_UNAVAILABLE" == await events.next()
        assert (1, 1) == (desk.logins, renewals.failed)


async def test_each_login_of_ours_is_a_line(desk: WatchingDesk) -> None:
    """Also one that the venue refused; one that never got there is none."""
    async with desk.watching() as events, desk.renewing() as renewals:
        assert "token-0001" == await events.next()
        desk.clock.advance(LATE_MS)
        assert "token-0002" == await events.next()
        await until(lambda: renewals.renewed == 1)
    lines = [line for line in lines_of(desk.audit_file) if line.get("operation") == "renewal"]
    assert [("privyseal", "keys/desk-1", "OK", 1)] == [
        (line["caller"], line["key"], line["code"], line["key_version"]) for line in lines
    ]
