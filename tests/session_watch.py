"""A WatchSession stream, as a client reads it."""

import asyncio
from typing import Any

import grpc

from privyseal.v1 import signing_service_pb2 as pb
from service import Failure, Service, Stubs, failure_in, failure_of

_PATIENCE_S = 15.0


class Watch:
    """A stream that is open."""

    def __init__(self, stubs: Stubs, key_id: str = "kx") -> None:
        self._stream: Any = stubs.signing.WatchSession(pb.WatchSessionRequest(key=f"keys/{key_id}"))

    async def session(self) -> pb.Session:
        """Return the next event, which must be a session."""
        event = await self._next()
        assert event.WhichOneof("event") == "session", event
        return event.session

    async def failure(self) -> Failure:
        """Return the next event, which must be a failure."""
        event = await self._next()
        assert event.WhichOneof("event") == "failure", event
        return failure_in(event.failure)

    async def end(self) -> Failure:
        """Return how the stream ended, which it must do without another event."""
        return await failure_of(self._next())

    async def is_quiet(self, seconds: float = 0.6) -> bool:
        """Whether nothing comes for a while."""
        done, _ = await asyncio.wait((asyncio.ensure_future(self._next()),), timeout=seconds)
        return not done

    def cancel(self) -> None:
        """Go away."""
        self._stream.cancel()

    async def _next(self) -> pb.WatchSessionResponse:
        async with asyncio.timeout(_PATIENCE_S):
            event = await self._stream.read()
        assert event is not grpc.aio.EOF, "the stream ended in good order"
        response: pb.WatchSessionResponse = event
        return response


def lines_of(service: Service, operation: str) -> list[dict[str, Any]]:
    """Return the audit lines of an operation."""
    return [line for line in service.audit_lines() if line.get("operation") == operation]
