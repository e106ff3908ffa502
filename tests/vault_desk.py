"""A trading desk whose keys are in Vault: a service over a real one, and what it answers."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from bao import MOUNT, BaoServer
from bao_cluster import BaoCluster
from privyseal.v1 import signing_service_pb2 as pb
from service import KIIEX, OPERATOR, WHITEBIT, Service, Stubs, failure_of, sign_request
from slow_proxy import SlowProxy
from vault_policies import policy

_DEADLINE_S = 20.0
_COLD_KEYS = 80

Probe = Callable[[], Awaitable[str]]


class VaultDesk:
    """A service that logs in by AppRole with the custodian's policy, by way of a slow proxy.

    `bao` is where its operator works. Keys `warm` and `login` are in use; each probe of a cold
    key takes another one. Use `async with`.
    """

    def __init__(
        self,
        folder: Path,
        bao: BaoServer,
        cluster: BaoCluster | None = None,
        *,
        soft_ms: int = 200,
        hard_ms: int = 60_000,
    ) -> None:
        self.bao = bao
        self.cluster = cluster
        self.other: BaoServer | None = None
        self.folder = folder
        self.prefix = f"desk-{secrets.token_hex(4)}"
        self.proxy = SlowProxy(*(node.url for node in (cluster.nodes if cluster else [bao])))
        self.role = ""
        self.service: Service
        self.stubs: Stubs
        self._store = {
            "url": f"vault://{MOUNT}/{self.prefix}",
            "key_file": None,
            "soft_ttl_ms": soft_ms,
            "hard_ttl_ms": hard_ms,
        }
        self._open = AsyncExitStack()
        self._health: Any = None
        self._next = 0

    async def __aenter__(self) -> Self:
        await self._open.enter_async_context(self.proxy)
        await asyncio.to_thread(self._set_up)
        vault = {
            "address": self.proxy.url,
            "auth": "approle",
            "role_id_file": self.folder / "role-id",
            "secret_id_file": self.folder / "secret-id",
        }
        self.service = await self._open.enter_async_context(
            Service(self.folder, vault=vault, store=self._store)
        )
        self.stubs = await self.service.as_caller(OPERATOR)
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{self.service.app.server.ops_port}")
        self._open.push_async_callback(channel.close)
        self._health = health_pb2_grpc.HealthStub(channel)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.proxy.delay_s = 0
        await self._open.aclose()

    @property
    def probes(self) -> dict[str, Probe]:
        """What the desk does all day, each as a call that returns the answer in a few words."""
        return {
            "Sign, key in use": lambda: self.sign("warm"),
            "Sign, key not read yet": self.sign_cold,
            "Login": self.log_in,
            "CreateKey": self.create,
            "readiness": self.readiness,
        }

    async def sign(self, key_id: str) -> str:
        """Sign a request with a key."""
        request = sign_request(key_id, "POST", "/api/v4/trade-account/balance")
        return await _answer(self.stubs.signing.Sign(request, timeout=_DEADLINE_S))

    async def sign_cold(self) -> str:
        """Sign with a key that was never used before."""
        self._next += 1
        return await self.sign(f"cold-{self._next % _COLD_KEYS}")

    async def log_in(self) -> str:
        """Open a new session at KIIEX."""
        request = pb.LoginRequest(key="keys/login", force=True)
        return await _answer(self.stubs.signing.Login(request, timeout=_DEADLINE_S))

    async def create(self) -> str:
        """Have a key generated."""
        request = pb.CreateKeyRequest(key_id=f"made-{secrets.token_hex(6)}", venue="aster-v3")
        request.generated.algorithm = "secp256k1"
        request.generated.fields["user"] = "0x63DD5aCC6b1aa0f563956C0e534DD30B6dcF7C4e"
        return await _answer(self.stubs.signing.CreateKey(request, timeout=_DEADLINE_S))

    async def readiness(self) -> str:
        """Ask whether the server can sign."""
        answer = await self._health.Check(health_pb2.HealthCheckRequest(service="readiness"))
        return "ready" if answer.status == answer.SERVING else "not ready"

    def write_keys(self) -> None:
        """Write the desk's keys as a custodian does by hand."""
        whitebit = {
            "venue": "whitebit",
            "algorithm": "hmac-sha512",
            "api_secret": WHITEBIT.material,
        }
        kiiex = {"venue": "kiiex", "algorithm": "hmac-sha256", "api_secret": KIIEX.material}
        for number in range(_COLD_KEYS):
            self.write_key(f"cold-{number}", **whitebit, api_key=f"cold-{number}")
        self.write_key("login", **kiiex, **KIIEX.fields)
        self.write_key("warm", **whitebit, **WHITEBIT.fields)

    def write_key(self, key_id: str, **data: str) -> None:
        """Do what `vault kv put` does."""
        self.bao.write(f"{MOUNT}/data/{self.prefix}/{key_id}", data=data)

    def _set_up(self) -> None:
        self.role = self.bao.approle(policy("custodian", self.prefix), token_ttl="1h")
        (self.folder / "role-id").write_text(self.bao.role_id(self.role))
        (self.folder / "secret-id").write_text(self.bao.secret_id(self.role))
        for name in ("role-id", "secret-id"):
            (self.folder / name).chmod(0o600)
        self.write_keys()


async def _answer(call: Any) -> str:
    """Return `OK`, or the code and the reason."""
    try:
        await call
    except grpc.aio.AioRpcError:
        failure = await failure_of(call)
        return f"{failure.code} {failure.reason}".strip()
    return "OK"
