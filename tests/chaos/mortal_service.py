"""A server as a process of its own that can be killed, with venues and a store that stay."""

import asyncio
import hashlib
import hmac
import json
import signal
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import structlog

from chaos import serve_and_die
from cli.program import prepare, privyseal
from privyseal.v1 import key_pb2, key_service_pb2, key_service_pb2_grpc, signing_service_pb2_grpc
from privyseal.v1 import signing_service_pb2 as pb
from privyseald.sandbox.accounts import AsterKey
from privyseald.sandbox.sandbox import Sandbox
from service import ASTER_WALLET, Failure, failure_of

_START_S = 30
_FORM = b"symbol=BTCUSDT&side=BUY&type=MARKET"


@dataclass(frozen=True, slots=True)
class Site:
    """The files of one server, and the venue that it asks."""

    directory: Path
    sandbox: Sandbox

    @property
    def config_file(self) -> Path:
        """The server's configuration."""
        return self.directory / "privyseal.toml"

    @property
    def escrow(self) -> Path:
        """The escrow directory."""
        return self.directory / "escrow"

    def orders(self) -> int:
        """Return how often Aster was asked for a key."""
        return sum("create-api-key" in seen.path for seen in self.sandbox.requests("aster"))

    def issued(self, description: str) -> list[AsterKey]:
        """Return the keys that Aster issued under a description."""
        keys = self.sandbox.accounts.aster_keys.values()
        return [key for key in keys if key.description == description]

    def shows(self, secret: str) -> bool:
        """Whether any file of the server holds a secret in a form that reads easily."""
        raw = secret.encode()
        forms = (raw, raw.hex().encode(), bytes.fromhex(secret))
        files = [path for path in self.directory.rglob("*") if path.is_file()]
        return any(form in path.read_bytes() for path in files for form in forms)

    async def reconcile(self) -> tuple[int, list[dict[str, Any]]]:
        """Run `privyseal keys reconcile`; return its exit code and what it found."""
        result = await asyncio.to_thread(
            privyseal, "keys", "reconcile", "--config", str(self.config_file), "--json"
        )
        structlog.reset_defaults()  # the command set up the log of this process
        return result.exit_code, json.loads(result.stdout or "[]")


class Server:
    """One life of the server."""

    def __init__(self, process: asyncio.subprocess.Process, channel: grpc.aio.Channel) -> None:
        self.process = process
        self.signing: Any = signing_service_pb2_grpc.SigningServiceStub(channel)
        self.keys: Any = key_service_pb2_grpc.KeyServiceStub(channel)

    async def import_wallet(self) -> None:
        """Import the wallet that orders keys."""
        await self.keys.ImportKey(
            key_service_pb2.ImportKeyRequest(
                key_id="wallet",
                venue="aster",
                algorithm="secp256k1",
                plaintext=ASTER_WALLET.material.encode(),
            )
        )

    async def create(self, request_id: str, description: str = "desk one") -> key_pb2.Key:
        """Have Aster issue the key `new`."""
        key: key_pb2.Key = (await self.signing.CreateKey(order(request_id, description))).key
        return key

    async def refusal(self, request_id: str, description: str = "desk one") -> Failure:
        """Return how an order is refused, or cut off by the server's death."""
        return await failure_of(self.signing.CreateKey(order(request_id, description)))

    async def state(self, key_id: str = "new") -> str:
        """Return the state of a key, `gone` where there is none."""
        keys = (await self.keys.ListKeys(key_service_pb2.ListKeysRequest())).keys
        states = {key.name: key_pb2.KeyState.Name(key.state)[10:] for key in keys}
        return states.get(f"keys/{key_id}", "gone")

    async def signs_as(self, key: AsterKey) -> bool:
        """Whether the key `new` signs with what Aster issued."""
        request = pb.SignRequest(key="keys/new")
        request.http_request.method = "POST"
        request.http_request.path = "/fapi/v1/order"
        request.http_request.body = _FORM
        answer = await self.signing.Sign(request)
        body = bytes(answer.signed_http_request.body)
        form, _, signature = body.partition(b"&signature=")
        expected = hmac.new(key.api_secret.encode(), form, hashlib.sha256).hexdigest()
        return expected.encode() == signature

    async def death(self) -> int:
        """Return how the process ended, once it has."""
        return await asyncio.wait_for(self.process.wait(), _START_S)


def order(request_id: str, description: str) -> pb.CreateKeyRequest:
    """Return the order of a key."""
    request = pb.CreateKeyRequest(key_id="new", venue="aster", request_id=request_id)
    request.venue_issued.using_key = "keys/wallet"
    request.venue_issued.description = description
    return request


def new_request_id() -> str:
    """Return a fresh UUID."""
    return str(uuid.uuid4())


def lay_out(directory: Path, sandbox: Sandbox, vault: str = "") -> Site:
    """Write a server's files; `vault` replaces the section [store]."""
    prepare(directory, {"aster": sandbox.urls["aster"]})
    config = directory / "privyseal.toml"
    text = config.read_text()
    if vault:
        head, _, rest = text.partition("[store]\n")
        text = head + vault + "[state]" + rest.partition("[state]")[2]
    config.write_text(text.replace("drain_delay_ms = 0", "drain_delay_ms = 0\ngrace_ms = 0"))
    return Site(directory, sandbox)


@asynccontextmanager
async def alive(site: Site, die_after: str = "never") -> AsyncIterator[Server]:
    """Run the server; it is killed at the end of the block, or after a step."""
    with (site.directory / "log.txt").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            serve_and_die.__file__,
            str(site.config_file),
            die_after,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
        )
    try:
        assert process.stdout is not None
        port = int(await asyncio.wait_for(process.stdout.readline(), _START_S))
        credentials = grpc.ssl_channel_credentials(
            *(
                (site.directory / "tls" / name).read_bytes()
                for name in ("ca.pem", "client-key.pem", "client.pem")
            )
        )
        async with grpc.aio.secure_channel(f"localhost:{port}", credentials) as channel:
            yield Server(process, channel)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
        await process.wait()
