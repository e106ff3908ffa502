"""The HTTP side of operations: a few GETs in plaintext, for monitoring and orchestrators.

By hand, because it needs so little and must bear anything: no body is read, headers are bounded
in size and time, and each connection ends with its answer.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus

import structlog

from privyseald.config_error import ConfigInvalid

_LONGEST_HEAD = 8_192
_HEAD_S = 5.0
_ANSWER_S = 10.0
_CLOSE_S = 1.0
_MOST = 64
_log = structlog.get_logger("privyseald.telemetry")


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back."""

    status: HTTPStatus
    body: bytes
    content_type: str = "text/plain; charset=utf-8"


Respond = Callable[[], Awaitable[Answer]]


class HttpDoor:
    """Answers GET and HEAD at a few paths, until closed."""

    def __init__(self, server: asyncio.Server, busy: set["asyncio.Task[None]"]) -> None:
        self._server = server
        self._busy = busy
        self.port: int = server.sockets[0].getsockname()[1]

    @classmethod
    async def open(cls, setting: str, listen: str, paths: Mapping[str, Respond]) -> "HttpDoor":
        """Listen. Raises ConfigInvalid naming the setting."""
        host, _, port = listen.rpartition(":")
        busy: set[asyncio.Task[None]] = set()

        async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None, "asyncio runs this as a task"  # noqa: S101
            if len(busy) >= _MOST:
                writer.close()
                return
            busy.add(task)
            # Cancelled by `close` alone.
            with suppress(asyncio.CancelledError):
                try:
                    await _serve(reader, writer, paths)
                finally:
                    busy.discard(task)
                    await _close(writer)

        try:
            server = await asyncio.start_server(
                take, host.strip("[]"), int(port), limit=_LONGEST_HEAD
            )
        except OSError as error:
            raise ConfigInvalid(
                f"{setting}: {listen} can't be listened on ({error.strerror}); is another program "
                "using the port? Give a free one, port 0 for any, or 'off'"
            ) from error
        return cls(server, busy)

    async def close(self) -> None:
        """Listen no more; what is under way is cut off."""
        self._server.close()
        for task in tuple(self._busy):
            task.cancel()
        await asyncio.gather(*self._busy, return_exceptions=True)


async def _serve(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, paths: Mapping[str, Respond]
) -> None:
    with suppress(TimeoutError, ConnectionError, asyncio.IncompleteReadError):
        try:
            async with asyncio.timeout(_HEAD_S):
                head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            method, answer = "GET", _plain(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        else:
            method, target = _request_of(head)
            answer = await _answer_to(method, target, paths)
        async with asyncio.timeout(_ANSWER_S):
            writer.write(_bytes_of(answer, with_body=method != "HEAD"))
            await writer.drain()
            writer.write_eof()
            # Else what the client still sends would have the answer thrown away.
            while await reader.read(_LONGEST_HEAD):
                pass


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    try:
        async with asyncio.timeout(_CLOSE_S):
            await writer.wait_closed()
    except (TimeoutError, ConnectionError):
        writer.transport.abort()


def _request_of(head: bytes) -> tuple[str, str]:
    """Return method and path; empty where that is no request."""
    line = head.partition(b"\r\n")[0].decode("latin-1").split(" ")
    if len(line) != 3 or not line[2].startswith("HTTP/1."):
        return "", ""
    return line[0], line[1].partition("?")[0]


async def _answer_to(method: str, target: str, paths: Mapping[str, Respond]) -> Answer:
    if not method:
        return _plain(HTTPStatus.BAD_REQUEST)
    respond = paths.get(target)
    if respond is None:
        return _plain(HTTPStatus.NOT_FOUND)
    if method not in {"GET", "HEAD"}:
        return _plain(HTTPStatus.METHOD_NOT_ALLOWED)
    try:
        return await respond()
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
        # Nobody foresaw it; the server goes on to sign.
        _log.error("internal error in an answer", path=target, cause=type(error).__name__)
        return _plain(HTTPStatus.INTERNAL_SERVER_ERROR)


def json_answer(status: HTTPStatus, content: Mapping[str, object]) -> Answer:
    """Return an answer in JSON."""
    return Answer(status, json.dumps(content).encode() + b"\n", "application/json")


def _plain(status: HTTPStatus) -> Answer:
    return Answer(status, f"{status.phrase}\n".encode())


def _bytes_of(answer: Answer, *, with_body: bool) -> bytes:
    status = answer.status
    head = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        f"Content-Type: {answer.content_type}",
        f"Content-Length: {len(answer.body)}",
        "Cache-Control: no-store",
        "Connection: close",
    ]
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        head.append("Allow: GET, HEAD")
    return "\r\n".join((*head, "", "")).encode() + (answer.body if with_body else b"")
