"""A tap on the way to a venue: it hands all bytes on, and keeps what went by."""

import asyncio
from dataclasses import dataclass, field

from relay import Relay, Streams


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


class WireTap(Relay):
    """Relays to a port of the loopback, which may be given later. Use `async with`."""

    def __init__(self) -> None:
        super().__init__()
        self._sent: dict[asyncio.StreamWriter, bytearray] = {}
        self.target = 0

    @property
    def url(self) -> str:
        """The base URL of the venue behind it."""
        return f"http://127.0.0.1:{self.port}"

    def requests(self) -> list[WireRequest]:
        """Return all whole requests, connection by connection."""
        return [request for stream in self._sent.values() for request in _parse(bytes(stream))]

    def forget(self) -> None:
        """Forget what went by; open connections go on."""
        for stream in self._sent.values():
            stream.clear()

    async def connect(self) -> Streams:
        """Connect to the venue."""
        return await asyncio.open_connection("127.0.0.1", self.target)

    async def carry(self, data: bytes, writer: asyncio.StreamWriter, *, is_request: bool) -> None:
        """Keep it, and hand it on."""
        if is_request:
            self._sent.setdefault(writer, bytearray()).extend(data)
        await super().carry(data, writer, is_request=is_request)


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
