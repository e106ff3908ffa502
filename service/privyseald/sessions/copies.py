"""A server's copies of sessions: at hand for each Sign, and never older than two seconds.

A copy that is a second old is read again while it is used; one that is two seconds old is not
used before it was. What happens at another server is heard at once, most of the time.
"""

import asyncio
import itertools
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass

from privyseald.clock import Clock
from privyseald.errors import PrivysealError
from privyseald.key import Key
from privyseald.sessions.record import Standing, session_name
from privyseald.state.sealed_values import SealedValues
from privyseald.venues.venue import Session

_FRESH_MS = 1_000
_OLDEST_MS = 2_000
# Copies that nobody looked at for as long are let go.
_UNUSED_MS = 60_000
# Sessions are renewed at about this part of their life, each server at a moment of its own.
_DUE, _JITTER = 0.80, 0.05


@dataclass(frozen=True, slots=True)
class Instant:
    """One moment on both clocks."""

    monotonic_ms: int
    time_ms: int


@dataclass(slots=True)
class Copy:
    """What stood in the state under a key's name when it was read, `turn` telling the order.

    `since` bounds how long the session may be used here; `opened_ms` is about when, on the
    monotonic clock, it was opened, and `due_ms` when it is to be renewed. `venue` is empty until
    somebody wanted the session here.
    """

    standing: Standing
    version: int
    turn: int
    checked_ms: int
    since: Instant
    opened_ms: int
    due_ms: int
    looked_ms: int
    used_ms: int | None = None
    venue: str = ""

    def was_used_lately(self) -> bool:
        """Whether the session was used in the second half of its life."""
        record = self.standing.record
        if record is None or self.used_ms is None:
            return False
        return self.used_ms - self.opened_ms >= record.life_ms // 2


