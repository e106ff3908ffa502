"""A real server for tests: mTLS, embedded store, venue servers; one line to start it."""

from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from privyseal.v1 import (
    hold_service_pb2_grpc,
    key_service_pb2,
    key_service_pb2_grpc,
    signing_service_pb2_grpc,
    venue_service_pb2_grpc,
)
from privyseald.app import App
from privyseald.cli.certificates import Pem, TryOutCa
from privyseald.clock import Clock
from privyseald.config import Config
from privyseald.sandbox.sandbox import Sandbox
from privyseald.secretstore.store_key import create_key_file

OPERATOR = "spiffe://privyseal.test/operator"
TRADER = "spiffe://privyseal.test/trader"
STRANGER = "spiffe://privyseal.test/stranger"

POLICY = f"""\
version: 1
rules:
  - name: operator
    callers: ["{OPERATOR}"]
    keys: ["*"]
    allow: [sign, sign-message, sign-typed-data, login, create-key, use-for-create-key, read-key,
            import-key, disable-key, enable-key, delete-key]
  - name: trader
    callers: ["{TRADER}"]
    keys: ["desk-*"]
    allow: [sign, login]
"""


@dataclass(frozen=True, slots=True)
class Failure:
    """A refused RPC, taken apart."""

    code: str
    message: str
    reason: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    field_name: str = ""
    retry_after_ms: int | None = None


class Stubs:
    """The four services, as one caller."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel
        self.signing: Any = signing_service_pb2_grpc.SigningServiceStub(channel)
        self.keys: Any = key_service_pb2_grpc.KeyServiceStub(channel)
        self.venues: Any = venue_service_pb2_grpc.VenueServiceStub(channel)
        self.holds: Any = hold_service_pb2_grpc.HoldServiceStub(channel)


class Service:
    """An `App` in this event loop, reached over a real connection. Use `async with`."""

    def __init__(
        self, directory: Path, *, clock: Clock | None = None, **sections: dict[str, Any]
    ) -> None:
        self.directory = directory
        self._clock = clock
        self._sections = sections
        self._open = AsyncExitStack()
        self._ca = TryOutCa()
        self.app: App
        self.sandbox = Sandbox(clock=clock)

    async def __aenter__(self) -> Self:
        await self._open.enter_async_context(self.sandbox)
        self.app = await self._open.enter_async_context(App(self.config(), self._clock))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._open.aclose()

    def config(self) -> Config:
        """Return the configuration, with the sections that the test overrides."""
        directory = self.directory
        server = self._ca.server(("localhost", "127.0.0.1"))
        for name, content in (
            ("ca.pem", self._ca.certificate),
            ("server.pem", server.certificate),
            ("policy.yaml", POLICY.encode()),
        ):
            (directory / name).write_bytes(content)
        private_key = directory / "server-key.pem"
        private_key.write_bytes(server.private_key)
        private_key.chmod(0o600)
        if not (directory / "store.key").exists():
            create_key_file(directory / "store.key")
        aster = {"production": self.sandbox.urls["aster"]}
        settings: dict[str, dict[str, Any]] = {
            "server": {
                "listen": "127.0.0.1:0",
                "ops_listen": "127.0.0.1:0",
                "drain_delay_ms": 0,
                "grace_ms": 500,
                "tls": {
                    "certificate_file": directory / "server.pem",
                    "private_key_file": private_key,
                    "client_ca_file": directory / "ca.pem",
                },
            },
            "store": {
                "url": f"embedded://{directory / 'store.db'}",
                "key_file": directory / "store.key",
            },
            "state": {"path": directory / "nonces.high-water"},
            "policy": {"file": directory / "policy.yaml"},
            "audit": {"file": directory / "audit.jsonl"},
            "venues": {
                **{
                    name: {"base_urls": {"production": self.sandbox.urls[name]}}
                    for name in ("nebulaex", "kiiex", "whitebit")
                },
                "aster": {"base_urls": aster},
                "aster-v3": {"base_urls": aster},
            },
        }
        for name, section in self._sections.items():
            settings[name] = {**settings.get(name, {}), **section}
        return Config.model_validate(settings)

    def certificate(self, caller: str) -> Pem:
        """Return a client certificate that names the caller."""
        return self._ca.caller(caller)

    async def as_caller(self, caller: str) -> Stubs:
        """Return stubs on a connection of its own, as this caller."""
        pem = self.certificate(caller)
        credentials = grpc.ssl_channel_credentials(
            self._ca.certificate, pem.private_key, pem.certificate
        )
        channel = grpc.aio.secure_channel(f"localhost:{self.app.server.port}", credentials)
        self._open.push_async_callback(channel.close)
        return Stubs(channel)


async def import_key(
    stubs: Stubs, key_id: str, venue: str, material: str, algorithm: str = "", **fields: str
) -> None:
    """Import a key through the RPC."""
    await stubs.keys.ImportKey(
        key_service_pb2.ImportKeyRequest(
            key_id=key_id,
            venue=venue,
            algorithm=algorithm,
            fields=fields,
            plaintext=material.encode(),
        )
    )


async def failure_of(call: Any) -> Failure:
    """Return how an RPC was refused. Fails the test when it was not."""
    try:
        answer = await call
    except grpc.aio.AioRpcError as error:
        return _taken_apart(error)
    raise AssertionError(f"the RPC was answered: {type(answer).__name__}")


def _taken_apart(error: grpc.aio.AioRpcError) -> Failure:
    reason, metadata, field_name, retry_after_ms = "", {}, "", None
    status = rpc_status.from_call(error)  # type: ignore[arg-type]  # it is a call as well
    for detail in status.details if status else ():
        info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        retry = error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            reason, metadata = info.reason, dict(info.metadata)
        elif detail.Unpack(bad):
            field_name = bad.field_violations[0].field
        elif detail.Unpack(retry):
            retry_after_ms = retry.retry_delay.ToMilliseconds()
    return Failure(
        error.code().name, error.details() or "", reason, metadata, field_name, retry_after_ms
    )
