"""Renewal of sessions before they end: by one server, as long as somebody cares for them."""

import asyncio
from collections.abc import Callable

import structlog

from privyseald.audit.entry import Entry
from privyseald.audit.log import AuditLog
from privyseald.clock import Clock
from privyseald.errors import AuditUnavailable, PrivysealError, StateUnavailable
from privyseald.sessions.sessions import Sessions
from privyseald.usecases.open_key import OpenKey
from privyseald.usecases.open_session import OpenSession

_LOOK_S = 0.25
_RPC = "privyseal.v1.SigningService/Login"
_log = structlog.get_logger("privyseald.sessions")


class RenewSessions:
    """Logs in for sessions that are watched, or were used lately, at about 80 % of their life.

    Every server with such a session tries, each at a moment of its own; the first one takes the
    turn, and the others find its session. `code_of` names the gRPC code of an error, for the
    audit line that each login of ours writes. `renewed` and `failed` count, for those who watch.
    """

    def __init__(
        self,
        open_key: OpenKey,
        open_session: OpenSession,
        sessions: Sessions,
        audit: AuditLog,
        clock: Clock,
        code_of: Callable[[PrivysealError], str],
    ) -> None:
        self._open_key = open_key
        self._open_session = open_session
        self._sessions = sessions
        self._audit = audit
        self._clock = clock
        self._code_of = code_of
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._logged: dict[str, str] = {}
        self.renewed = 0
        self.failed = 0

    async def run(self) -> None:
        """Renew until cancelled. What is under way goes on."""
        while True:
            for key_id, version in await self._sessions.wanted():
                if key_id not in self._under_way:
                    self._start(key_id, version)
            await asyncio.sleep(_LOOK_S)

    async def settle(self) -> None:
        """Wait for what is under way: for an orderly end."""
        await asyncio.gather(*self._under_way.values(), return_exceptions=True)

    def _start(self, key_id: str, version: int) -> None:
        task = asyncio.ensure_future(self._renew(key_id, version))
        self._under_way[key_id] = task
        task.add_done_callback(lambda done: self._finish(key_id, done))

    def _finish(self, key_id: str, done: "asyncio.Task[None]") -> None:
        del self._under_way[key_id]
        error = None if done.cancelled() else done.exception()
        if error is not None:
            # Nobody foresaw it, and its text may quote what must not be logged.
            self.failed += 1
            _log.error("internal error in a renewal", key=key_id, cause=type(error).__name__)
            self._sessions.postpone(
                key_id, StateUnavailable("the session could not be renewed; see the server's log")
            )

    async def _renew(self, key_id: str, version: int) -> None:
        entry = Entry(_RPC, "privyseal", f"keys/{key_id}", operation="renewal")
        asked: list[int] = []
        try:
            self._audit.check_room()
            opened = await self._open_key(key_id)
            key = opened.credential.key
            entry.venue, entry.key_version = key.venue, key.version
            await self._open_session(
                opened, {}, instead_of=version, on_ask=lambda: asked.append(self._clock.time_us())
            )
        except PrivysealError as error:
            self.failed += 1
            entry.code, entry.decision, entry.reason = self._code_of(error), "refused", error.reason
            self._sessions.postpone(key_id, error, is_news=bool(asked))
            if asked or self._logged.get(key_id) != error.reason:
                _log.warning(
                    "session not renewed", key=entry.key, reason=error.reason, advice=error.message
                )
            self._logged[key_id] = error.reason
        else:
            self._logged.pop(key_id, None)
            entry.code, entry.decision = "OK", "allowed"
            self.renewed += len(asked)
        if asked:
            await self._write(entry, self._clock.time_us() - asked[0])

    async def _write(self, entry: Entry, duration_us: int) -> None:
        try:
            await self._audit.write(entry, duration_us)
        except AuditUnavailable:
            # The audit log tells of it when it can be written again.
            _log.error("audit line of a renewal not written", key=entry.key)
