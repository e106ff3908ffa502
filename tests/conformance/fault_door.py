"""A door in front of a real server: it records what clients send, and fails when told to."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Self

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2

from privyseald.cli.certificates import Pem

_STREAMS = frozenset({"WatchSession"})


@dataclass(slots=True)
class Fault:
    """What becomes of the next `times` calls of an RPC.

    With `code` they fail; with `lose` the server acts on them first, and its answer is lost.
    """

    rpc: str
    times: int = 1
    code: str = ""
    reason: str = ""
    message: str = "made up by the test"
    metadata: dict[str, str] = field(default_factory=dict)
    field_name: str = ""
    retry_after_ms: int | None = None
    delay_ms: int = 0
    lose: bool = False
    bare: bool = False

    def status(self) -> status_pb2.Status:
        """Return it as the server would say it."""
        details: list[Message] = []
        if self.reason:
            details.append(
                error_details_pb2.ErrorInfo(
                    reason=self.reason, domain="privyseal", metadata=self.metadata
                )
            )
        if self.field_name:
            violation = error_details_pb2.BadRequest.FieldViolation(field=self.field_name)
            details.append(error_details_pb2.BadRequest(field_violations=[violation]))
        if self.retry_after_ms is not None:
            delay = Duration()
            delay.FromMilliseconds(self.retry_after_ms)
            details.append(error_details_pb2.RetryInfo(retry_delay=delay))
        status = status_pb2.Status(code=code_pb2.Code.Value(self.code), message=self.message)
        for detail in details:
            packed = AnyMessage()
            packed.Pack(detail)
            status.details.append(packed)
        return status


@dataclass(slots=True)
class Seen:
    """One call that came in."""

    rpc: str
    request: bytes = field(repr=False)
    user_agent: str
    deadline_ms: int | None
    token: str = field(repr=False)
    response: bytes = field(default=b"", repr=False)
    cancelled: bool = False


class FaultDoor:
    """Forwards each RPC to a server as one caller. Use `async with`; `port` is where it is."""

    def __init__(self, target: str, ca: bytes, upstream: Pem, own: Pem) -> None:
        self._target = target
        self._ca = ca
        self._upstream = upstream
        self._own = own
        self._faults: list[Fault] = []
        self._server: grpc.aio.Server
        self._channel: grpc.aio.Channel
        self.seen: list[Seen] = []
        self.port = 0

    async def __aenter__(self) -> Self:
        credentials = grpc.ssl_channel_credentials(
            self._ca, self._upstream.private_key, self._upstream.certificate
        )
        options = (("grpc.max_receive_message_length", 16_777_216),)
        self._channel = grpc.aio.secure_channel(self._target, credentials, options)
        self._server = grpc.aio.server(options=options)
        self._server.add_generic_rpc_handlers((_Handler(self),))
        pairs = [(self._own.private_key, self._own.certificate)]
        self.port = self._server.add_secure_port(
            f"127.0.0.1:{self.port}",
            grpc.ssl_server_credentials(pairs, self._ca, require_client_auth=True),
        )
        await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.stop(0)
        await self._channel.close()

    def fail(self, fault: Fault) -> None:
        """Have the next calls of an RPC fail."""
        self._faults.append(fault)

    def forget(self) -> None:
        """Forget what was seen, and all faults."""
        self.seen.clear()
        self._faults.clear()

    async def forward(self, method: str, request: bytes, context: Any) -> bytes:
        """Answer a call as the server does, or as a fault says."""
        seen = self._record(method, request, context)
        try:
            fault = self._take(seen.rpc)
            if fault is not None:
                await asyncio.sleep(fault.delay_ms / 1_000)
            if fault is None or fault.lose or not fault.code:
                call: Any = self._channel.unary_unary(method)
                try:
                    seen.response = await call(request, timeout=_seconds(seen.deadline_ms))
                except grpc.aio.AioRpcError as error:
                    if fault is None or not fault.lose:
                        await _pass_on(error, context)
                if fault is None or not fault.code:
                    return seen.response
            await _fail(fault, context)
        except asyncio.CancelledError:
            seen.cancelled = True
            raise
        raise AssertionError("abort raises")

    async def forward_stream(
        self, method: str, request: bytes, context: Any
    ) -> AsyncIterator[bytes]:
        """Give what the server gives, until it or a fault ends it."""
        seen = self._record(method, request, context)
        try:
            fault = self._take(seen.rpc)
            if fault is not None and not fault.lose:
                await _fail(fault, context)
            begin: Any = self._channel.unary_stream(method)
            call = begin(request)
            try:
                async for answer in call:
                    yield answer
                    if fault is not None:
                        await _fail(fault, context)
            except grpc.aio.AioRpcError as error:
                await _pass_on(error, context)
            finally:
                call.cancel()
        except asyncio.CancelledError:
            seen.cancelled = True
            raise

    def _record(self, method: str, request: bytes, context: Any) -> Seen:
        metadata = dict(context.invocation_metadata())
        remaining = context.time_remaining()
        seen = Seen(
            method.rpartition("/")[2],
            request,
            str(metadata.get("user-agent", "")),
            None if remaining is None else int(remaining * 1_000),
            str(metadata.get("authorization", "")),
        )
        self.seen.append(seen)
        return seen

    def _take(self, rpc: str) -> Fault | None:
        for fault in self._faults:
            if fault.rpc == rpc:
                fault.times -= 1
                if fault.times == 0:
                    self._faults.remove(fault)
                return fault
        return None


class _Handler(grpc.GenericRpcHandler):
    """Takes every RPC as bytes."""

    def __init__(self, door: FaultDoor) -> None:
        self._door = door

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """Return who answers."""
        method = str(handler_call_details.method)

        async def unary(request: bytes, context: Any) -> bytes:
            return await self._door.forward(method, request, context)

        async def stream(request: bytes, context: Any) -> AsyncIterator[bytes]:
            async for answer in self._door.forward_stream(method, request, context):
                yield answer

        if method.rpartition("/")[2] in _STREAMS:
            return grpc.unary_stream_rpc_method_handler(stream)
        return grpc.unary_unary_rpc_method_handler(unary)


async def _fail(fault: Fault, context: Any) -> None:
    status = fault.status()
    details = () if fault.bare else (("grpc-status-details-bin", status.SerializeToString()),)
    context.set_trailing_metadata(details)
    await context.abort(_code(fault.code), fault.message, trailing_metadata=details)


async def _pass_on(error: grpc.aio.AioRpcError, context: Any) -> None:
    trailers = tuple(error.trailing_metadata() or ())
    await context.abort(error.code(), error.details() or "", trailing_metadata=trailers)


def _code(name: str) -> grpc.StatusCode:
    return grpc.StatusCode[name]


def _seconds(deadline_ms: int | None) -> float | None:
    return None if deadline_ms is None else deadline_ms / 1_000
