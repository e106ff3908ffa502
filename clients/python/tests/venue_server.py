"""A venue on loopback that keeps each request as it was on the wire, and answers as told."""

import asyncio
import threading
from dataclasses import dataclass, field
from typing import Self


@dataclass(frozen=True, slots=True)
class Received:
    """One request."""

    line: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes

    def values(self, name: str) -> list[str]:
        """Return the values of a header."""
        return [value for each, value in self.headers if each.lower() == name.lower()]


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
DROP = b""


@dataclass(frozen=True, slots=True)
class Slowly:
    """An answer in parts, with a time between them."""

    parts: tuple[bytes, ...]
    pause_s: float


class VenueServer:
    """Answers with what is queued in `answers`, else 200. Runs in a thread. Use `with`."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._server: asyncio.Server
        self.answers: list[bytes | Slowly] = []
        self.received: list[Received] = []
        self.connections = 0
        self.ends = False
        self.url = ""

    def __enter__(self) -> Self:
        self._thread.start()
        begun = asyncio.run_coroutine_threadsafe(self._begin(), self._loop)
        self.url = f"http://127.0.0.1:{begun.result(10)}"
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _begin(self) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def _end(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                line, *rest = head.decode("latin-1").rstrip().split("\r\n")
                headers = tuple((name, value.strip()) for name, _, value in _split(rest))
                length = {name.lower(): value for name, value in headers}
                body = await reader.readexactly(int(length.get("content-length", "0")))
                self.received.append(Received(line, headers, body))
                answer = self.answers.pop(0) if self.answers else OK
                if answer == DROP:
                    return
                for part in answer.parts if isinstance(answer, Slowly) else (answer,):
                    writer.write(part)
                    await asyncio.sleep(answer.pause_s if isinstance(answer, Slowly) else 0)
                if self.ends:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()


def _split(lines: list[str]) -> list[tuple[str, str, str]]:
    return [line.partition(":") for line in lines]


def http_answer(status: str, body: bytes = b"", **headers: str) -> bytes:
    """Return an answer's bytes."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
