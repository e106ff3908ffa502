"""First answers in the shared state: made by one replica, and read by all others."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from privyseald.clock import Clock
from privyseald.errors import RequestIdReused, StateUnavailable
from privyseald.idempotency.claim import Claim
from privyseald.idempotency.codec import Codec
from privyseald.idempotency.record import Answered, Claimed, load_record
from privyseald.state.sealed_values import SealedValues

TTL_MS = 600_000
_FIRST_PAUSE_MS, _LAST_PAUSE_MS = 10, 200
_RETRY_MS = 1_000

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Request(Generic[_T]):
    """A request under an id. `act` does what it asks for; `check_wanted` raises when nobody
    waits for it any more.
    """

    name: str
    fingerprint: bytes
    act: Callable[[], Awaitable[_T]]
    codec: Codec[_T]
    check_wanted: Callable[[], None]


@dataclass(frozen=True, slots=True)
class FirstAnswer(Generic[_T]):
    """An answer, about how many bytes it has, and when it was there, in Unix milliseconds."""

    answer: _T
    size: int
    time_ms: int


class FirstAnswers:
    """Who comes first claims the id, and replaces the claim by the answer before that is given
    to anybody. All others wait for it.

    A process works on one request of a name and a fingerprint at a time.
    """

    def __init__(self, values: SealedValues, clock: Clock, claim_ttl_ms: int) -> None:
        self._values = values
        self._clock = clock
        self._claim_ttl_ms = claim_ttl_ms
        self._holder = os.urandom(16)
        # For those who watch: answers that were there already.
        self.found = 0

    async def first(self, request: Request[_T]) -> FirstAnswer[_T]:
        """Return the first answer, made here or elsewhere.

        Raises RequestIdReused, StateUnavailable, and what `act` raises.
        """
        found: Answered | int = 0
        while not isinstance(found, Answered):
            claimed = Claimed(request.fingerprint, self._holder)
            claim = Claim(self._values, request.name, claimed, self._claim_ttl_ms)
            if await claim.take(found):
                return await self._answer(request, claim)
            found = await self._outcome(request)
        self.found += 1
        return _loaded(found, request.codec)

    async def _answer(self, request: Request[_T], claim: Claim) -> FirstAnswer[_T]:
        try:
            answer = await request.act()
            data = request.codec.dump(answer)
        except BaseException:
            await claim.release()
            raise
        time_ms = self._clock.time_us() // 1_000
        if await claim.answer(Answered(request.fingerprint, time_ms, data), TTL_MS):
            return FirstAnswer(answer, len(data), time_ms)
        # This process stood still until the claim expired: another may have answered since, so
        # what was made here is given to nobody.
        found = await self._outcome(request)
        if isinstance(found, Answered):
            return _loaded(found, request.codec)
        raise StateUnavailable(
            "this server lost its claim on the request_id before the answer was ready, and threw "
            "the answer away; send the request again with the same request_id",
            retry_after_ms=_RETRY_MS,
        )

    async def _outcome(self, request: Request[_T]) -> Answered | int:
        """Return the first answer once it is there, or the version at which the id may be
        claimed: 0 when it is free, else that of a claim which this process left behind.
        """
        pause_ms = _FIRST_PAUSE_MS
        while True:
            value = await self._values.get(request.name)
            if value is None:
                return 0
            record = _record(value.data)
            if record.fingerprint != request.fingerprint:
                raise request_id_reused()
            if isinstance(record, Answered):
                return record
            if record.holder == self._holder:
                return value.version
            await asyncio.sleep(pause_ms / 1_000)
            pause_ms = min(2 * pause_ms, _LAST_PAUSE_MS)
            request.check_wanted()


def request_id_reused() -> RequestIdReused:
    """Return the refusal for an id that stands for another request."""
    return RequestIdReused(
        "request_id", "was used before for a different request; use a new UUID for each"
    )


def _record(data: bytes) -> Answered | Claimed:
    try:
        return load_record(data)
    except ValueError as error:
        raise _unreadable() from error


def _loaded(found: Answered, codec: Codec[_T]) -> FirstAnswer[_T]:
    try:
        answer = codec.load(found.answer)
    except ValueError as error:
        raise _unreadable() from error
    return FirstAnswer(answer, len(found.answer), found.time_ms)


def _unreadable() -> StateUnavailable:
    return StateUnavailable(
        "this server can't read what another one keeps under the request_id, perhaps because "
        "their releases differ; send the request again, or, if the first one may count as lost, "
        "with a new request_id",
        retry_after_ms=_RETRY_MS,
    )
