"""One login for all who want a session at the same time, at this server and at all others."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from privyseald.errors import PrivysealError, Unavailable, VenueOutcomeUnknown, VenueRefused
from privyseald.key import Key
from privyseald.sessions.copies import Copy, Instant, SessionCopies
from privyseald.sessions.news import News
from privyseald.sessions.record import SessionRecord, Standing, session_name
from privyseald.sessions.turns import LoginTurns, TakenTurn, turn_name
from privyseald.venues.venue import Session

LogIn = Callable[[], Awaitable[Session]]
# Who waits for another server's login looks as often; news make it quicker.
_LOOK_S = 0.1
# A login that took longer is not kept: what happened meanwhile may be forgotten by now.
LONGEST_LOGIN_MS = 300_000


@dataclass(frozen=True, slots=True)
class Wish:
    """What a caller wants: a session of the key, and a later one than `instead_of`; where that is
    None, `force` means later than the current one. `has_code` says that a second factor is there.
    """

    key: Key
    force: bool = False
    instead_of: int | None = None
    has_code: bool = False

    @property
    def name(self) -> tuple[str, int, int, bool, bool]:
        """What those have in common who can share a login."""
        is_choosy = self.force or self.instead_of is not None
        key = self.key
        return key.key_id, key.version, key.create_time_ms, is_choosy, self.has_code


class Logins:
    """Logins under way at this server. They go on when their callers go away."""

    def __init__(self, copies: SessionCopies, turns: LoginTurns, news: News) -> None:
        self._copies = copies
        self._turns = turns
        self._news = news
        self._shared: dict[tuple[str, int, int, bool, bool], asyncio.Task[Session]] = {}
        self._under_way: set[asyncio.Task[Session]] = set()

    async def login(self, wish: Wish, log_in: LogIn) -> Session:
        """Return the session that is there, or what `log_in` returns."""
        task = self._shared.get(wish.name)
        if task is None:
            task = asyncio.ensure_future(self._log_in(wish, log_in))
            self._shared[wish.name] = task
            self._under_way.add(task)
            task.add_done_callback(lambda done: self._finish(wish, done))
        return await asyncio.shield(task)

    def part_from(self, key_id: str) -> None:
        """Have nobody join the logins of a key that are under way now, and keep none of them."""
        for name in [each for each in self._shared if each[0] == key_id]:
            del self._shared[name]

    async def settle(self) -> None:
        """Wait for all, also where the caller is gone: for an orderly end."""
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def _log_in(self, wish: Wish, log_in: LogIn) -> Session:
        key, has_waited = wish.key, False
        copy = await self._copies.read(key.key_id)
        later_than = wish.instead_of
        if later_than is None:
            later_than = copy.version if wish.force else -1
        with self._news.watchers.watch(turn_name(key)) as watcher:
            while (session := self._copies.use(copy, key, later_than)) is None:
                turn = await self._turns.take(key, has_code=wish.has_code, has_waited=has_waited)
                if turn is not None:
                    return await self._use(wish, turn, log_in, later_than)
                has_waited = True
                await watcher.wait(_LOOK_S)
                copy = await self._copies.read(key.key_id)
        return session

    async def _use(self, wish: Wish, turn: TakenTurn, log_in: LogIn, later_than: int) -> Session:
        """Log in, unless somebody did so before the turn was taken."""
        key = wish.key
        copy = await self._copies.read(key.key_id)
        session = self._copies.use(copy, key, later_than)
        if session is not None:
            await self._end(key, self._turns.release(turn))
            return session
        since = self._copies.now()
        try:
            async with self._turns.kept(turn):
                session = await log_in()
        except (VenueRefused, VenueOutcomeUnknown) as error:
            await self._end(key, self._turns.refuse(turn, error))
            raise
        except (PrivysealError, asyncio.CancelledError):
            await self._end(key, self._turns.release(turn))
            raise
        # What nobody foresaw leaves the turn as it is: who takes it next finds that nobody knows
        # what came of it.
        session = await self._record(wish, session, copy, since)
        await self._end(key, self._turns.finish(turn))
        return session

    async def _record(self, wish: Wish, session: Session, before: Copy, since: Instant) -> Session:
        """Write the session where nothing was written since the turn was taken; else return the
        one that stands there, if that is the key's.
        """
        key = wish.key
        record = SessionRecord(key.version, key.create_time_ms, session)
        standing = before.standing.record
        is_outdated = standing is not None and standing.belongs_to_later(key)
        is_parted = self._shared.get(wish.name) is not asyncio.current_task()
        passed_ms = self._copies.passed_ms(since)
        left_ms = record.usable_ms - passed_ms
        if not (is_outdated or is_parted) and left_ms > 0 and passed_ms < LONGEST_LOGIN_MS:
            written = await self._copies.write(
                key.key_id, Standing(record), since, version=before.version, ttl_ms=left_ms
            )
            if written is not None:
                await self._news.tell(session_name(key.key_id))
                self._copies.use(written, key)
                return session
        copy = await self._copies.read(key.key_id)
        return self._copies.use(copy, key) or session

    async def _end(self, key: Key, ending: Awaitable[None]) -> None:
        """Give the turn back. Where the state is away it ends by itself, as an unknown outcome."""
        with suppress(Unavailable):
            await ending
        await self._news.tell(turn_name(key))

    def _finish(self, wish: Wish, done: "asyncio.Task[Session]") -> None:
        self._under_way.discard(done)
        if self._shared.get(wish.name) is done:
            del self._shared[wish.name]
        if not done.cancelled():
            # Marks the exception as seen when every caller went away.
            done.exception()
