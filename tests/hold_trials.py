"""How long it takes until a hold stops every replica, as callers see it."""

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import grpc

from privyseal.v1 import hold_service_pb2, signing_service_pb2
from service import Stubs

_LOOPS = 3
# Long after the last answer that could come late.
_QUIET_S = 0.15


@dataclass(frozen=True, slots=True)
class Trial:
    """Milliseconds from the call of CreateHold, and DeleteHold, until it is so everywhere."""

    answer_ms: float
    stop_ms: float
    lift_ms: float


@dataclass(slots=True)
class _Seen:
    """When a replica last signed, and refused because of a hold, by the monotonic clock."""

    signed_s: float = 0.0
    held_s: float = 0.0


class Replicas:
    """Has each replica sign without a break. `replicas` are one caller's stubs on each."""

    def __init__(self, replicas: Sequence[Stubs], request: signing_service_pb2.SignRequest) -> None:
        self._replicas = replicas
        self._request = request
        self._seen = [_Seen() for _ in replicas]
        self._loops: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        for stubs, seen in zip(self._replicas, self._seen, strict=True):
            self._loops += [asyncio.ensure_future(self._sign(stubs, seen)) for _ in range(_LOOPS)]
        return self

    async def __aexit__(self, *_: object) -> None:
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)

    async def trial(self, number: int, hold: hold_service_pb2.Hold) -> Trial:
        """Create and delete the hold, each at another replica."""
        creator = self._replicas[number % len(self._replicas)]
        lifter = self._replicas[(number + 1) % len(self._replicas)]
        called_s = time.monotonic()
        request = hold_service_pb2.CreateHoldRequest(hold=hold)
        name = (await creator.holds.CreateHold(request)).hold.name
        answered_s = time.monotonic()
        await _until(lambda: all(seen.held_s > called_s for seen in self._seen))
        await asyncio.sleep(_QUIET_S)
        stopped_s = max(called_s, *(seen.signed_s for seen in self._seen))
        lifted_s = time.monotonic()
        await lifter.holds.DeleteHold(hold_service_pb2.DeleteHoldRequest(name=name))
        await _until(lambda: all(seen.signed_s > lifted_s for seen in self._seen))
        free_s = time.monotonic()
        return Trial(
            1_000 * (answered_s - called_s),
            1_000 * (stopped_s - called_s),
            1_000 * (free_s - lifted_s),
        )

    async def trials(self, count: int, hold: hold_service_pb2.Hold) -> list[Trial]:
        """Do so many, one after the other, from when all replicas sign."""
        await _until(lambda: all(seen.signed_s for seen in self._seen))
        return [await self.trial(number, hold) for number in range(count)]

    async def _sign(self, stubs: Stubs, seen: _Seen) -> None:
        while True:
            try:
                await stubs.signing.Sign(self._request)
                seen.signed_s = time.monotonic()
            except grpc.aio.AioRpcError as error:
                if "is stopped by holds/" in (error.details() or ""):
                    seen.held_s = time.monotonic()
                await asyncio.sleep(0.001)


async def _until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not is_so():  # noqa: ASYNC110  # what is waited for is in another process
            await asyncio.sleep(0.001)


def quantile(values: Sequence[float], part: float) -> float:
    """Return the value that `part` of all are not above."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(part * len(ordered)) - 1)]
