"""A desk with a wallet key at Aster, whose session is watched and renewed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from audit_log import opened
from fakes import Answer
from privyseald.audit.entry import Entry
from privyseald.calls import Calls
from privyseald.errors import PrivysealError
from privyseald.nonces import NonceSource
from privyseald.usecases.login import Login
from privyseald.usecases.open_session import OpenSession
from privyseald.usecases.renew_sessions import RenewSessions
from privyseald.usecases.watch_session import NewSession, WatchSession
from rules import allow_all
from usecases.desk import OPERATOR, Desk, success

HALF_HOUR_MS = 1_800_000
# Later than a server begins to renew what lasts half an hour, and earlier than the end.
LATE_MS = 1_600_000


class WatchingDesk(Desk):
    """A desk whose Aster opens sessions with tokens that count."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.logins = 0
        self.policy = allow_all()
        self.aster = self._log_in
        self.audit_file = folder / "audit.jsonl"
        nonces = NonceSource(self.shared, self.clock)
        self.open_session = OpenSession(
            self.holds, nonces, self.sessions, self.outbound, Calls("venue", self.clock)
        )
        login = Login(self.policy, self.holds, self.open_key, self.open_session)
        self.watch = WatchSession(login, self.open_key, self.open_session, self.sessions)

    @asynccontextmanager
    async def watching(self) -> AsyncIterator["Events"]:
        """Watch the key until the end of the block."""
        events = Events(await self.watch(OPERATOR, "desk-1", Entry("rpc")))
        try:
            yield events
        finally:
            await events.close()

    @asynccontextmanager
    async def renewing(self) -> AsyncIterator[RenewSessions]:
        """Renew until the end of the block."""
        async with opened(self.audit_file, self.clock) as audit:
            renewals = RenewSessions(
                self.open_key,
                self.open_session,
                self.sessions,
                audit,
                self.clock,
                lambda error: error.reason.lower(),
            )
            running = asyncio.ensure_future(renewals.run())
            try:
                yield renewals
            finally:
                running.cancel()
                await renewals.settle()

    def _log_in(self) -> Answer:
        self.logins += 1
        return success({"token": f"token-{self.logins:04}", "uid": 7})


class Events:
    """What a watcher hears, one by one."""

    def __init__(self, events: AsyncIterator[NewSession | PrivysealError]) -> None:
        self._events = events

    async def next(self) -> str:
        """Return the token of the next session, or the reason of the next failure."""
        async with asyncio.timeout(10):
            event = await anext(self._events)
        return event.reason if isinstance(event, PrivysealError) else event.session.token

    async def close(self) -> None:
        """Go away."""
        await self._events.aclose()  # type: ignore[attr-defined]
