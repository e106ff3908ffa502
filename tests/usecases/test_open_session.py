from pathlib import Path

import pytest

from fakes import NOW_MS
from privyseald.calls import Calls
from privyseald.errors import Held
from privyseald.holds.hold import Scope, ScopeKind
from privyseald.nonces import NonceSource
from privyseald.usecases.open_session import OpenSession
from privyseald.venues.venue import Session
from usecases.desk import Desk, wallet


async def test_a_held_key_has_no_session(tmp_path: Path) -> None:
    """Whoever wants one, for a renewal too: neither the one that is there nor a new one."""
    desk = Desk(tmp_path)
    await desk.store.create("wallet", wallet())
    opened = await desk.open_key("wallet")

    async def log_in() -> Session:
        return Session("token", (), "7", NOW_MS, NOW_MS + 3_600_000)

    await desk.sessions.login(opened.credential.key, log_in)
    open_session = OpenSession(
        desk.holds,
        NonceSource(desk.shared, desk.clock),
        desk.sessions,
        desk.outbound,
        Calls("venue", desk.clock),
    )
    desk.stop(Scope(ScopeKind.KEY, "wallet"))
    with pytest.raises(Held):
        await open_session(opened, {})
    with pytest.raises(Held):
        await open_session(opened, {}, force=True)
    assert [] == desk.outbound.sent