class SessionCopies:
    """Copies by key id. `random` returns numbers from 0 to 1."""

    def __init__(self, values: SealedValues, clock: Clock, random: Callable[[], float]) -> None:
        self._values = values
        self._clock = clock
        self._random = random
        self._copies: dict[str, Copy] = {}
        self._reads: dict[str, asyncio.Task[Copy]] = {}
        self._turns = itertools.count(1)

    def items(self) -> tuple[tuple[str, Copy], ...]:
        """Return the key ids that there are copies for, with the copies."""
        return tuple(self._copies.items())

    def key_ids(self) -> tuple[str, ...]:
        """Return the key ids that there are copies for."""
        return tuple(self._copies)

    def now(self) -> Instant:
        """Return this moment."""
        return Instant(self._clock.monotonic_ms(), self._clock.time_us() // 1_000)

    async def look(self, key_id: str) -> Copy:
        """Return the copy, read anew where it is too old. Raises StateUnavailable."""
        copy = self._copies.get(key_id)
        now_ms = self._clock.monotonic_ms()
        if copy is not None and now_ms - copy.checked_ms < _OLDEST_MS:
            copy.looked_ms = now_ms
            if now_ms - copy.checked_ms >= _FRESH_MS:
                self.refresh(key_id)
            return copy
        return await asyncio.shield(self.refresh(key_id))

    async def read(self, key_id: str) -> Copy:
        """Return what stands in the state now. Raises StateUnavailable."""
        turn, now = next(self._turns), self.now()
        found = await self._values.get(session_name(key_id))
        if found is None:
            return self._keep(key_id, Standing(), 0, turn, now, now)
        return self._keep(key_id, Standing.of_json(found.data), found.version, turn, now, now)

    async def write(
        self,
        key_id: str,
        standing: Standing,
        since: Instant,
        *,
        version: int | None,
        ttl_ms: int,
    ) -> Copy | None:
        """Write where `version` stands, and return the copy; None where something else does. The
        session was asked for at `since`. Raises StateUnavailable.
        """
        written = await self._values.put(
            session_name(key_id), standing.to_json(), version=version, ttl_ms=ttl_ms
        )
        if written is None:
            return None
        return self._keep(key_id, standing, written, next(self._turns), self.now(), since)

    def forget(self, key_id: str) -> None:
        """Let go of a copy: nobody uses it before the state was asked."""
        self._copies.pop(key_id, None)
        self._reads.pop(key_id, None)

    def session(self, copy: Copy, key: Key) -> Session | None:
        """Return the copy's session, if it is that key's and will last a moment longer."""
        record = copy.standing.record
        if record is None or not record.belongs_to(key) or self.is_over(copy):
            return None
        copy.venue = key.venue
        return record.session

    def use(self, copy: Copy, key: Key, later_than: int = -1) -> Session | None:
        """Return the session as `session` does, if the copy is of a later version than that, and
        note that it was used.
        """
        session = self.session(copy, key) if copy.version > later_than else None
        if session is not None:
            copy.used_ms = self._clock.monotonic_ms()
        return session

    def is_over(self, copy: Copy) -> bool:
        """Whether nobody may use the copy's session any more, or there is none.

        The state's own clock ends a session too. Here both clocks count, from when it was first
        seen: the wall clock may be set back, the other one may stand still in a sleep.
        """
        record = copy.standing.record
        return record is None or self.passed_ms(copy.since) >= record.usable_ms

    def lives_ms(self) -> Iterator[tuple[str, int]]:
        """Yield the venue of each session in use here, and how long it may still be used."""
        for copy in self._copies.values():
            record = copy.standing.record
            if copy.venue and record is not None and not self.is_over(copy):
                yield copy.venue, record.usable_ms - self.passed_ms(copy.since)

    def passed_ms(self, since: Instant) -> int:
        """Return how long ago that was, by the clock that says more."""
        now = self.now()
        return max(now.monotonic_ms - since.monotonic_ms, now.time_ms - since.time_ms)

    def refresh(self, key_id: str) -> "asyncio.Task[Copy]":
        """Read in the background, once for all who want it."""
        task = self._reads.get(key_id)
        if task is None:
            task = asyncio.ensure_future(self.read(key_id))
            self._reads[key_id] = task
            task.add_done_callback(lambda done: self._finish(key_id, done))
        return task

    async def hear(self, key_id: str) -> None:
        """Read what changed, if there is a copy; where that fails, the copy grows old."""
        if key_id in self._copies:
            # A read that began before may have missed the change.
            self._reads.pop(key_id, None)
            with suppress(PrivysealError):
                await asyncio.shield(self.refresh(key_id))

    def sweep(self, watched: Collection[str]) -> None:
        """Let go of what nobody looks at, and nobody watches."""
        gone_ms = self._clock.monotonic_ms() - _UNUSED_MS
        for key_id, copy in self.items():
            if copy.looked_ms >= gone_ms or key_id in watched:
                continue
            if self.is_over(copy) or not copy.was_used_lately():
                del self._copies[key_id]

    def _keep(
        self, key_id: str, standing: Standing, version: int, turn: int, now: Instant, since: Instant
    ) -> Copy:
        """Keep a copy, unless one that was read later is there; return what was read."""
        before = self._copies.get(key_id)
        if before is not None and version == 0 and not before.standing.may_reopen:
            # The note of a logout ended; the logout still counts.
            standing = before.standing
        if before is not None and before.version == version:
            # The same session: it gets no younger by being read again.
            copy = before
            if turn > copy.turn:
                copy.turn, copy.checked_ms = turn, now.monotonic_ms
            if since.monotonic_ms < copy.since.monotonic_ms:
                copy.since = since
        else:
            copy = self._first(standing, version, turn, now, since)
        if before is None or turn >= before.turn:
            self._copies[key_id] = copy
        return copy

    def _first(
        self, standing: Standing, version: int, turn: int, now: Instant, since: Instant
    ) -> Copy:
        opened_ms = due_ms = since.monotonic_ms
        if (record := standing.record) is not None:
            # By wall clocks that may differ: good enough to plan by, and bounded by the life.
            age_ms = since.time_ms - record.session.create_time_ms
            opened_ms -= min(max(age_ms, 0), record.life_ms)
            part = _DUE + _JITTER * (2 * self._random() - 1)
            due_ms = opened_ms + int(part * record.life_ms)
        return Copy(
            standing, version, turn, now.monotonic_ms, since, opened_ms, due_ms, now.monotonic_ms
        )

    def _finish(self, key_id: str, done: "asyncio.Task[Copy]") -> None:
        if self._reads.get(key_id) is done:
            del self._reads[key_id]
        if not done.cancelled():
            # Marks the exception as seen when nobody waited.
            done.exception()
