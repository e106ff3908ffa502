"""The HTTP side of operations: a few GETs in plaintext, for monitoring and orchestrators.

By hand, because it needs so little and must bear anything: heads are bounded in size and time, and
so is what comes behind them; who does not read is let go, and each connection ends with its answer.
aiohttp.web was tried here: it keeps a connection that says nothing, one whose head never ends, and
one that never reads its answer, for as long as the client likes, and any number of them. What ends
these is most of this file.
"""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus

import structlog

from privyseald.config_error import ConfigInvalid
from privyseald.unforeseen import new_error_id, trace_of

_LONGEST_HEAD = 8_192
_HEAD_S = 5.0
_ANSWER_S = 10.0
_CLOSE_S = 1.0
_MOST = 64
# Of a body that nobody asked for, as much is let pass: else the answer could be thrown away.
_LONGEST_REST = 262_144
_REST_S = 1.0
# The form of a target that is meant for a proxy; a server must understand it too.
_ORIGIN = re.compile("https?://[^/?]+", re.IGNORECASE)
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

    def __init__(self, server: asyncio.Server, busy: dict["asyncio.Task[None]", None]) -> None:
        self._server = server
        self._busy = busy
        self.port: int = server.sockets[0].getsockname()[1]

    @classmethod
    async def open(cls, setting: str, listen: str, paths: Mapping[str, Respond]) -> "HttpDoor":
        """Listen. Raises ConfigInvalid naming the setting."""
        host, _, port = listen.rpartition(":")
        # In the order in which they came.
        busy: dict[asyncio.Task[None], None] = {}

        async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None, "asyncio runs this as a task"  # noqa: S101
            if len(busy) >= _MOST:
                # Who needs only moments gets in, however many there are that hang on.
                oldest = next(iter(busy))
                del busy[oldest]
                oldest.cancel()
            busy[task] = None
            # Cancelled here, for another one, or by `close`.
            with suppress(asyncio.CancelledError):
                try:
                    await _serve(reader, writer, paths)
                    await _close(writer)
                finally:
                    busy.pop(task, None)
                    # Nothing, where it is closed.
                    writer.transport.abort()

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
    # OSError: it ended early, in one of many ways, or it took too long.
    with suppress(OSError, asyncio.IncompleteReadError):
        try:
            async with asyncio.timeout(_HEAD_S):
                head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            method, answer = "GET", _plain(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        else:
            method, target = _request_of(head)
            answer = await _answer_to(method, target, paths)
        # To write where nobody is any more would be a mistake of ours.
        if writer.transport.is_closing():
            return
        async with asyncio.timeout(_ANSWER_S):
            writer.write(_bytes_of(answer, with_body=method != "HEAD"))
            await _flush(writer)
        if writer.transport.is_closing():
            return
        writer.write_eof()
        async with asyncio.timeout(_REST_S):
            left = _LONGEST_REST
            while left > 0 and (rest := await reader.read(left)):
                left -= len(rest)


async def _flush(writer: asyncio.StreamWriter) -> None:
    """Return when the system has taken all."""
    writer.transport.set_write_buffer_limits(0)
    await writer.drain()


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    # OSError: late, or gone.
    with suppress(OSError):
        async with asyncio.timeout(_CLOSE_S):
            await writer.wait_closed()


def _request_of(head: bytes) -> tuple[str, str]:
    """Return method and path; empty where that is no request."""
    line = head.partition(b"\r\n")[0].decode("latin-1").split(" ")
    if len(line) != 3 or not line[2].startswith("HTTP/1."):
        return "", ""
    return line[0], _ORIGIN.sub("", line[1], count=1).partition("?")[0]


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
    except Exception as error:  # noqa: BLE001 - whatever a scrape finds, the server goes on to sign
        _log.error(
            "internal error in an answer",
            path=target,
            error_id=new_error_id(),
            cause=trace_of(error),
        )
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
