"""A real server for tests: mTLS, embedded store, venue servers; one line to start it."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
import orjson
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from google.rpc import code_pb2, error_details_pb2
from grpc_status import rpc_status

from privyseal.v1 import (
    hold_service_pb2_grpc,
    key_service_pb2,
    key_service_pb2_grpc,
    signing_service_pb2,
    signing_service_pb2_grpc,
    venue_service_pb2_grpc,
)
from privyseald.app import App
from privyseald.cli import certificates
from privyseald.cli.certificates import Pem, TryOutCa
from privyseald.clock import Clock
from privyseald.config import Config
from privyseald.outbound.http import HttpOutbound
from privyseald.outbound.outbound import OutboundRequest, OutboundResponse
from privyseald.sandbox.sandbox import Sandbox
from privyseald.secretstore.store_key import create_key_file
from privyseald.usecases.create_key_saga import Step

OPERATOR = "spiffe://privyseal.test/operator"
TRADER = "spiffe://privyseal.test/trader"
STRANGER = "spiffe://privyseal.test/stranger"

POLICY = f"""\
version: 1
rules:
  - name: operator
    callers: ["{OPERATOR}"]
    keys: ["*"]
    accept_bearer: true
    allow: [sign, sign-unlisted, "@withdrawals", "@transfers", "@key-management",
            sign-message, sign-typed-data, login, create-key, use-for-create-key, read-key,
            import-key, rotate-key, disable-key, enable-key, delete-key, resync-nonce, create-hold,
            read-hold, delete-hold]
  - name: trader
    callers: ["{TRADER}"]
    keys: ["desk-*"]
    accept_bearer: true
    allow: [sign, login]
"""


@dataclass(frozen=True, slots=True)
class SandboxKey:
    """A key that the sandbox venues know from the start."""

    venue: str
    material: str
    algorithm: str = ""
    fields: dict[str, str] = field(default_factory=dict)


NEBULAEX = SandboxKey(
    "nebulaex", "2d0b4979c7fe6986daa8e21d1dc0644f", fields={"api_key": "61d025b8573501c2"}
)
KIIEX = SandboxKey("kiiex", "test-secret", fields={"api_key": "test-key", "user_id": "149"})
WHITEBIT = SandboxKey("whitebit", "test-secret", fields={"api_key": "test-key"})
ASTER = SandboxKey(
    "aster",
    "72911505f67b24a8efe8f246d06c324b787d2f3f7cb8b5b80ef1698ee1486e25",
    fields={"api_key": "4a2e11b243b1ad75981edf359ae02e873bf88b699196170d998d8266f5eb9f32"},
)
ASTER_WALLET = SandboxKey(
    "aster", "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80", "secp256k1"
)
ASTER_AGENT = SandboxKey(
    "aster-v3",
    "4fd0a42218f3eae43a6ce26d22544e986139a01e5b34a62db53757ffca81bae1",
    "secp256k1",
    {"user": "0x63DD5aCC6b1aa0f563956C0e534DD30B6dcF7C4e"},
)


@dataclass(frozen=True, slots=True)
class Failure:
    """A refused RPC, taken apart."""

    code: str
    message: str
    reason: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    field_name: str = ""
    retry_after_ms: int | None = None
    precondition: tuple[str, str] | None = None


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
        self,
        directory: Path,
        *,
        clock: Clock | None = None,
        **sections: dict[str, Any],
    ) -> None:
        self.directory = directory
        self._clock = clock
        self.on_step: Callable[[Step], None] | None = None
        self._sections = sections
        self._open = AsyncExitStack()
        self._ca = TryOutCa()
        self._policy = POLICY.encode()
        self._replicas = 0
        self._is_replica = False
        self.app: App
        self.sandbox = Sandbox(clock=clock)

    async def __aenter__(self) -> Self:
        if not self._is_replica:
            await self._open.enter_async_context(self.sandbox)
        self.app = await self._open.enter_async_context(
            App(self.config(), self._clock, self.on_step)
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._open.aclose()

    async def replica(self, *, clock: Clock | None = None) -> "Service":
        """Start another server beside this one, with its settings, policy, CA and venues, in a
        directory of its own below this one's.

        Both share what the sections name: a store in Vault and a state in Valkey
        (see `replicas.shared`). It ends with this one, or earlier by `stop`.
        """
        self._replicas += 1
        directory = self.directory / f"replica-{self._replicas}"
        directory.mkdir()
        other = Service(directory, clock=clock or self._clock, **self._sections)
        other._is_replica = True
        other._ca, other._policy, other.sandbox = self._ca, self._policy, self.sandbox
        return await self._open.enter_async_context(other)

    async def stop(self) -> None:
        """Stop this server alone, in order; its stubs fail from now on."""
        await self.app.__aexit__()

    async def restart(self, policy: dict[str, Any] | None = None) -> None:
        """Stop the server and start it again on the same files, perhaps with another policy."""
        await self.app.__aexit__()
        if policy is not None:
            self._policy = orjson.dumps(policy)
        self.app = await self._open.enter_async_context(
            App(self.config(), self._clock, self.on_step)
        )

    def override(self, name: str, section: dict[str, Any]) -> None:
        """Set settings that the next start takes."""
        self._sections[name] = {**self._sections.get(name, {}), **section}

    def config(self) -> Config:
        """Return the configuration, with the sections that the test overrides."""
        directory = self.directory
        server = self._ca.server(("localhost", "127.0.0.1"))
        for name, content in (
            ("ca.pem", self._ca.certificate),
            ("server.pem", server.certificate),
            ("policy.yaml", self._policy),
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
                "http_ops_listen": "127.0.0.1:0",
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

    def certificate_of(self, *names: x509.GeneralName, common_name: str = "") -> Pem:
        """Return a client certificate with any names, also none."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else []
        builder = certificates._builder(x509.Name(subject), self._ca._certificate.subject, key)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = builder.sign(self._ca._key, hashes.SHA256())
        return Pem(
            certificate.public_bytes(Encoding.PEM),
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        )

    def take_policy(self, text: bytes) -> None:
        """Have the next start take this policy."""
        self._policy = text

    @property
    def ca_certificate(self) -> bytes:
        """The CA that signs the server's and the callers' certificates, as PEM."""
        return self._ca.certificate

    async def as_caller(self, caller: str) -> Stubs:
        """Return stubs on a connection of its own, as this caller."""
        return await self.connect(self.certificate(caller))

    async def connect(self, pem: Pem | None, port: int = 0) -> Stubs:
        """Return stubs on a connection with this certificate, or with none, perhaps to another
        port than the first.
        """
        credentials = grpc.ssl_channel_credentials(
            self._ca.certificate,
            pem.private_key if pem else None,
            pem.certificate if pem else None,
        )
        target = f"localhost:{port or self.app.server.port}"
        return self._stubs(grpc.aio.secure_channel(target, credentials))

    async def connect_plaintext(self, port: int) -> Stubs:
        """Return stubs on a connection without TLS."""
        return self._stubs(grpc.aio.insecure_channel(f"127.0.0.1:{port}"))

    async def connect_socket(self, path: Path) -> Stubs:
        """Return stubs on a Unix socket."""
        return self._stubs(grpc.aio.insecure_channel(f"unix:{path}"))

    def _stubs(self, channel: grpc.aio.Channel) -> Stubs:
        self._open.push_async_callback(channel.close)
        return Stubs(channel)

    def audit_lines(self) -> list[dict[str, Any]]:
        """Return the audit log's lines about RPCs."""
        return [line for line in self.all_audit_lines() if "rpc" in line]

    def all_audit_lines(self) -> list[dict[str, Any]]:
        """Return the audit log's lines, those about no RPC too."""
        path = self.directory / "audit.jsonl"
        return [orjson.loads(line) for line in path.read_bytes().splitlines()]


