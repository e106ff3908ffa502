"""A state whose calls are counted."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager

from privyseald.calls import Calls
from privyseald.state.state import Charge, Shortage, State, Step, Value


class WatchedState:
    """Implements `State` by another one. `calls` hears of each use."""

    def __init__(self, state: State, calls: Calls) -> None:
        self._state = state
        self._calls = calls
        self._now_us = calls.clock.monotonic_us
        self._advances = calls.of("advance")

    async def advance(self, name: str, step: Step) -> int:
        """Return the counter's next value. Each Sign comes here, so it is counted by hand."""
        if self._calls.tracer is not None:
            with self._calls.call("advance"):
                return await self._state.advance(name, step)
        began_us, advances = self._now_us(), self._advances
        try:
            value = await self._state.advance(name, step)
        except BaseException as error:
            advances.durations.add(self._now_us() - began_us)
            self._calls.fail(advances, error)
            raise
        advances.durations.add(self._now_us() - began_us)
        advances.done += 1
        return value

    async def resync(self, name: str, target: int) -> tuple[int, int]:
        """Bring the counter to `target`."""
        with self._calls.call("resync"):
            return await self._state.resync(name, target)

    async def get(self, name: str) -> Value | None:
        """Return what stands there."""
        with self._calls.call("get"):
            return await self._state.get(name)

    async def put(
        self, name: str, data: bytes, *, version: int | None = None, ttl_ms: int | None = None
    ) -> int | None:
        """Write, if `version` stands there."""
        with self._calls.call("put"):
            return await self._state.put(name, data, version=version, ttl_ms=ttl_ms)

    async def delete(self, name: str, *, version: int | None = None) -> bool:
        """Remove, if `version` stands there."""
        with self._calls.call("delete"):
            return await self._state.delete(name, version=version)

    async def list(self, prefix: str) -> Mapping[str, Value]:
        """Return all values whose names begin so."""
        with self._calls.call("list"):
            return await self._state.list(prefix)

    async def spend(self, charges: Sequence[Charge], *, look: bool = False) -> Shortage | None:
        """Spend all charges, or nothing of them."""
        with self._calls.call("spend"):
            return await self._state.spend(charges, look=look)

    async def signal(self, name: str) -> None:
        """Tell all who listen."""
        with self._calls.call("signal"):
            await self._state.signal(name)

    def signals(self) -> AbstractAsyncContextManager[AsyncIterator[str]]:
        """Listen; how long that goes on is not counted."""
        return self._state.signals()

    async def check(self) -> None:
        """Raise what stands in the way."""
        with self._calls.call("check"):
            await self._state.check()

    async def close(self) -> None:
        """Let go."""
        await self._state.close()
