"""The two clients behind one face, so that a test says what both do."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from privyseal import AsyncClient, AsyncSessionWatch, Client, SessionWatch
from privyseal.v1 import signing_service_pb2 as pb
from privyseal.watch import SessionEvent

KINDS = ("blocking", "asyncio")


class Either:
    """A `Client`, in threads, or an `AsyncClient`."""

    def __init__(self, client: Client | AsyncClient) -> None:
        self.client = client

    async def call(self, name: str, request: Any, timeout_s: float | None = None) -> Any:
        """Call an RPC."""
        method = getattr(self.client, name)
        if isinstance(self.client, Client):
            return await asyncio.to_thread(method, request, timeout_s=timeout_s)
        return await method(request, timeout_s=timeout_s)

    def watch(self, key: str = "keys/x") -> "EitherWatch":
        """Watch a session."""
        return EitherWatch(self.client.watch_session(pb.WatchSessionRequest(key=key)))

    async def close(self) -> None:
        """Close it."""
        if isinstance(self.client, Client):
            await asyncio.to_thread(self.client.close)
        else:
            await self.client.close()


class EitherWatch:
    """A `SessionWatch`, in threads, or an `AsyncSessionWatch`."""

    def __init__(self, watch: SessionWatch | AsyncSessionWatch) -> None:
        self.watch = watch

    async def next(self) -> SessionEvent | None:
        """Return the next event, or None at the end."""
        if isinstance(self.watch, SessionWatch):
            return await asyncio.to_thread(next, self.watch, None)
        return await anext(self.watch, None)

    async def close(self) -> None:
        """Close it."""
        if isinstance(self.watch, SessionWatch):
            await asyncio.to_thread(self.watch.close)
        else:
            await self.watch.close()


@asynccontextmanager
async def connected(kind: str, target: Any, **settings: Any) -> AsyncIterator[Either]:
    """Give a client of one kind, in plaintext unless TLS is given."""
    make: Any = Client if kind == "blocking" else AsyncClient
    if "tls" not in settings:
        settings["plaintext"] = True
    either = Either(make(target, **settings))
    try:
        yield either
    finally:
        await either.close()
