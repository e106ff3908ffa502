"""Reads commands as clients/CONFORMANCE.md has them, and answers.

It calls with `AsyncClient`; with PRIVYSEAL_RUNNER=blocking in the environment, with `Client` in
threads.
"""

import asyncio
import base64
import json
import os
import re
import sys
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from google.protobuf.message import Message

from privyseal import AsyncClient, Client, PrivysealError, Tls, __version__
from privyseal.v1 import (
    hold_service_pb2,
    key_service_pb2,
    signing_service_pb2,
    venue_service_pb2,
)
from runner.answers import error_answer
from runner.overhead import overhead
from runner.sending import DOORS, Sender
from runner.watching import Watching

_MODULES = (signing_service_pb2, key_service_pb2, venue_service_pb2, hold_service_pb2)
_LINE = 64 * 1_048_576
BLOCKING = os.environ.get("PRIVYSEAL_RUNNER") == "blocking"


class Connected:
    """A client in both kinds, and its doors."""

    def __init__(self, command: dict[str, Any]) -> None:
        tls = command.get("tls")
        settings: dict[str, Any] = {
            "tls": Tls(**{name: value for name, value in tls.items() if value}) if tls else None,
            "token_file": command.get("token_file"),
            "plaintext": command.get("plaintext", False),
        }
        if command.get("timeout_ms") is not None:
            settings["timeout_s"] = command["timeout_ms"] / 1_000
        if command.get("max_attempts") is not None:
            settings["max_attempts"] = command["max_attempts"]
        self.asynchronous = AsyncClient(command["targets"], **settings)
        self.blocking = Client(command["targets"], **settings)
        self.sender = Sender(self.asynchronous, self.blocking)

    async def call(self, rpc: str, request: Message, timeout_s: float | None) -> Message:
        """Return the answer of one RPC."""
        name = re.sub(r"(?<!^)(?=[A-Z])", "_", rpc).lower()
        if BLOCKING:
            method = getattr(self.blocking, name)
            answer: Message = await asyncio.to_thread(method, request, timeout_s=timeout_s)
        else:
            answer = await getattr(self.asynchronous, name)(request, timeout_s=timeout_s)
        return answer

    async def close(self) -> None:
        """Close everything."""
        await self.sender.close()
        await self.asynchronous.close()
        await asyncio.to_thread(self.blocking.close)


class Runner:
    """Does commands."""

    def __init__(self) -> None:
        self._clients: dict[str, Connected] = {}
        self._streams: dict[str, Watching] = {}
        self._commands: dict[str, Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]] = {
            "describe": self._describe,
            "connect": self._connect,
            "call": self._call,
            "watch": self._watch,
            "next": self._next,
            "unwatch": self._unwatch,
            "send": self._send,
            "load": self._load,
            "overhead": self._overhead,
            "close": self._close,
        }

    async def answer(self, line: bytes) -> dict[str, Any]:
        """Return the answer to a command."""
        command = json.loads(line)
        started = time.monotonic()
        try:
            answer = await self._commands[command["do"]](command)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  # all are answers
            answer = {"error": error_answer(error)}
        if command["do"] == "call":
            answer["elapsed_ms"] = round((time.monotonic() - started) * 1_000)
        return {"id": command["id"], **answer}

    async def close(self) -> None:
        """Close what is open."""
        for stream in self._streams.values():
            await stream.close()
        for client in self._clients.values():
            await client.close()

    async def _describe(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"language": "python", "version": __version__, "doors": list(DOORS)}

    async def _connect(self, command: dict[str, Any]) -> dict[str, Any]:
        made = self._clients[command["client"]] = Connected(command)
        return {"text": f"{made.asynchronous!r} {made.blocking!r}"}

    async def _call(self, command: dict[str, Any]) -> dict[str, Any]:
        client = self._clients[command["client"]]
        call = asyncio.ensure_future(
            client.call(
                command["rpc"],
                _message(f"{command['rpc']}Request", command["request"]),
                _seconds(command.get("timeout_ms")),
            )
        )
        if command.get("cancel_after_ms") is not None:
            asyncio.get_running_loop().call_later(command["cancel_after_ms"] / 1_000, call.cancel)
        try:
            response = await call
        except asyncio.CancelledError as error:
            raise PrivysealError("CANCELLED", message="cancelled by the caller") from error
        return {"response": _encoded(response)}

    async def _watch(self, command: dict[str, Any]) -> dict[str, Any]:
        client = self._clients[command["client"]]
        kind = client.blocking if BLOCKING else client.asynchronous
        request = signing_service_pb2.WatchSessionRequest.FromString(
            base64.b64decode(command["request"])
        )
        self._streams[command["stream"]] = Watching(kind.watch_session(request))
        return {}

    async def _next(self, command: dict[str, Any]) -> dict[str, Any]:
        stream = self._streams[command["stream"]]
        return await stream.next(_seconds(command.get("timeout_ms")))

    async def _unwatch(self, command: dict[str, Any]) -> dict[str, Any]:
        await self._streams.pop(command["stream"]).close()
        return {}

    async def _send(self, command: dict[str, Any]) -> dict[str, Any]:
        return await self._clients[command["client"]].sender.send(command)

    async def _load(self, command: dict[str, Any]) -> dict[str, Any]:
        client = self._clients[command["client"]]
        left = command["count"]
        failed: Counter[str] = Counter()

        async def work() -> None:
            nonlocal left
            while left > 0:
                left -= 1
                request = _message(f"{command['rpc']}Request", command["request"])
                if command.get("request_ids"):
                    request.request_id = str(uuid.uuid4())
                try:
                    await client.call(command["rpc"], request, None)
                except PrivysealError as error:
                    failed[error.code] += 1

        await asyncio.gather(*(work() for _ in range(command["concurrency"])))
        succeeded = command["count"] - sum(failed.values())
        return {"succeeded": succeeded, "failed": dict(failed)}

    async def _overhead(self, command: dict[str, Any]) -> dict[str, Any]:
        client = self._clients[command["client"]]
        request = _message("SignRequest", command["request"])
        kind = client.blocking if BLOCKING else client.asynchronous
        return await overhead(kind, request, command["count"])

    async def _close(self, command: dict[str, Any]) -> dict[str, Any]:
        if (client := self._clients.pop(command["client"], None)) is not None:
            await client.close()
        return {}


def _message(name: str, encoded: str) -> Any:
    kind = next(getattr(module, name) for module in _MODULES if hasattr(module, name))
    return kind.FromString(base64.b64decode(encoded))


def _encoded(message: Message) -> str:
    return base64.b64encode(message.SerializeToString()).decode()


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1_000


async def main() -> None:
    """Answer until the input ends."""
    reader = asyncio.StreamReader(limit=_LINE)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    runner = Runner()

    async def answer(line: bytes) -> None:
        text = json.dumps(await runner.answer(line))
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    async with asyncio.TaskGroup() as tasks:
        while line := await reader.readline():
            tasks.create_task(answer(line))
    await runner.close()


if __name__ == "__main__":
    asyncio.run(main())
