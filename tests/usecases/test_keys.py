import asyncio
from pathlib import Path

import pytest

from fakes import NOW_MS
from privyseald.audit.entry import Entry
from privyseald.errors import (
    KeyDisabled,
    KeyUnknown,
    PrivysealError,
    SecretStoreForbidden,
    SecretStoreUnreachable,
    StateUnavailable,
    VenueAccountLocked,
)
from privyseald.key import KeyState
from privyseald.policy.action import Action
from privyseald.signing.secret import SecretBytes
from privyseald.usecases.delivery import Plaintext
from privyseald.usecases.import_key import ImportKeyCommand
from privyseald.usecases.keys import Keys
from privyseald.venues.venue import Session
from rules import policy, rule
from usecases.desk import OPERATOR, Desk, document


@pytest.fixture
async def desk(tmp_path: Path) -> Desk:
    """A desk with one key, open and logged in."""
    desk = Desk(tmp_path)
    await desk.store.create("desk-1", document())
    key = (await desk.open_key("desk-1")).credential.key

    async def log_in() -> Session:
        return Session("token", (), "7", NOW_MS, None)

    await desk.sessions.login(key, log_in, force=False)
    return desk


@pytest.mark.parametrize("lost", [False, True])
async def test_a_disabled_key_stops_here_at_once(desk: Desk, lost: bool) -> None:
    """Cache and session go, also where the store's answer was lost: the change may stand."""
    key = (await desk.open_key("desk-1")).credential.key

    async def after(_method: str, _key_id: str) -> None:
        if lost:
            raise SecretStoreUnreachable("the answer was lost")

    desk.store.after = after
    await asyncio.gather(
        desk.keys.disable(OPERATOR, "desk-1", Entry("rpc")), return_exceptions=True
    )
    lost = False

    assert await desk.sessions.current(key) is None
    with pytest.raises(KeyDisabled):
        await desk.open_key("desk-1")


@pytest.mark.parametrize("lost", [False, True])
async def test_a_deleted_key_stops_here_at_once(desk: Desk, lost: bool) -> None:
    """As with disabling: nothing here goes on with a key that may be gone."""
    key = (await desk.open_key("desk-1")).credential.key

    async def after(_method: str, _key_id: str) -> None:
        if lost:
            raise SecretStoreUnreachable("the answer was lost")

    desk.store.after = after
    await asyncio.gather(desk.keys.delete(OPERATOR, "desk-1", Entry("rpc")), return_exceptions=True)
    lost = False

    assert await desk.sessions.current(key) is None
    with pytest.raises(KeyUnknown):
        await desk.open_key("desk-1")


async def test_an_enabled_key_works_at_once(desk: Desk) -> None:
    """The way back takes effect here as fast, and the entry says which key it was."""
    await desk.keys.disable(OPERATOR, "desk-1", Entry("rpc"))
    with pytest.raises(KeyDisabled):
        await desk.open_key("desk-1")
    entry = Entry("rpc")
    await desk.keys.enable(OPERATOR, "desk-1", entry)

    assert KeyState.ENABLED is (await desk.open_key("desk-1")).credential.key.state
    assert ("whitebit", 1, "all") == (entry.venue, entry.key_version, entry.rule)


async def test_a_state_that_is_away_keeps_no_key_from_being_stopped(desk: Desk) -> None:
    """Disable and delete take effect: nobody uses such a key's session. Enable says that it could
    not end what stood before, and works when asked again.
    """
    is_away = True

    async def away(_method: str, _name: str) -> None:
        if is_away:
            raise StateUnavailable("away")

    key = (await desk.open_key("desk-1")).credential.key
    desk.shared.before = away
    await desk.keys.disable(OPERATOR, "desk-1", Entry("rpc"))
    with pytest.raises(StateUnavailable):
        await desk.keys.enable(OPERATOR, "desk-1", Entry("rpc"))
    is_away = False
    assert await desk.sessions.current(key) is not None
    await desk.keys.enable(OPERATOR, "desk-1", Entry("rpc"))
    assert await desk.sessions.current(key) is None
    is_away = True
    await desk.keys.delete(OPERATOR, "desk-1", Entry("rpc"))
    with pytest.raises(KeyUnknown):
        await desk.open_key("desk-1")


@pytest.mark.parametrize("may_read", [True, False])
async def test_an_enabled_key_may_log_in_again(desk: Desk, may_read: bool) -> None:
    """What the venue refused to its account is forgotten, also by a server of custodians that may
    not read keys.
    """
    key = (await desk.open_key("desk-1")).credential.key
    refused = VenueAccountLocked("locked")

    async def locked() -> Session:
        raise refused

    async def log_in() -> Session:
        return Session("token-2", (), "7", NOW_MS, None)

    async def forbid(method: str, _key_id: str) -> None:
        if method == "open" and not may_read:
            raise SecretStoreForbidden("no")

    with pytest.raises(VenueAccountLocked):
        await desk.sessions.login(key, locked, force=True)
    with pytest.raises(VenueAccountLocked):
        await desk.sessions.login(key, log_in, force=True)
    desk.store.before = forbid
    await desk.keys.enable(OPERATOR, "desk-1", Entry("rpc"))
    assert "token-2" == (await desk.sessions.login(key, log_in)).token


@pytest.mark.parametrize("limit", [1, 2, 3, 10])
async def test_pages_hold_what_the_caller_may_read(desk: Desk, limit: int) -> None:
    """Page by page, in order: all that may be read, nothing else, no page without an end."""
    for index in range(10):
        await desk.store.create(f"own-{index}", document())
        await desk.store.create(f"theirs-{index}", document())
    own = rule("own", ("*",), ("own-*",), (Action.READ_KEY,))
    keys = Keys(policy(own), desk.store, desk.cache, desk.sessions)
    found: list[str] = []
    after, pages = "", 0
    while True:
        page = await keys.list(OPERATOR, after, limit)
        found += [key.key_id for key in page.keys]
        pages += 1
        assert len(page.keys) <= limit
        after = page.next_after
        if not after:
            break

    assert [f"own-{index}" for index in range(10)] == found
    assert pages <= 10 // limit + 1


async def test_an_imported_key_is_not_hidden_by_an_old_one(desk: Desk) -> None:
    """A key that was removed past this server, and is still in memory, ends with the new one."""
    await desk.store.delete("desk-1")
    command = ImportKeyCommand(
        "desk-1",
        "whitebit",
        "",
        "",
        {"api_key": "public-key-2"},
        Plaintext(SecretBytes("secret-2")),
    )

    await desk.import_key(OPERATOR, command, Entry("rpc"))

    assert "public-key-2" == (await desk.open_key("desk-1")).credential.key.public_id


async def test_an_import_that_fails_leaves_the_cache_clean(desk: Desk) -> None:
    """What the store says next is what counts."""
    before = len(desk.store.calls)

    async def away(method: str, _key_id: str) -> None:
        if method == "create":
            raise SecretStoreUnreachable("away")

    desk.store.before = away
    command = ImportKeyCommand(
        "desk-1",
        "whitebit",
        "",
        "",
        {"api_key": "public-key-2"},
        Plaintext(SecretBytes("secret-2")),
    )
    with pytest.raises(PrivysealError):
        await desk.import_key(OPERATOR, command, Entry("rpc"))
    await desk.open_key("desk-1")

    assert [("create", "desk-1"), ("open", "desk-1")] == desk.store.calls[before:]
