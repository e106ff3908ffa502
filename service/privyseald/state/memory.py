"""Values and signals of one process."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from privyseald.clock import Clock
from privyseald.state.state import Value


class Memory:
    """Values by name, each until its time is over."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._values: dict[str, tuple[Value, int | None]] = {}
        self._version = 0

    def get(self, name: str) -> Value | None:
        """Return what stands there."""
        found = self._values.get(name)
        if found is None:
            return None
        value, end = found
        if end is not None and self._clock.monotonic_ms() >= end:
            del self._values[name]
            return None
        return value

    def put(self, name: str, data: bytes, version: int | None, ttl_ms: int | None) -> int | None:
        """Write, if `version` stands there."""
        if not self._is(name, version):
            return None
        self._version += 1
        end = None if ttl_ms is None else self._clock.monotonic_ms() + ttl_ms
        self._values[name] = Value(data, self._version), end
        return self._version

    def delete(self, name: str, version: int | None) -> bool:
        """Remove, if `version` stands there."""
        if not self._is(name, version):
            return False
        self._values.pop(name, None)
        return True

    def list(self, prefix: str) -> Mapping[str, Value]:
        """Return all values whose names begin so."""
        names = [name for name in self._values if name.startswith(prefix)]
        found = {name: self.get(name) for name in names}
        return {name: value for name, value in found.items() if value is not None}

    def _is(self, name: str, version: int | None) -> bool:
        if version is None:
            return True
        found = self.get(name)
        return version == (found.version if found else 0)


class Signals:
    """Names that are told to all who listen in this process."""

    def __init__(self) -> None:
        self._listeners: set[asyncio.Queue[str]] = set()

    def send(self, name: str) -> None:
        """Tell all who listen now."""
        for listener in self._listeners:
            listener.put_nowait(name)

    @asynccontextmanager
    async def listen(self) -> AsyncIterator[AsyncIterator[str]]:
        """Listen from now on."""
        listener: asyncio.Queue[str] = asyncio.Queue()
        self._listeners.add(listener)

        async def names() -> AsyncIterator[str]:
            while True:
                yield await listener.get()

        heard = names()
        try:
            yield heard
        finally:
            self._listeners.discard(listener)
