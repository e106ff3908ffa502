"""Opened keys, kept for a while: fresh, then stale while the store is away, then gone.

Only a store that is away (sealed, unreachable, at fault) lets a stale key serve. What the
store says of a key, that it is deleted, malformed or forbidden, takes effect when it is heard.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from privyseald.clock import Clock
from privyseald.errors import PrivysealError, Unavailable
from privyseald.secretstore.store import SecretStore
from privyseald.signing.signer import Credential

_T = TypeVar("_T")
# While the store is away, how long it is left alone: no request waits for it meanwhile.
_PAUSE_MS = 1_000


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """Life spans. Younger than soft: used. Up to twice soft: used, and read again meanwhile.

    Older: read first; used up to hard if the store is away, which is asked once a second.
    """

    soft_ms: int = 60_000
    hard_ms: int = 900_000


@dataclass(slots=True)
class _Entry(Generic[_T]):
    opened: _T
    read_ms: int
    pause_until_ms: int = 0


class KeyCache(Generic[_T]):
    """Reads each key once for all who want it at the same time, and only when it is wanted.

    `prepare` turns a credential into what callers use, and may refuse it.
    """

    def __init__(
        self,
        store: SecretStore,
        prepare: Callable[[Credential], _T],
        clock: Clock,
        policy: CachePolicy,
    ) -> None:
        self._store = store
        self._prepare = prepare
        self._clock = clock
        self._policy = policy
        # The one that was read longest ago first.
        self._entries: OrderedDict[str, _Entry[_T]] = OrderedDict()
        self._reads: dict[str, asyncio.Task[_T]] = {}

    async def open(self, key_id: str) -> _T:
        """Return the opened key. Raises what the store raises."""
        entry = self._entries.get(key_id)
        if entry is None:
            return await self._read(key_id)
        soft_ms, hard_ms = self._policy.soft_ms, self._policy.hard_ms
        now_ms = self._clock.monotonic_ms()
        age_ms = now_ms - entry.read_ms
        if age_ms < soft_ms or (age_ms < hard_ms and now_ms < entry.pause_until_ms):
            return entry.opened
        if age_ms < min(2 * soft_ms, hard_ms):
            self._start_read(key_id)
            return entry.opened
        try:
            return await self._read(key_id)
        except Unavailable:
            age_ms = self._clock.monotonic_ms() - entry.read_ms
            if age_ms < hard_ms and self._entries.get(key_id) is entry:
                return entry.opened
            raise

    def forget(self, key_id: str) -> None:
        """Drop the key, because it has just been changed here. A read under way is not kept."""
        self._entries.pop(key_id, None)
        self._reads.pop(key_id, None)

    async def _read(self, key_id: str) -> _T:
        return await asyncio.shield(self._start_read(key_id))

    def _start_read(self, key_id: str) -> "asyncio.Task[_T]":
        task = self._reads.get(key_id)
        if task is None:
            task = asyncio.ensure_future(self._fetch(key_id))
            self._reads[key_id] = task
            task.add_done_callback(lambda done: self._finish(key_id, done))
        return task

    async def _fetch(self, key_id: str) -> _T:
        started_ms = self._clock.monotonic_ms()
        this = asyncio.current_task()
        try:
            opened = self._prepare(await self._store.open(key_id))
        except Unavailable:
            entry = self._entries.get(key_id)
            if entry is not None:
                entry.pause_until_ms = self._clock.monotonic_ms() + _PAUSE_MS
            raise
        except PrivysealError:
            if self._reads.get(key_id) is this:
                self._entries.pop(key_id, None)
            raise
        if self._reads.get(key_id) is this:
            self._enter(key_id, _Entry(opened, started_ms))
        return opened

    def _enter(self, key_id: str, entry: _Entry[_T]) -> None:
        """Keep an entry, and let those go that nobody may use any more."""
        self._entries[key_id] = entry
        self._entries.move_to_end(key_id)
        gone_ms = self._clock.monotonic_ms() - self._policy.hard_ms
        while self._entries:
            oldest_id, oldest = next(iter(self._entries.items()))
            if oldest.read_ms >= gone_ms:
                return
            del self._entries[oldest_id]

    def _finish(self, key_id: str, done: "asyncio.Task[_T]") -> None:
        if self._reads.get(key_id) is done:
            del self._reads[key_id]
        if not done.cancelled():
            # Marks the exception as seen when the read was a background one.
            done.exception()
