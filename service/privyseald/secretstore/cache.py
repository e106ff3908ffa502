"""Opened keys, kept for a while: fresh, then stale while the store is away, then gone.

Only a store that is away (sealed, unreachable, at fault) lets a stale key serve. What the
store says of a key, that it is deleted, malformed or forbidden, takes effect when it is heard.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

from privyseald.clock import Clock
from privyseald.errors import (
    PrivysealError,
    SecretStoreForbidden,
    SecretStoreUnreachable,
    Unavailable,
)
from privyseald.secretstore.store import SecretStore
from privyseald.secretstore.verdicts import Verdicts
from privyseald.signing.signer import Credential

_T = TypeVar("_T")
# While the store is away, how long it is left alone: no request waits for it meanwhile.
_PAUSE_MS = 1_000
# How long a caller waits for the store when there is a key that may serve, or little hope.
_PATIENCE_S = 0.5


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """Life spans. Younger than soft: used. Up to twice soft: used, and checked meanwhile.

    Older: checked first; used up to hard if the store is away, which is asked once a second.
    Of more than `most` keys those that were checked longest ago are read anew when used.
    """

    soft_ms: int = 60_000
    hard_ms: int = 900_000
    most: int = 50_000


@dataclass(slots=True)
class _Entry(Generic[_T]):
    opened: _T
    revision: str
    checked_ms: int
    pause_until_ms: int = 0
    is_store_away: bool = False


class KeyCache(Generic[_T]):
    """Reads each key once for all who want it at the same time, and only when it is wanted.

    Later it compares the store's revision, which tells no secret, and reads the key again only
    when that has changed. `prepare` turns a credential into what callers use, and may refuse it.
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
        # The one that was checked longest ago first.
        self._entries: OrderedDict[str, _Entry[_T]] = OrderedDict()
        self._checks: dict[str, asyncio.Task[_T]] = {}
        self._verdicts = Verdicts(clock)
        # For those who watch: keys that were at hand, old ones used while the store is away, and
        # those for which the store was waited for.
        self.hits = self.stale = self.misses = 0

    def __len__(self) -> int:
        return len(self._entries)

    async def open(self, key_id: str) -> _T:
        """Return the opened key. Raises what the store raises."""
        entry = self._entries.get(key_id)
        now_ms = self._clock.monotonic_ms()
        if entry is None or not self._may_serve(key_id, entry):
            self.misses += 1
            return await self._read(key_id)
        age_ms = now_ms - entry.checked_ms
        is_young = age_ms < self._policy.soft_ms
        if is_young or now_ms < entry.pause_until_ms:
            return self._use(entry, is_stale=not is_young)
        check = self._start_check(key_id)
        if age_ms < 2 * self._policy.soft_ms or entry.is_store_away:
            return self._use(entry, is_stale=entry.is_store_away)
        with suppress(Unavailable, TimeoutError):
            async with asyncio.timeout(_PATIENCE_S):
                opened = await asyncio.shield(check)
            self.misses += 1
            return opened
        entry.is_store_away = True
        if self._may_serve(key_id, entry):
            return self._use(entry, is_stale=True)
        self.misses += 1
        return await asyncio.shield(check)

    def forget(self, key_id: str) -> None:
        """Drop the key, because it has just been changed here. A check under way is not kept."""
        self._entries.pop(key_id, None)
        self._checks.pop(key_id, None)
        self._verdicts.forget(key_id)

    def key_ids(self, matches: Callable[[_T], bool]) -> list[str]:
        """Return the ids of the cached keys that match."""
        return [key_id for key_id, entry in self._entries.items() if matches(entry.opened)]

    def sweep(self) -> None:
        """Let those go that nobody may use any more, and what is too many."""
        gone_ms = self._clock.monotonic_ms() - self._policy.hard_ms
        while self._entries:
            oldest_id, oldest = next(iter(self._entries.items()))
            if oldest.checked_ms >= gone_ms and len(self._entries) <= self._policy.most:
                return
            del self._entries[oldest_id]

    def _use(self, entry: _Entry[_T], *, is_stale: bool) -> _T:
        if is_stale:
            self.stale += 1
        else:
            self.hits += 1
        return entry.opened

    async def _read(self, key_id: str) -> _T:
        """Wait for the store; not for long, where it was away the last time."""
        self._verdicts.check(key_id)
        check = self._start_check(key_id)
        if not self._verdicts.is_store_away(key_id):
            return await asyncio.shield(check)
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_S):
                return await asyncio.shield(check)
        raise SecretStoreUnreachable(
            "the secret store is slow to answer, after it was away; try again later",
            retry_after_ms=_PAUSE_MS,
        )

    def _may_serve(self, key_id: str, entry: _Entry[_T]) -> bool:
        """Whether a key may be used without the store: not past its hard life, nor dropped."""
        age_ms = self._clock.monotonic_ms() - entry.checked_ms
        return age_ms < self._policy.hard_ms and self._entries.get(key_id) is entry

    def _start_check(self, key_id: str) -> "asyncio.Task[_T]":
        task = self._checks.get(key_id)
        if task is None:
            task = asyncio.ensure_future(self._check(key_id))
            self._checks[key_id] = task
            task.add_done_callback(lambda done: self._finish(key_id, done))
        return task

    async def _check(self, key_id: str) -> _T:
        """Return the key as the store has it now, and keep that, or what the store says of it.

        What began before a `forget` says nothing of the key that stands there after it.
        """
        this = asyncio.current_task()
        entry = self._entries.get(key_id)
        started_ms = self._clock.monotonic_ms()
        try:
            if entry is None or await self._has_changed(key_id, entry):
                credential = await self._store.open(key_id)
                entry = _Entry(self._prepare(credential), credential.revision, started_ms)
        except PrivysealError as error:
            if self._checks.get(key_id) is this:
                self._verdicts.keep(key_id, error)
                self._hear(key_id, error)
            raise
        if self._checks.get(key_id) is this:
            entry.checked_ms, entry.pause_until_ms, entry.is_store_away = started_ms, 0, False
            self._entries[key_id] = entry
            self._entries.move_to_end(key_id)
            self._verdicts.forget(key_id)
            self.sweep()
        return entry.opened

    async def _has_changed(self, key_id: str, entry: _Entry[_T]) -> bool:
        try:
            return entry.revision != await self._store.revision(key_id)
        except SecretStoreForbidden:
            # Where only the document may be read, that decides.
            return True

    def _hear(self, key_id: str, error: PrivysealError) -> None:
        """Drop the key, unless the store is only away."""
        if not isinstance(error, Unavailable):
            self._entries.pop(key_id, None)
        elif (entry := self._entries.get(key_id)) is not None:
            entry.pause_until_ms = self._clock.monotonic_ms() + _PAUSE_MS
            entry.is_store_away = True

    def _finish(self, key_id: str, done: "asyncio.Task[_T]") -> None:
        if self._checks.get(key_id) is done:
            del self._checks[key_id]
        if not done.cancelled():
            # Marks the exception as seen when the check was a background one.
            done.exception()
