"""Signals within one process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_MOST_WAITING = 1_000


class LocalSignals:
    """Names that are told to all who listen in this process.

    A listener that is too slow for `most_waiting` of them is told once that it missed some.
    """

    def __init__(self, *, most_waiting: int = _MOST_WAITING) -> None:
        self._most_waiting = most_waiting
        self._listeners: set[asyncio.Queue[str | None]] = set()
        self._is_closed = False

    def send(self, name: str) -> None:
        """Tell all who listen now."""
        for listener in self._listeners:
            if listener.qsize() >= self._most_waiting:
                _empty(listener)
                listener.put_nowait("")
            listener.put_nowait(name)

    @asynccontextmanager
    async def listen(self) -> AsyncIterator[AsyncIterator[str]]:
        """Listen from now on, until `close`."""
        listener: asyncio.Queue[str | None] = asyncio.Queue()
        if self._is_closed:
            listener.put_nowait(None)
        self._listeners.add(listener)

        async def names() -> AsyncIterator[str]:
            while (name := await listener.get()) is not None:
                yield name

        try:
            yield names()
        finally:
            self._listeners.discard(listener)

    def close(self) -> None:
        """End what is listened to."""
        self._is_closed = True
        for listener in self._listeners:
            listener.put_nowait(None)


def _empty(listener: asyncio.Queue[str | None]) -> None:
    while not listener.empty():
        listener.get_nowait()
