"""Venue sessions, the same at every server: one login for all who ask at once, and none that could
lock an account.

The session of a key stands sealed in the shared state, for as long as it may be used. Who wants
one takes the account's turn to log in; all others wait for what comes of it, at every server.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress

from privyseald.clock import Clock
from privyseald.errors import PrivysealError
from privyseald.key import Key
from privyseald.sessions.copies import Copy, SessionCopies
from privyseald.sessions.logins import LONGEST_LOGIN_MS, LogIn, Logins, Wish
from privyseald.sessions.news import News
from privyseald.sessions.record import SESSIONS, Standing, key_id_in, session_name
from privyseald.sessions.turns import LoginTurns, account_name, turn_name
from privyseald.sessions.watchers import Watcher
from privyseald.state.sealed_values import SealedValues
from privyseald.state.state import State
from privyseald.venues.venue import Session

# That a session was dropped stands for longer than any login goes on.
_DROPPED_MS = 2 * LONGEST_LOGIN_MS
# One report in as long may end an account's session: each costs a login.
_BETWEEN_REPORTS_MS = 30_000
_LONGEST_PAUSE_MS, _SHORTEST_PAUSE_MS = 60_000, 500
_PARDONED = "login-pardoned"


class Sessions:
    """The current session of each key. What a method can't ask or tell the state raises
    StateUnavailable.
    """

    def __init__(
        self,
        state: State,
        values: SealedValues,
        clock: Clock,
        random: Callable[[], float] = random.random,
    ) -> None:
        self._state = state
        self._values = values
        self._clock = clock
        self._copies = SessionCopies(values, clock, random)
        self._turns = LoginTurns(values, clock)
        self._news = News(state)
        self._logins = Logins(self._copies, self._turns, self._news)
        self._postponed: dict[str, int] = {}

    async def current(self, key: Key, *, fresh: bool = False) -> Session | None:
        """Return the key's session, None when there is none that will last a moment longer.

        What another server changed counts within two seconds; `fresh` asks the state at once.
        """
        copy = await (self._copies.read if fresh else self._copies.look)(key.key_id)
        return self._copies.use(copy, key)

    async def login(
        self,
        key: Key,
        log_in: LogIn,
        *,
        force: bool = False,
        instead_of: int | None = None,
        has_code: bool = False,
    ) -> Session:
        """Return the current session, or what `log_in` returns; one call for all who wait.

        `force` wants another session than the current one, `instead_of` a later one than that
        version. After a refusal the venue is left alone (see `refusals`); neither shortens that,
        and a second factor's code does so only where the venue asked for one.
        Raises LoginBackingOff, VenueAccountLocked, and what `log_in` raises.
        """
        wish = Wish(key, force=force, instead_of=instead_of, has_code=has_code)
        session = await self._logins.login(wish, log_in)
        self._postponed.pop(key.key_id, None)
        return session

    async def every_key_id(self) -> set[str]:
        """Return the keys that have a session at any server, or were lately asked for here."""
        names = await self._state.list(SESSIONS)
        found = {key_id for name in names if (key_id := key_id_in(name)) is not None}
        return found | set(self._copies.key_ids())

    def lives_ms(self) -> Iterator[tuple[str, int]]:
        """Yield the venue of each session that is in use at this server, and how long it may still
        be used.
        """
        return self._copies.lives_ms()

    def key_ids(self) -> tuple[str, ...]:
        """Return the keys whose sessions were lately asked for at this server."""
        return self._copies.key_ids()

    async def drop(self, key_id: str, *, may_reopen: bool = False) -> Session | None:
        """Forget the key's session everywhere, and return it. A login under way is not kept, and
        those who watch get no new session before somebody asks for one, or if `may_reopen`.
        """
        self._logins.part_from(key_id)
        self._copies.forget(key_id)
        copy = await self._copies.read(key_id)
        await self._drop(key_id, Standing(may_reopen=may_reopen), None)
        record = copy.standing.record
        return None if record is None or self._copies.is_over(copy) else record.session

    async def invalidate(self, key: Key, opened_before_ms: int) -> bool:
        """Drop the key's session everywhere if it was opened then or earlier: the venue said that
        it is over. Return whether that was done: at most every 30 s for an account, so that who
        goes on reporting can't have the venue asked again and again.
        """
        if not _is_opened_before(await self._copies.look(key.key_id), opened_before_ms):
            return False
        copy = await self._copies.read(key.key_id)
        if not _is_opened_before(copy, opened_before_ms):
            return False
        report = await self._values.put(
            f"session-report/{account_name(key)}", b"", version=0, ttl_ms=_BETWEEN_REPORTS_MS
        )
        return report is not None and await self._drop(key.key_id, Standing(), copy.version)

    async def pardon(self, key: Key) -> None:
        """Forget what the venue refused to the key's account: a custodian put it right."""
        await self._turns.pardon(key)
        self._postponed.clear()
        await self._news.tell(turn_name(key))
        await self._news.tell(_PARDONED)

    def watch(self, key_id: str) -> AbstractContextManager[Watcher]:
        """Give one who is rung when something about the key's session changed. As long as it is
        open, the session is renewed.
        """
        return self._news.watchers.watch(session_name(key_id))

    async def seen(self, key: Key) -> tuple[Session | None, Copy]:
        """Return the key's session without using it, and the copy that has it or has none."""
        copy = await self._copies.look(key.key_id)
        return self._copies.session(copy, key), copy

    async def wanted(self) -> list[tuple[str, int]]:
        """Return the key ids whose sessions want to be renewed now, with their versions.

        These are watched here, or were used here in the second half of their life. One that
        failed lately is left alone for a while.
        """
        names = self._news.watchers.names
        watched = {key_id for key_id in map(key_id_in, names) if key_id is not None}
        for key_id in watched:
            with suppress(PrivysealError):
                await self._copies.look(key_id)
        self._copies.sweep(watched)
        now_ms = self._clock.monotonic_ms()
        return [
            (key_id, copy.version)
            for key_id, copy in self._copies.items()
            if now_ms >= self._postponed.get(key_id, now_ms)
            and self._is_wanted(copy, now_ms, is_watched=key_id in watched)
        ]

    def postpone(self, key_id: str, failure: PrivysealError, *, is_news: bool = True) -> None:
        """Leave the key's session alone for a while after a failure, and tell those who watch;
        where it `is_news` no more, only those who have not heard of it.
        """
        pause_ms = failure.retry_after_ms or _LONGEST_PAUSE_MS
        pause_ms = min(max(pause_ms, _SHORTEST_PAUSE_MS), _LONGEST_PAUSE_MS)
        self._postponed[key_id] = self._clock.monotonic_ms() + pause_ms
        self._news.watchers.tell(session_name(key_id), failure, is_news=is_news)

    async def run(self) -> None:
        """Hear what other servers say, until cancelled."""
        await self._news.hear(self._learn)

    async def settle(self) -> None:
        """Wait for logins under way, also where the caller is gone: for an orderly end."""
        await self._logins.settle()

    async def _drop(self, key_id: str, standing: Standing, version: int | None) -> bool:
        written = await self._copies.write(
            key_id, standing, self._copies.now(), version=version, ttl_ms=_DROPPED_MS
        )
        await self._news.tell(session_name(key_id))
        return written is not None

    async def _learn(self, name: str) -> None:
        if name == _PARDONED:
            self._postponed.clear()
        elif (key_id := key_id_in(name)) is not None:
            await self._copies.hear(key_id)
        elif not name:
            for each in self._copies.key_ids():
                await self._copies.hear(each)

    def _is_wanted(self, copy: Copy, now_ms: int, *, is_watched: bool) -> bool:
        if self._copies.is_over(copy):
            return is_watched and copy.standing.may_reopen
        return now_ms >= copy.due_ms and (is_watched or copy.was_used_lately())


def _is_opened_before(copy: Copy, time_ms: int) -> bool:
    record = copy.standing.record
    return record is not None and record.session.create_time_ms <= time_ms
