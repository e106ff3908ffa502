"""One answer to one request id, however often the request comes."""

import asyncio
import uuid
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

from privyseald.clock import Clock
from privyseald.errors import FieldInvalid, RequestIdReused

_T = TypeVar("_T")
_TTL_MS = 600_000
_CAPACITY = 100_000


@dataclass(frozen=True, slots=True)
class _Entry(Generic[_T]):
    fingerprint: bytes
    expire_ms: int
    answer: asyncio.Task[_T]


class Idempotency:
    """Remembers first answers for ten minutes, in this process. A failure is not remembered."""

    def __init__(self, clock: Clock, *, capacity: int = _CAPACITY) -> None:
        self._clock = clock
        self._capacity = capacity
        self._entries: OrderedDict[tuple[str, str], _Entry[object]] = OrderedDict()

    async def once(
        self,
        scope: str,
        request_id: str,
        fingerprint: bytes,
        act: Callable[[], Awaitable[_T]],
    ) -> _T:
        """Return what `act` returned when this id came first; without an id, call `act`.

        Duplicates that come while the first is under way wait for it. The first goes on even
        if its caller goes away. Raises FieldInvalid for an id that is no UUID, and
        RequestIdReused when the id came with another fingerprint.
        """
        if not request_id:
            return await act()
        name = (scope, _canonical(request_id))
        now = self._clock.monotonic_ms()
        self._forget(now)
        entry = self._entries.get(name)
        if entry is None:
            task = asyncio.ensure_future(_run(act))
            entry = _Entry(fingerprint, now + _TTL_MS, cast("asyncio.Task[object]", task))
            self._entries[name] = entry
            entry.answer.add_done_callback(lambda done: self._drop_failure(name, done))
        elif entry.fingerprint != fingerprint:
            raise RequestIdReused(
                "request_id", "was used before for a different request; use a new UUID for each"
            )
        return cast("_T", await asyncio.shield(entry.answer))

    def _drop_failure(self, name: tuple[str, str], done: "asyncio.Task[object]") -> None:
        if done.cancelled() or done.exception() is not None:
            self._entries.pop(name, None)

    def _forget(self, now: int) -> None:
        while self._entries:
            name, entry = next(iter(self._entries.items()))
            if entry.expire_ms > now and len(self._entries) < self._capacity:
                return
            del self._entries[name]


async def _run(act: Callable[[], Awaitable[_T]]) -> _T:
    return await act()


def _canonical(request_id: str) -> str:
    try:
        return str(uuid.UUID(request_id))
    except ValueError as error:
        raise FieldInvalid(
            "request_id", "must be a UUID, as in 8b1f3a52-5f0e-4a1c-9a51-0b8f1d6f7c11, or empty"
        ) from error
