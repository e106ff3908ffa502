"""The gRPC transport: grpc.aio under the pipeline, with TLS 1.3, health and a graceful end."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn, TypeVar

import grpc
from google.rpc import status_pb2
from grpc_health.v1 import health
from grpc_reflection.v1alpha import reflection

from privyseald.clock import Clock
from privyseald.rpc.call import Procedure
from privyseald.rpc.counts import RpcCounts
from privyseald.rpc.health import Health
from privyseald.rpc.identity.identity import Identity
from privyseald.rpc.identity.unix_socket import UnixSocket, bind_socket
from privyseald.rpc.listener import LiveTls, bind, make_server
from privyseald.rpc.ops_server import OpsServer
from privyseald.rpc.pipeline import Pipeline, RpcFailed
from privyseald.rpc.status import code_name
from privyseald.rpc.streams import Streams
from privyseald.rpc.traceparent import traceparent_of

_T = TypeVar("_T")
_CODES = {code.value[0]: code for code in grpc.StatusCode}


@dataclass(frozen=True, slots=True)
class Doors:
    """Where a server listens: in plaintext without `tls`; at `listen` for clients with a
    certificate where that has a client CA; at `token_listen` and `socket` for others.
    """

    listen: str
    tls: LiveTls | None
    token_listen: str | None = None
    socket: UnixSocket | None = None
    max_connection_age_ms: int = 300_000


class GrpcServer:
    """Serves the contract on one port, and operations on another, unless somebody else does."""

    def __init__(
        self,
        procedures: Mapping[str, Procedure],
        pipeline: Pipeline,
        streams: Streams,
        identity: Identity,
        doors: Doors,
        clock: Clock,
        *,
        ops_listen: str | None,
        reflect: bool,
        share_port: bool = False,
    ) -> None:
        self._pipeline = pipeline
        self._streams = streams
        self._identity = identity
        self._services = sorted({name.partition("/")[0] for name in procedures})
        self._health = Health(self._services)
        self._counts, self._tracer = pipeline.counts, pipeline.tracer
        self._now_us = clock.monotonic_us
        self._server = make_server(
            share_port=share_port, max_connection_age_ms=doors.max_connection_age_ms
        )
        self._server.add_generic_rpc_handlers(self._handlers(procedures))
        self._health.add_to(self._server)
        if reflect:
            names = (*self._services, health.SERVICE_NAME, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, self._server)
        self._server.add_generic_rpc_handlers((_Unknown(pipeline.counts),))
        self.port, self.token_port = self._bind(doors)
        self._ops = OpsServer(ops_listen, self._health) if ops_listen else None
        self.ops_port = self._ops.port if self._ops else 0

    async def start(self) -> None:
        """Serve. Live from now on; ready when `set_ready` says so."""
        await self._health.begin()
        await self._server.start()
        if self._ops:
            await self._ops.start()

    @property
    def is_ready(self) -> bool:
        """What was said last."""
        return self._health.is_ready

    async def set_ready(self, *, ready: bool) -> None:
        """Say in the health service whether this server can sign."""
        await self._health.set_ready(ready=ready)

    async def stop(self, *, drain_delay_ms: int, grace_ms: int) -> None:
        """Tell clients to go, wait for them, end streams, let RPCs under way finish, and close.

        The server is not ready from now on, but live to the end: nobody shall kill it early.
        """
        await self.set_ready(ready=False)
        await asyncio.sleep(drain_delay_ms / 1_000)
        self._streams.stop()
        await self._server.stop(grace_ms / 1_000)
        if self._ops:
            await self._ops.stop()

    def _bind(self, doors: Doors) -> tuple[int, int]:
        """Listen, and return the ports; 0 for one that is not there. Raises ConfigInvalid."""
        tls, server, token_port = doors.tls, self._server, 0
        credentials = None
        if tls is not None:
            credentials = tls.credentials(ask_certificate=tls.current.client_ca is not None)
        port = bind("server.listen", server, doors.listen, credentials)
        if tls is not None and doors.token_listen is not None:
            credentials = tls.credentials(ask_certificate=False)
            token_port = bind("server.jwt.listen", server, doors.token_listen, credentials)
        if doors.socket is not None:
            bind_socket(server, doors.socket)
        return port, token_port

    def _handlers(self, procedures: Mapping[str, Procedure]) -> tuple[grpc.GenericRpcHandler, ...]:
        methods: dict[str, dict[str, grpc.RpcMethodHandler[bytes, bytes]]] = {}
        for name, procedure in procedures.items():
            service, _, method = name.partition("/")
            methods.setdefault(service, {})[method] = self._handler(procedure)
        return tuple(
            grpc.method_handlers_generic_handler(service, handlers)
            for service, handlers in methods.items()
        )

    def _handler(self, procedure: Procedure) -> "grpc.RpcMethodHandler[bytes, bytes]":
        # No (de)serialisers: bytes in, bytes out, so that a message that does not parse
        # meets the pipeline like any other.
        if procedure.streams:
            return grpc.unary_stream_rpc_method_handler(self._streaming(procedure))
        return grpc.unary_unary_rpc_method_handler(self._unary(procedure))

    def _unary(self, procedure: Procedure) -> Callable[[bytes, Any], Awaitable[bytes]]:
        run, identity = self._pipeline.run, self._identity
        now_us, end = self._now_us, self._end_of(procedure.name)

        async def behave(raw: bytes, context: Any) -> bytes:
            began_us, code, reason = now_us(), "UNKNOWN", ""
            try:
                await identity.settle(context)
                identify = partial(identity.caller_of, context)
                answer = await run(procedure, raw, identify, context.time_remaining)
                code = "OK"
            except RpcFailed as failure:
                code, reason = code_name(failure.status.code), failure.reason
                return await _abort(context, failure.status)
            except asyncio.CancelledError:
                code = "CANCELLED"
                raise
            finally:
                end(code, reason, now_us() - began_us)
            return answer

        return self._traced(procedure.name, behave)

    def _streaming(self, procedure: Procedure) -> Callable[[bytes, Any], Awaitable[None]]:
        run, identity = self._streams.run, self._identity
        now_us, end = self._now_us, self._end_of(procedure.name)

        async def behave(raw: bytes, context: Any) -> None:
            began_us, code, reason = now_us(), "UNKNOWN", ""
            try:
                await identity.settle(context)
                answers = run(procedure, raw, partial(identity.caller_of, context))
                async with aclosing(answers):
                    async for answer in answers:
                        await context.write(answer)
                code = "OK"
            except RpcFailed as failure:
                code, reason = code_name(failure.status.code), failure.reason
                await _abort(context, failure.status)
            except asyncio.CancelledError:
                code = "CANCELLED"
                raise
            finally:
                end(code, reason, now_us() - began_us)

        return self._traced(procedure.name, behave)

    def _end_of(self, rpc: str) -> Callable[[str, str, int], None]:
        """Return what tells those who watch how an RPC ended: its code, reason and microseconds."""
        count, tracer = self._counts.of(rpc).end, self._tracer
        if tracer is None:
            return count

        def end(code: str, reason: str, duration_us: int) -> None:
            count(code, reason, duration_us)
            tracer.tell(code=code, reason=reason)

        return end

    def _traced(
        self, rpc: str, behave: Callable[[bytes, Any], Coroutine[Any, Any, _T]]
    ) -> Callable[[bytes, Any], Awaitable[_T]]:
        """Return the same within a span, where there is a tracer."""
        tracer = self._tracer
        if tracer is None:
            return behave

        async def traced(raw: bytes, context: Any) -> _T:
            with tracer.serve(rpc, traceparent_of(context)):
                return await behave(raw, context)

        return traced


class _Unknown(grpc.GenericRpcHandler):
    """Counts what no other handler knows, and knows it neither: gRPC answers UNIMPLEMENTED."""

    def __init__(self, counts: RpcCounts) -> None:
        self._counts = counts

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> None:
        self._counts.end_unknown()


async def _abort(context: Any, status: status_pb2.Status) -> NoReturn:
    await context.abort(
        _CODES[status.code],
        status.message,
        (("grpc-status-details-bin", status.SerializeToString()),),
    )
    raise AssertionError("abort returns never")
