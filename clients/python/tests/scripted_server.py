"""A gRPC server on loopback that does as a test says, and keeps what it saw."""

from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Self

import grpc
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

Action = Callable[[bytes, grpc.ServicerContext], bytes]


class EndOfStreamError(Exception):
    """What an action raises to end a stream without a failure."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One call that came in."""

    rpc: str
    request: bytes
    metadata: dict[str, str] = field(repr=False)
    left_s: float | None


class ScriptedServer:
    """Answers each RPC with what `then` queued for it, else with an empty message. Use `with`."""

    def __init__(self, credentials: grpc.ServerCredentials | None = None, port: int = 0) -> None:
        self._credentials = credentials
        self._queued: defaultdict[str, list[Action]] = defaultdict(list)
        self._always: dict[str, Action] = {}
        self._server: grpc.Server
        self.port = port
        self.seen: list[Seen] = []

    @property
    def target(self) -> str:
        """Where it is."""
        return f"localhost:{self.port}"

    def __enter__(self) -> Self:
        self._server = grpc.server(ThreadPoolExecutor(16), options=(("grpc.so_reuseport", 0),))
        self._server.add_generic_rpc_handlers((_Handler(self),))
        address = f"127.0.0.1:{self.port}"
        if self._credentials is None:
            self.port = self._server.add_insecure_port(address)
        else:
            self.port = self._server.add_secure_port(address, self._credentials)
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(0).wait()

    def then(self, rpc: str, *actions: Action) -> None:
        """Have the next calls of an RPC do this."""
        self._queued[rpc] += actions

    def always(self, rpc: str, action: Action) -> None:
        """Have all calls of an RPC do this, where nothing is queued."""
        self._always[rpc] = action

    def calls(self, rpc: str) -> list[Seen]:
        """Return the calls of an RPC."""
        return [each for each in self.seen if each.rpc == rpc]

    def take(self, method: str, request: bytes, context: grpc.ServicerContext) -> bytes:
        """Note a call and do what is to be done."""
        rpc = method.rpartition("/")[2]
        metadata = {name: str(value) for name, value in context.invocation_metadata()}
        self.seen.append(Seen(rpc, request, metadata, context.time_remaining()))
        queued = self._queued[rpc]
        action = queued.pop(0) if queued else self._always.get(rpc)
        return action(request, context) if action else b""


class _Handler(grpc.GenericRpcHandler):
    def __init__(self, server: ScriptedServer) -> None:
        self._server = server

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        method = str(handler_call_details.method)
        if method.endswith("/WatchSession"):
            return grpc.unary_stream_rpc_method_handler(
                lambda request, context: self._stream(method, request, context)
            )
        return grpc.unary_unary_rpc_method_handler(
            lambda request, context: self._server.take(method, request, context)
        )

    def _stream(self, method: str, request: bytes, context: grpc.ServicerContext) -> Any:
        try:
            while True:
                yield self._server.take(method, request, context)
        except EndOfStreamError:
            return


def answer(message: Message) -> Action:
    """Return an action that answers."""
    return lambda _, __: message.SerializeToString()


def status(
    code: grpc.StatusCode,
    reason: str = "",
    *,
    message: str = "no",
    retry_after_s: float | None = None,
    field_name: str = "",
) -> status_pb2.Status:
    """Return a status as the server writes one."""
    details: list[Message] = []
    if reason:
        details.append(
            error_details_pb2.ErrorInfo(reason=reason, domain="privyseal", metadata={"key": "k"})
        )
    if retry_after_s is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(round(retry_after_s * 1_000))
        details.append(retry)
    if field_name:
        violation = error_details_pb2.BadRequest.FieldViolation(field=field_name)
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    made = status_pb2.Status(code=code.value[0], message=message)
    for detail in details:
        packed = Packed()
        packed.Pack(detail)
        made.details.append(packed)
    return made


def refuse(
    code: grpc.StatusCode, reason: str = "", *, retry_after_s: float | None = None
) -> Action:
    """Return an action that refuses."""
    made = status(code, reason, retry_after_s=retry_after_s)
    trailers = (("grpc-status-details-bin", made.SerializeToString()),) if reason else ()

    def act(_: bytes, context: grpc.ServicerContext) -> bytes:
        context.set_trailing_metadata(trailers)
        context.abort(code, "no")

    return act
