"""A venue's server down to the bytes: notes what arrives, and answers what it is told."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass(slots=True)
class RawVenue:
    """`answer` is sent after each request and a pause; then the connection is closed, or left
    open.
    """

    answer: bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    stays_open: bool = False
    pause_s: float = 0.0
    url: str = ""
    requests: list[bytes] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read one request, answer it."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = 0
            for line in head.lower().split(b"\r\n"):
                if line.startswith(b"content-length:"):
                    length = int(line.partition(b":")[2])
            self.requests.append(head + await reader.readexactly(length))
            self.asked.set()
            await asyncio.sleep(self.pause_s)
            writer.write(self.answer)
            await writer.drain()
            if self.stays_open:
                await reader.read()
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            self.hung_up.set()
            writer.close()


@asynccontextmanager
async def raw_venue(
    answer: bytes | None = None,
    *,
    stays_open: bool = False,
    pause_s: float = 0.0,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[RawVenue]:
    """Run a server that gives this answer."""
    venue = RawVenue(stays_open=stays_open, pause_s=pause_s)
    if answer is not None:
        venue.answer = answer
    server = await asyncio.start_server(venue.serve, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    venue.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
    try:
        yield venue
    finally:
        server.close()
        await server.wait_closed()
