"""WatchSession: the key's current session, each one after it, and each failure to renew."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from privyseald.audit.entry import Entry
from privyseald.caller import Caller
from privyseald.errors import PrivysealError, SessionMissing, Unavailable
from privyseald.key import Key
from privyseald.sessions.copies import Copy
from privyseald.sessions.sessions import Sessions
from privyseald.sessions.watchers import Watcher
from privyseald.usecases.login import Login
from privyseald.usecases.open_key import OpenedKey, OpenKey
from privyseald.usecases.open_session import OpenSession
from privyseald.venues.venue import Session

# How often a watcher looks by itself at what it may have missed, and whether it still may.
_LOOK_S = 1.0
_NONE = -1


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session that the watcher has not had yet."""

    key: Key
    session: Session


class WatchSession:
    """Opens a session where there is none, as Login does, and watches what becomes of it."""

    def __init__(
        self, login: Login, open_key: OpenKey, open_session: OpenSession, sessions: Sessions
    ) -> None:
        self._login = login
        self._open_key = open_key
        self._open_session = open_session
        self._sessions = sessions

    async def __call__(
        self, caller: Caller, key_id: str, entry: Entry
    ) -> AsyncIterator[NewSession | PrivysealError]:
        """Return the events, without end, once the caller may have them.

        What the caller may not have any more ends them: they raise PolicyDenied, KeyDisabled,
        KeyUnknown, Held…, right after they told of it. Raises as `Login.admit`.
        """
        opened = await self._login.admit(caller, key_id, entry)
        return self._events(caller, entry, opened)

    async def _events(
        self, caller: Caller, entry: Entry, opened: OpenedKey
    ) -> AsyncIterator[NewSession | PrivysealError]:
        key, sent, is_out = opened.credential.key, _NONE, False
        # Nobody renews meanwhile: it is the caller who opens it.
        failure = await self._open(opened)
        with self._sessions.watch(key.key_id) as watcher:
            if failure is not None:
                watcher.tell(failure, is_news=True)
            while True:
                session, copy = await self._seen(key, watcher)
                if session is not None and copy is not None and copy.version != sent:
                    sent, is_out = copy.version, False
                    watcher.forget()
                    yield NewSession(key, session)
                elif session is None and copy is not None and sent != _NONE:
                    # Perhaps the key was disabled or deleted, at another server: look at once.
                    sent, is_out = _NONE, not copy.standing.may_reopen
                    self._open_key.look_again(key.key_id)
                    watcher.ring()
                elif is_out:
                    is_out = False
                    watcher.tell(_logged_out(key), is_news=True)
                while watcher.failures:
                    yield watcher.failures.popleft()
                await watcher.wait(_LOOK_S)
                try:
                    opened = await self._login.admit(caller, key.key_id, entry)
                except Unavailable as error:
                    watcher.tell(error, is_news=False)
                    continue
                except PrivysealError as error:
                    yield error
                    raise
                if not _is_same(key, opened.credential.key):
                    key, sent, is_out = opened.credential.key, _NONE, False
                    await self._open(opened)

    async def _open(self, opened: OpenedKey) -> PrivysealError | None:
        """Open a session where there is none. Where that fails, say why; renewal tries on."""
        asked: list[bool] = []
        try:
            await self._open_session(opened, {}, on_ask=lambda: asked.append(True))
        except PrivysealError as error:
            self._sessions.postpone(opened.credential.key.key_id, error, is_news=bool(asked))
            return error
        return None

    async def _seen(self, key: Key, watcher: Watcher) -> tuple[Session | None, Copy | None]:
        """Return what is known of the session; nothing while the state is away."""
        try:
            return await self._sessions.seen(key)
        except PrivysealError as error:
            watcher.tell(error, is_news=False)
            return None, None


def _is_same(one: Key, other: Key) -> bool:
    return one.version == other.version and one.create_time_ms == other.create_time_ms


def _logged_out(key: Key) -> SessionMissing:
    return SessionMissing(
        f"the session of {key.name} was ended by a Logout; the next one comes here when somebody "
        "calls Login, or watches anew",
        metadata={"key": key.name},
    )
