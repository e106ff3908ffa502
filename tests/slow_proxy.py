"""A TCP proxy that can be slow: what a bad network, or a balancer before Vault's nodes, does."""

import asyncio
from contextlib import suppress
from urllib.parse import urlsplit

from relay import Relay, Streams


class SlowProxy(Relay):
    """Forwards to the first target that takes a connection. Use `async with`.

    `delay_s` is waited before each piece that goes to the target; it may be changed at any time.
    `delayed` counts those pieces, from when their wait begins.
    """

    def __init__(self, *targets: str) -> None:
        super().__init__()
        self.delay_s = 0.0
        self.delayed = 0
        self._targets = [urlsplit(target).netloc.rpartition(":")[::2] for target in targets]

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    async def connect(self) -> Streams:
        """Connect to the first target that can be reached."""
        for host, port in self._targets:
            with suppress(OSError):
                return await asyncio.open_connection(host, port)
        raise ConnectionRefusedError

    async def carry(self, data: bytes, writer: asyncio.StreamWriter, *, is_request: bool) -> None:
        """Hand it on, late if it is on its way to the target."""
        if is_request and self.delay_s:
            self.delayed += 1
            await asyncio.sleep(self.delay_s)
        await super().carry(data, writer, is_request=is_request)
