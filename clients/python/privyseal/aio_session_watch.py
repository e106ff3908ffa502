"""A key's sessions as they come, for the asyncio client."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Self

import grpc

from privyseal.aio_channels import AioChannelPool, AioChannels, ended_elsewhere
from privyseal.bearer import Metadata
from privyseal.errors import PrivysealError, closed, ended_by_server
from privyseal.v1 import signing_service_pb2 as pb
from privyseal.watch import SessionEvent, SessionEvents, ended

_PATIENCE_S = 10.0


class AsyncSessionWatch(AsyncIterator[SessionEvent]):
    """Gives each new session, and as `PrivysealError` each failure to renew it.

    It is opened again when the server restarts, the connection ends, or the token that opened it
    runs out and there is a fresh one, without end; any other end is raised. Use `async with`, or
    `close`. Where waiting for an event is cancelled, as by a timeout, the RPC ends, and the next
    wait opens it again.
    """

    def __init__(
        self,
        pool: AioChannelPool,
        metadata: Callable[[float], Awaitable[Metadata]],
        request: pb.WatchSessionRequest,
        *,
        renewed: bool,
    ) -> None:
        self._pool = pool
        self._metadata = metadata
        self._request = pb.WatchSessionRequest()
        self._request.CopyFrom(request)
        self._events = SessionEvents(renewed=renewed)
        self._closed = asyncio.Event()
        self._call: Any = None
        self._held: AioChannels | None = None

    async def __anext__(self) -> SessionEvent:
        while not self._closed.is_set():
            try:
                response = await self._read()
            except grpc.aio.AioRpcError as error:
                await self._drop()
                await self._wait(PrivysealError.from_rpc(error), error)
            except asyncio.CancelledError as error:
                await self._drop()
                if not ended_elsewhere():
                    raise
                await self._wait(ended_by_server(), error)
            except PrivysealError:
                await self.close()
                raise
            except grpc.aio.UsageError as error:
                # What gRPC says of a channel that was closed before the call began.
                await self.close()
                raise (closed() if self._pool.closed else error) from error
            else:
                if response is grpc.aio.EOF:
                    await self._drop()
                    await self._wait(ended(), None)
                elif (event := self._events.take(response)) is not None:
                    return event
        raise StopAsyncIteration

    async def close(self) -> None:
        """End the RPC, and a wait for the next event."""
        self._closed.set()
        await self._drop()

    async def _read(self) -> Any:
        if self._call is None:
            deadline_s = time.monotonic() + _PATIENCE_S
            self._held = held = await self._pool.hold()
            stubs = await held.pick(deadline_s)
            metadata = await self._metadata(deadline_s)
            if self._closed.is_set():
                await self._drop()
                return grpc.aio.EOF
            self._call = stubs.signing.WatchSession(self._request, metadata=metadata)
        return await self._call.read()

    async def _wait(self, failure: PrivysealError, cause: BaseException | None) -> None:
        if self._closed.is_set():
            return
        wait_s = self._events.reopen_in_s(failure)
        if wait_s is None:
            await self.close()
            raise (closed() if self._pool.closed else failure) from cause
        try:
            await asyncio.wait_for(self._closed.wait(), wait_s)
        except TimeoutError:
            return

    async def _drop(self) -> None:
        call, held = self._call, self._held
        self._call = self._held = None
        if call is not None:
            call.cancel()
        if held is not None:
            await self._pool.release(held)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
