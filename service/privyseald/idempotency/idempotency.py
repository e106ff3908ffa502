"""One answer to one request id, however often the request comes, and at whichever replica."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar, cast

from privyseald.clock import Clock
from privyseald.idempotency.codec import Codec
from privyseald.idempotency.first_answers import (
    FirstAnswer,
    FirstAnswers,
    Request,
    request_id_reused,
)
from privyseald.idempotency.kept_answers import KeptAnswers
from privyseald.idempotency.request_id import canonical_id
from privyseald.state.sealed_values import SealedValues

_T = TypeVar("_T")
_CLAIM_TTL_MS = 5_000
_CAPACITY_BYTES = 128 * 1_048_576


@dataclass(slots=True)
class _UnderWay:
    """What this process works on, or waits for. So many `callers` still want its answer."""

    task: asyncio.Task[FirstAnswer[object]]
    callers: int = 0


class Idempotency:
    """Keeps first answers for ten minutes, in the shared state. A failure is not kept.

    They also stay in this process's memory, so that a retry here finds its answer even where
    the state lost it; when `capacity_bytes` are spent, the oldest leave that memory early.
    """

    def __init__(
        self,
        values: SealedValues,
        clock: Clock,
        *,
        claim_ttl_ms: int = _CLAIM_TTL_MS,
        capacity_bytes: int = _CAPACITY_BYTES,
    ) -> None:
        self._answers = FirstAnswers(values, clock, claim_ttl_ms)
        self._kept = KeptAnswers(clock, capacity_bytes)
        self._under_way: dict[tuple[str, bytes], _UnderWay] = {}
        self._unnamed: set[asyncio.Task[object]] = set()
        # For those who watch: repeats that were answered from memory, and by work under way.
        self.from_memory = self.joined = 0

    @property
    def from_state(self) -> int:
        """How often the state had an answer that this process did not know."""
        return self._answers.found

    async def once(
        self,
        scope: str,
        request_id: str,
        fingerprint: bytes,
        act: Callable[[], Awaitable[_T]],
        codec: Codec[_T],
    ) -> _T:
        """Return what `act` returned when this id came first; without an id, call `act`.

        Duplicates that come while the first is under way wait for it. The first goes on even
        if its caller goes away. Raises FieldInvalid for an id that is no UUID, RequestIdReused
        when the id came with another fingerprint, and StateUnavailable.
        """
        if not request_id:
            return await act()
        name = _name(scope, request_id)
        kept = self._kept.find(name)
        if kept is not None:
            if kept.fingerprint != fingerprint:
                raise request_id_reused()
            self.from_memory += 1
            return cast("_T", kept.answer)
        key = name, fingerprint
        under_way = self._under_way.get(key)
        if under_way is None:
            request = Request(name, fingerprint, act, codec, lambda: self._check_wanted(key))
            task = asyncio.ensure_future(self._answers.first(request))
            under_way = _UnderWay(cast("asyncio.Task[FirstAnswer[object]]", task))
            self._under_way[key] = under_way
            under_way.task.add_done_callback(lambda done: self._finish(key, done))
        else:
            self.joined += 1
        under_way.callers += 1
        try:
            return cast("_T", (await asyncio.shield(under_way.task)).answer)
        finally:
            under_way.callers -= 1

    async def to_the_end(self, act: Callable[[], Awaitable[_T]]) -> _T:
        """Return what `act` returns. It goes on even if its caller goes away."""
        task = asyncio.ensure_future(_run(act))
        unnamed = cast("asyncio.Task[object]", task)
        self._unnamed.add(unnamed)
        unnamed.add_done_callback(self._finish_unnamed)
        return await asyncio.shield(task)

    async def settle(self) -> None:
        """Wait for what is under way, also where the caller is gone: for an orderly end."""
        tasks = [under_way.task for under_way in self._under_way.values()]
        await asyncio.gather(*tasks, *self._unnamed, return_exceptions=True)

    def _check_wanted(self, key: tuple[str, bytes]) -> None:
        """End the wait for another replica when all callers went away."""
        if not self._under_way[key].callers:
            # At once: whoever comes from now on begins anew.
            del self._under_way[key]
            raise asyncio.CancelledError

    def _finish(self, key: tuple[str, bytes], done: "asyncio.Task[FirstAnswer[object]]") -> None:
        under_way = self._under_way.get(key)
        if under_way is not None and under_way.task is done:
            del self._under_way[key]
        # Asking for the exception marks it as seen when every caller went away.
        if not done.cancelled() and done.exception() is None:
            self._kept.keep(*key, done.result())

    def _finish_unnamed(self, done: "asyncio.Task[object]") -> None:
        self._unnamed.discard(done)
        if not done.cancelled():
            done.exception()


async def _run(act: Callable[[], Awaitable[_T]]) -> _T:
    return await act()


def _name(scope: str, request_id: str) -> str:
    """Return the name in the state: it shows neither the caller nor the id."""
    canonical = canonical_id(request_id)
    return f"request/{hashlib.sha256(f'{scope}/{canonical}'.encode()).hexdigest()}"
