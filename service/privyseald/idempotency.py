"""One answer to one request id, however often the request comes."""

import asyncio
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

from privyseald.clock import Clock
from privyseald.errors import FieldInvalid, RequestIdReused

_T = TypeVar("_T")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}")
_TTL_MS = 600_000
_CAPACITY_BYTES = 128 * 1_048_576
# What an answer takes beside its content, about.
_ENTRY_BYTES = 1_024


@dataclass(slots=True)
class _Entry(Generic[_T]):
    fingerprint: bytes
    size: int
    answer: asyncio.Task[_T]
    expire_ms: int = 0


class Idempotency:
    """Remembers first answers for ten minutes, in this process. A failure is not remembered.

    When `capacity_bytes` are spent, the oldest answers go early; work under way never does.
    """

    def __init__(self, clock: Clock, *, capacity_bytes: int = _CAPACITY_BYTES) -> None:
        self._clock = clock
        self._capacity_bytes = capacity_bytes
        self._bytes = 0
        self._under_way: dict[tuple[str, str], _Entry[object]] = {}
        # The oldest first: each is entered when it is there.
        self._answers: OrderedDict[tuple[str, str], _Entry[object]] = OrderedDict()

    async def once(
        self,
        scope: str,
        request_id: str,
        fingerprint: bytes,
        act: Callable[[], Awaitable[_T]],
        *,
        answer_bytes: int = 0,
    ) -> _T:
        """Return what `act` returned when this id came first; without an id, call `act`.

        Duplicates that come while the first is under way wait for it. The first goes on even
        if its caller goes away. `answer_bytes` says about how much memory the answer takes.
        Raises FieldInvalid for an id that is no UUID, and RequestIdReused when the id came
        with another fingerprint.
        """
        if not request_id:
            return await act()
        name = (scope, canonical_id(request_id))
        self._forget()
        entry = self._under_way.get(name) or self._answers.get(name)
        if entry is None:
            task = cast("asyncio.Task[object]", asyncio.ensure_future(_run(act)))
            entry = self._under_way[name] = _Entry(fingerprint, _ENTRY_BYTES + answer_bytes, task)
            task.add_done_callback(lambda done: self._finish(name, done))
        elif entry.fingerprint != fingerprint:
            raise RequestIdReused(
                "request_id", "was used before for a different request; use a new UUID for each"
            )
        return cast("_T", await asyncio.shield(entry.answer))

    async def settle(self) -> None:
        """Wait for what is under way, also where the caller is gone: for an orderly end."""
        answers = [entry.answer for entry in self._under_way.values()]
        await asyncio.gather(*answers, return_exceptions=True)

    def _finish(self, name: tuple[str, str], done: "asyncio.Task[object]") -> None:
        entry = self._under_way.pop(name)
        # Asking for the exception marks it as seen when every caller went away.
        if done.cancelled() or done.exception() is not None:
            return
        entry.expire_ms = self._clock.monotonic_ms() + _TTL_MS
        self._answers[name] = entry
        self._bytes += entry.size
        self._forget()

    def _forget(self) -> None:
        now_ms = self._clock.monotonic_ms()
        while self._answers:
            name, entry = next(iter(self._answers.items()))
            if entry.expire_ms > now_ms and self._bytes <= self._capacity_bytes:
                return
            del self._answers[name]
            self._bytes -= entry.size


async def _run(act: Callable[[], Awaitable[_T]]) -> _T:
    return await act()


def canonical_id(request_id: str) -> str:
    """Return a request id in its one form, in whatever form it comes. Raises FieldInvalid."""
    text = request_id.lower()
    if not _UUID.fullmatch(text):
        raise FieldInvalid(
            "request_id", "must be a UUID, as in 8b1f3a52-5f0e-4a1c-9a51-0b8f1d6f7c11, or empty"
        )
    return text.replace("-", "")
