"""One connection to a Valkey server, on which many commands are under way at the same time.

Commands of one turn of the event loop go out in one piece, and answers come in their order.
Nothing is ever sent twice: whoever asked decides what a lost answer means.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, TypeAlias, cast

from libvalkey import ProtocolError, Reader, pack_command

from privyseald.state.valkey_failure import Broken, Refused, of_connecting

Word: TypeAlias = bytes | str | int
Reply: TypeAlias = "bytes | int | list[Reply] | None"

# A stopped process that goes on finds its timers due before it has read what came meanwhile.
_GRACE_S = 0.02


class Address(NamedTuple):
    """Where a server listens."""

    host: str
    port: int


class Connection(asyncio.Protocol):
    """Made by `open`. `on_message` hears what is published on channels that it subscribed to."""

    def __init__(self, timeout_ms: int, on_message: Callable[[bytes], None] | None = None) -> None:
        self._timeout_s = timeout_ms / 1_000
        self._on_message = on_message
        self._loop = asyncio.get_running_loop()
        self._reader = Reader(replyError=Refused)
        self._calls: deque[tuple[asyncio.Future[Reply], float]] = deque()
        self._unsent: list[bytes] = []
        self._watch: asyncio.TimerHandle | None = None
        self._suspect: asyncio.Future[Reply] | None = None
        self._transport: asyncio.Transport
        self._end: asyncio.Future[Broken] = self._loop.create_future()

    @classmethod
    async def open(
        cls,
        address: Address,
        timeout_ms: int,
        tls: ssl.SSLContext | None = None,
        on_message: Callable[[bytes], None] | None = None,
    ) -> "Connection":
        """Connect within `timeout_ms`, which each command has too. Raises Broken."""
        try:
            async with asyncio.timeout(timeout_ms / 1_000):
                _, connection = await asyncio.get_running_loop().create_connection(
                    lambda: cls(timeout_ms, on_message),
                    address.host,
                    address.port,
                    ssl=tls,
                    server_hostname=address.host if tls else None,
                )
        except (OSError, UnicodeError) as error:
            raise of_connecting(error) from None
        return connection

    @property
    def is_open(self) -> bool:
        """Whether commands can be sent."""
        return not self._end.done()

    def call(self, *words: Word) -> asyncio.Future[Reply]:
        """Send a command, and return its answer to come. That raises Refused and Broken."""
        answer: asyncio.Future[Reply] = self._loop.create_future()
        if self._end.done():
            answer.set_exception(self._end.result())
            return answer
        if not self._unsent:
            self._loop.call_soon(self._send)
        self._unsent.append(pack_command(words))
        now = self._loop.time()
        self._calls.append((answer, now + self._timeout_s))
        if self._watch is None:
            self._watch = self._loop.call_later(self._timeout_s, self._look)
        return answer

    async def ended(self) -> Broken:
        """Return when the connection is gone, with the cause."""
        return await asyncio.shield(self._end)

    def close(self, cause: str = "was left") -> None:
        """End the connection; calls under way raise Broken with this cause."""
        self._finish(Broken(cause))
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way out."""
        # What uvloop makes is one without being derived from it.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Give each answer to the call that has waited the longest."""
        try:
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not False:
                self._take(reply)
        except (ProtocolError, IndexError):
            self.close("speaks something else than a Valkey; check state.url")

    def connection_lost(self, exc: Exception | None) -> None:
        """End the calls under way."""
        if isinstance(exc, ssl.SSLError):
            self._finish(of_connecting(exc))
        self._finish(Broken("closed the connection"))

    def _take(self, reply: "Reply | Refused") -> None:
        if self._on_message is not None and isinstance(reply, list) and reply[0] == b"message":
            message = reply[2]
            self._on_message(message if isinstance(message, bytes) else b"")
            return
        answer, _ = self._calls.popleft()
        # Whoever asked may have gone away.
        if not answer.done():
            if isinstance(reply, Refused):
                answer.set_exception(reply)
            else:
                answer.set_result(reply)

    def _send(self) -> None:
        if not self._end.done():
            self._transport.write(b"".join(self._unsent))
        self._unsent.clear()

    def _look(self) -> None:
        """End the connection when the call that has waited the longest waits too long."""
        self._watch = None
        if not self._calls:
            return
        answer, deadline = self._calls[0]
        left_s = deadline - self._loop.time()
        if left_s <= 0:
            if answer is self._suspect:
                self.close("did not answer within state.timeout_ms")
                return
            self._suspect, left_s = answer, _GRACE_S
        self._watch = self._loop.call_later(left_s, self._look)

    def _finish(self, cause: Broken) -> None:
        if self._end.done():
            return
        self._end.set_result(cause)
        if self._watch is not None:
            self._watch.cancel()
        for answer, _ in self._calls:
            if not answer.done():
                answer.set_exception(Broken(*cause.args))
                # Asking marks it as seen, where whoever asked went away.
                answer.exception()
        self._calls.clear()
