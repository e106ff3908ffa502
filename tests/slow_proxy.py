"""A TCP proxy that can be slow: what a bad network, or a balancer before Vault's nodes, does."""

import asyncio
from contextlib import suppress
from typing import Self
from urllib.parse import urlsplit

_CHUNK = 65_536


class SlowProxy:
    """Forwards to the first target that takes a connection. Use `async with`.

    `delay_s` is waited before each piece that goes to the target; it may be changed at any time.
    `delayed` counts those pieces, from when their wait begins.
    """

    def __init__(self, *targets: str) -> None:
        self.delay_s = 0.0
        self.delayed = 0
        self._targets = [urlsplit(target).netloc.rpartition(":")[::2] for target in targets]
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server
        self.url = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._forward(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            for host, port in self._targets:
                with suppress(OSError):
                    far_reader, far_writer = await asyncio.open_connection(host, port)
                    break
            else:
                return
            try:
                await asyncio.gather(
                    self._pump(reader, far_writer, is_slow=True),
                    self._pump(far_reader, writer, is_slow=False),
                )
            finally:
                far_writer.close()
        finally:
            writer.close()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_slow: bool
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(_CHUNK):
                if is_slow and self.delay_s:
                    self.delayed += 1
                    await asyncio.sleep(self.delay_s)
                writer.write(data)
                await writer.drain()
        writer.close()
