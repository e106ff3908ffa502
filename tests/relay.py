"""A relay on loopback: what stands between two ends in a test, whatever it does there."""

import asyncio
import ssl
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import Self

_CHUNK = 65_536

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Relay(ABC):
    """Takes connections and hands on what they bring, both ways. Use `async with`; `port` is
    where it listens, behind TLS where it was given a context.
    """

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self._context = context
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._context)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @abstractmethod
    async def connect(self) -> Streams:
        """Return the far end of a new connection. Raises OSError where there is none."""

    async def carry(self, data: bytes, writer: asyncio.StreamWriter, *, is_request: bool) -> None:
        """Hand on a piece, of what the near end sent or of what the far end answered."""
        writer.write(data)
        await writer.drain()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._forward(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError):
                far_reader, far_writer = await self.connect()
                try:
                    await asyncio.gather(
                        self._pump(reader, far_writer, is_request=True),
                        self._pump(far_reader, writer, is_request=False),
                    )
                finally:
                    far_writer.close()
        finally:
            writer.close()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_request: bool
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(_CHUNK):
                await self.carry(data, writer, is_request=is_request)
        writer.close()
