import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from fakes import NOW_MS
from privyseald.holds.hold import Scope, ScopeKind
from privyseald.usecases.purge_held import PurgeHeld
from privyseald.venues.venue import Session
from usecases.desk import Desk, document, wallet

KEYS = ("one", "two", "wallet")


@dataclass(frozen=True, slots=True)
class Room:
    """A desk with two keys of WhiteBIT and a wallet of Aster, all opened and with sessions."""

    desk: Desk
    purge: PurgeHeld

    async def used_keys(self) -> None:
        """Open each key, and its session."""
        for key_id in KEYS:
            key = (await self.desk.open_key(key_id)).credential.key
            await self.desk.sessions.login(key, partial(_session, key_id))

    async def without_session(self) -> set[str]:
        """Return the keys that have no session any more."""
        keys = [(await self.desk.open_key(key_id)).credential.key for key_id in KEYS]
        sessions = {key.key_id: await self.desk.sessions.current(key) for key in keys}
        return {key_id for key_id, session in sessions.items() if session is None}

    def reads(self) -> set[str]:
        """Return the keys that were read from the store."""
        return {key_id for method, key_id in self.desk.store.calls if method == "open"}


async def _session(token: str) -> Session:
    return Session(token, (), "7", NOW_MS, NOW_MS + 3_600_000)


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    """All is opened, and nothing is held."""
    desk = Desk(tmp_path)
    for key_id in KEYS:
        await desk.store.create(key_id, wallet() if key_id == "wallet" else document())
    room = Room(desk, PurgeHeld(desk.store, desk.cache, desk.sessions))
    desk.holds.on_begin.append(room.purge)
    await room.used_keys()
    desk.store.calls.clear()
    yield room
    await desk.sessions.settle()


@pytest.mark.parametrize(
    ("scope", "dropped"),
    [
        (Scope(ScopeKind.KEY, "one"), {"one"}),
        (Scope(ScopeKind.VENUE, "whitebit"), {"one", "two"}),
        (Scope(ScopeKind.ALL), {"one", "two", "wallet"}),
        (Scope(ScopeKind.CALLER, "operator"), set()),
    ],
)
async def test_a_hold_lets_go_of_keys_and_sessions(
    room: Room, scope: Scope, dropped: set[str]
) -> None:
    """Those that it stops are read anew when they are used again; the others are kept."""
    room.desk.stop(scope)
    await room.purge.settle()

    assert dropped == await room.without_session()
    assert dropped == room.reads()


async def test_a_login_under_way_is_not_kept(room: Room) -> None:
    """What the venue opens while the hold comes is used by nobody."""
    desk = room.desk
    key = (await desk.open_key("one")).credential.key
    gate = asyncio.Event()

    async def log_in() -> Session:
        await gate.wait()
        return await _session("late")

    login = asyncio.ensure_future(desk.sessions.login(key, log_in, force=True))
    while not desk.sessions._logins._under_way:  # noqa: ASYNC110  # it begins, soon
        await asyncio.sleep(0)
    desk.stop(Scope(ScopeKind.KEY, "one"))
    await room.purge.settle()
    gate.set()
    await asyncio.gather(login, return_exceptions=True)

    assert {"one"} == await room.without_session()


@pytest.mark.parametrize("scope", [Scope(ScopeKind.VENUE, "whitebit"), Scope(ScopeKind.ALL)])
async def test_sessions_of_keys_that_were_long_not_used_go_too(room: Room, scope: Scope) -> None:
    """Neither an opened key nor a copy of its session needs to be at this server."""
    for key_id in KEYS:
        room.desk.cache.forget(key_id)
        room.desk.sessions._copies.forget(key_id)
    room.desk.stop(scope)
    await room.purge.settle()

    expected = set(KEYS) if scope.kind is ScopeKind.ALL else {"one", "two"}
    assert expected == await room.without_session()
