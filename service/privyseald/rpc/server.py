"""The gRPC transport: grpc.aio under the pipeline, with TLS 1.3, health and a graceful end."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import grpc
from google.rpc import status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from privyseald.caller import Caller
from privyseald.config_error import ConfigInvalid
from privyseald.rpc.call import Procedure
from privyseald.rpc.identity import LOCAL, caller_of
from privyseald.rpc.pipeline import Pipeline, RpcFailed

_CODES = {code.value[0]: code for code in grpc.StatusCode}
# Beyond this gRPC itself refuses a message; below, the pipeline does, with a reason.
_HARD_MESSAGE_LIMIT = 16 * 1_048_576
_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", _HARD_MESSAGE_LIMIT),
    ("grpc.max_metadata_size", 16_384),
    ("grpc.max_concurrent_streams", 1_000),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    ("grpc.max_connection_age_ms", 300_000),
    ("grpc.max_connection_age_grace_ms", 30_000),
)


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM texts: the server's chain and private key, and the CA of the clients."""

    certificate: bytes
    private_key: bytes
    client_ca: bytes

    def __repr__(self) -> str:
        return "Tls(hidden)"


class GrpcServer:
    """Serves the contract on one port, and the health service on another, in plaintext."""

    def __init__(
        self,
        procedures: Mapping[str, Procedure],
        pipeline: Pipeline,
        *,
        listen: str,
        tls: Tls | None,
        ops_listen: str,
        reflect: bool,
    ) -> None:
        self._pipeline = pipeline
        self._plaintext = tls is None
        self._health = health.aio.HealthServicer()
        self._services = sorted({name.partition("/")[0] for name in procedures})
        self._server = grpc.aio.server(options=_OPTIONS)
        self._server.add_generic_rpc_handlers(self._handlers(procedures))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        if reflect:
            names = (*self._services, health.SERVICE_NAME, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, self._server)
        self._ops = grpc.aio.server(options=_OPTIONS)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._ops)
        self.port = _bind("server.listen", self._server, listen, tls)
        self.ops_port = _bind("server.ops_listen", self._ops, ops_listen, None)

    async def start(self) -> None:
        """Serve. Live from now on; ready when `set_ready` says so."""
        await self._health.set("liveness", health_pb2.HealthCheckResponse.SERVING)
        await self.set_ready(ready=False)
        await self._server.start()
        await self._ops.start()

    async def set_ready(self, *, ready: bool) -> None:
        """Say in the health service whether this server can sign."""
        serving = health_pb2.HealthCheckResponse
        status = serving.SERVING if ready else serving.NOT_SERVING
        for name in ("", "readiness", *self._services):
            await self._health.set(name, status)

    async def stop(self, *, drain_delay_ms: int, grace_ms: int) -> None:
        """Tell clients to go, wait for them, let RPCs under way finish, and close.

        The server is not ready from now on, but live to the end: nobody shall kill it early.
        """
        await self.set_ready(ready=False)
        await asyncio.sleep(drain_delay_ms / 1_000)
        await self._server.stop(grace_ms / 1_000)
        await self._ops.stop(0)

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
        run, plaintext = self._pipeline.run, self._plaintext

        async def behave(raw: bytes, context: Any) -> bytes:
            try:
                return await run(procedure, raw, lambda: _identify(context, plaintext=plaintext))
            except RpcFailed as failure:
                return await _abort(context, failure.status)

        return behave

    def _streaming(self, procedure: Procedure) -> Callable[[bytes, Any], AsyncIterator[bytes]]:
        unary = self._unary(procedure)

        async def behave(raw: bytes, context: Any) -> AsyncIterator[bytes]:
            yield await unary(raw, context)

        return behave


def _identify(context: Any, *, plaintext: bool) -> Caller:
    return LOCAL if plaintext else caller_of(context.auth_context())


async def _abort(context: Any, status: status_pb2.Status) -> NoReturn:
    await context.abort(
        _CODES[status.code],
        status.message,
        (("grpc-status-details-bin", status.SerializeToString()),),
    )
    raise AssertionError("abort returns never")


def _bind(setting: str, server: grpc.aio.Server, address: str, tls: Tls | None) -> int:
    try:
        if tls is None:
            return server.add_insecure_port(address)
        credentials = grpc.ssl_server_credentials(
            [(tls.private_key, tls.certificate)],
            root_certificates=tls.client_ca,
            require_client_auth=True,
        )
        return server.add_secure_port(address, credentials)
    except RuntimeError as error:
        raise ConfigInvalid(
            f"{setting}: {address} can't be listened on; is another program using the port? "
            "Give a free one, or port 0 for any"
        ) from error
