"""A tap on the way to a venue: it hands all bytes on, and keeps what went by."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self

_CHUNK = 65_536


@dataclass(frozen=True, slots=True)
class WireRequest:
    """An HTTP/1.1 request as it was on the wire."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes = field(repr=False)

    def values(self, name: str) -> list[str]:
        """Return the values of a header."""
        return [value for each, value in self.headers if each.lower() == name.lower()]


class WireTap:
    """Relays to a port of the loopback, which may be given later. Use `async with`."""

    def __init__(self) -> None:
        self._server: asyncio.Server
        self._tasks: set[asyncio.Task[None]] = set()
        self._streams: list[bytearray] = []
        self.target = 0
        self.port = 0

    @property
    def url(self) -> str:
        """The base URL of the venue behind it."""
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def requests(self) -> list[WireRequest]:
        """Return all whole requests, connection by connection."""
        return [request for stream in self._streams for request in _parse(bytes(stream))]

    def forget(self) -> None:
        """Forget what went by; open connections go on."""
        for stream in self._streams:
            stream.clear()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._relay(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        kept = bytearray()
        self._streams.append(kept)
        ways = {
            asyncio.ensure_future(_pump(reader, far_writer, kept)),
            asyncio.ensure_future(_pump(far_reader, writer, None)),
        }
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            far_writer.close()
            writer.close()


async def _pump(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kept: bytearray | None
) -> None:
    with suppress(OSError):
        while data := await reader.read(_CHUNK):
            if kept is not None:
                kept += data
            writer.write(data)
            await writer.drain()


def _parse(stream: bytes) -> list[WireRequest]:
    requests = []
    while (end := stream.find(b"\r\n\r\n")) >= 0:
        line, *rest = stream[:end].decode("latin-1").split("\r\n")
        method, target, _ = line.split(" ", 2)
        headers = tuple(_header(each) for each in rest)
        length, chunked = 0, False
        for name, value in headers:
            if name.lower() == "content-length":
                length = int(value)
            if name.lower() == "transfer-encoding":
                chunked = True
        body, stream = _body(stream[end + 4 :], length, chunked=chunked)
        requests.append(WireRequest(method, target, headers, body))
    return requests


def _header(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name, value.strip()


def _body(rest: bytes, length: int, *, chunked: bool) -> tuple[bytes, bytes]:
    if not chunked:
        return rest[:length], rest[length:]
    body = b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        count = int(size.split(b";")[0], 16)
        body, rest = body + rest[:count], rest[count + 2 :]
        if count == 0:
            break
    return body, rest