async def eventually(is_so: Callable[[], Awaitable[bool]]) -> None:
    """Return once it is so; fail the test when it never is."""
    async with asyncio.timeout(10):
        while not await is_so():  # noqa: ASYNC110  # what is waited for is in another process
            await asyncio.sleep(0.01)


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


async def import_sandbox_key(stubs: Stubs, key_id: str, key: SandboxKey, **fields: str) -> None:
    """Import a key that the sandbox knows, with fields beside its own."""
    await import_key(
        stubs, key_id, key.venue, key.material, key.algorithm, **{**key.fields, **fields}
    )


def sign_request(
    key_id: str, method: str, path: str, body: bytes = b"", **options: Any
) -> signing_service_pb2.SignRequest:
    """Return a SignRequest for a venue request."""
    http_request = signing_service_pb2.HttpRequest(method=method, path=path, body=body)
    return signing_service_pb2.SignRequest(
        key=f"keys/{key_id}", http_request=http_request, **options
    )


async def send(answer: signing_service_pb2.SignResponse) -> OutboundResponse:
    """Send to the venue what Sign returned, byte for byte, and return what it answers."""
    signed = answer.signed_http_request
    headers = tuple((header.name, header.value) for header in signed.headers)
    outbound = HttpOutbound(timeout_ms=5_000, connect_timeout_ms=2_000)
    try:
        return await outbound.send(OutboundRequest(signed.method, signed.url, headers, signed.body))
    finally:
        await outbound.close()


async def failure_of(call: Any) -> Failure:
    """Return how an RPC was refused. Fails the test when it was not."""
    try:
        answer = await call
    except grpc.aio.AioRpcError as error:
        return _taken_apart(error)
    raise AssertionError(f"the RPC was answered: {type(answer).__name__}")


def _taken_apart(error: grpc.aio.AioRpcError) -> Failure:
    status = rpc_status.from_call(error)  # type: ignore[arg-type]  # it is a call as well
    return failure_in(status) if status else Failure(error.code().name, error.details() or "")


def failure_in(status: Any) -> Failure:
    """Return a google.rpc.Status, taken apart."""
    reason, metadata, field_name, retry_after_ms, precondition = "", {}, "", None, None
    for detail in status.details:
        info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        retry, unmet = error_details_pb2.RetryInfo(), error_details_pb2.PreconditionFailure()
        if detail.Unpack(info):
            reason, metadata = info.reason, dict(info.metadata)
        elif detail.Unpack(bad):
            field_name = bad.field_violations[0].field
        elif detail.Unpack(retry):
            retry_after_ms = retry.retry_delay.ToMilliseconds()
        elif detail.Unpack(unmet):
            precondition = (unmet.violations[0].type, unmet.violations[0].subject)
    return Failure(
        code_pb2.Code.Name(status.code),
        status.message,
        reason,
        metadata,
        field_name,
        retry_after_ms,
        precondition,
    )
