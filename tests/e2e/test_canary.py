"""Secrets with a mark go in by every door; nothing that comes out, or stays, shows the mark."""

import asyncio
import base64
import gc
import uuid
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from grpc_status import rpc_status

from cli.program import Process, prepare, privyseal, running
from privyseal.v1 import hold_service_pb2, key_service_pb2, venue_service_pb2
from privyseal.v1 import signing_service_pb2 as pb
from privyseald.sandbox.accounts import (
    Accounts,
    AsterAccount,
    KiiexUser,
    NebulaexKey,
    WhitebitKey,
)
from privyseald.sandbox.faults import Fault, Spoil
from privyseald.sandbox.sandbox import Sandbox
from privyseald.signing.sealed_box import SealingKey
from privyseald.signing.sealed_secret import seal_secret
from privyseald.signing.secp256k1 import Secp256k1Signer
from privyseald.signing.secret import SecretBytes
from service import OPERATOR, SandboxKey, Service, Stubs, import_sandbox_key, sign_request
from telemetry.collector import Collector, collecting
from telemetry.scraped import fetch

MARK = "CANARYxq7"
PRIVATE_KEY = "c0ffee5ec2e7c0de" * 4
WALLET = Secp256k1Signer(SecretBytes(PRIVATE_KEY)).public_id
KEYS = {
    "nx": SandboxKey("nebulaex", f"{MARK}-nebulaex", fields={"api_key": "nx-public"}),
    "kx": SandboxKey("kiiex", f"{MARK}-kiiex", fields={"api_key": "kx-public", "user_id": "149"}),
    "wb": SandboxKey("whitebit", f"{MARK}-whitebit", fields={"api_key": "wb-public"}),
    "wallet": SandboxKey("aster", PRIVATE_KEY, "secp256k1"),
    "agent": SandboxKey("aster-v3", "0x" + PRIVATE_KEY.upper(), "secp256k1"),
}
REQUESTS = {
    "nx": ("GET", "/api/v2/backend/account/balances", b""),
    "kx": ("POST", "/ap/GetAccountPositions", b"{}"),
    "wb": ("POST", "/api/v4/orders", b'{"market":"BTC_USDT"}'),
    "agent": ("POST", "/fapi/v3/order", b"symbol=BTCUSDT"),
}


def accounts() -> Accounts:
    """Return the accounts of the marked keys."""
    return Accounts(
        (
            NebulaexKey("nx-public", KEYS["nx"].material),
            KiiexUser("149", "kx-public", KEYS["kx"].material),
            WhitebitKey("wb-public", KEYS["wb"].material),
            AsterAccount(WALLET),
        )
    )


def spellings(secret: bytes) -> set[bytes]:
    """Return the bytes of a secret as they are, as hex, and as base64 at each offset."""
    found = {secret, secret.hex().encode(), secret.hex().upper().encode()}
    for offset in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            encoded = encode(b"\0" * offset + secret).rstrip(b"=")
            # The first and last characters hang on the neighbours of the secret.
            found.add(encoded[(offset * 8 + 5) // 6 : len(encoded) - 1])
    return found


MARKS = frozenset(
    spellings(MARK.encode())
    | spellings(bytes.fromhex(PRIVATE_KEY))
    | spellings(PRIVATE_KEY[:32].encode())
    | spellings(PRIVATE_KEY[:32].upper().encode())
    | {str(int(PRIVATE_KEY, 16)).encode()}
)


def marks_in(content: bytes, marks: Iterable[bytes] = MARKS) -> list[bytes]:
    """Return which marks stand in the bytes."""
    return sorted(mark for mark in marks if mark in content)


def test_marks_are_found_in_each_spelling() -> None:
    """The search would find a secret in text, hex, base64 at any offset, and as raw bytes."""
    raw = bytes.fromhex(PRIVATE_KEY)
    for text in (
        b"a" + MARK.encode(),
        (b"ab" + MARK.encode() + b"cd").hex().encode(),
        *(base64.b64encode(b"x" * offset + MARK.encode() + b"yz") for offset in range(4)),
        *(base64.b64encode(b"x" * offset + raw + b"yz") for offset in range(4)),
        raw,
        PRIVATE_KEY.encode(),
        PRIVATE_KEY.upper().encode(),
    ):
        assert marks_in(text) != [], text
    assert marks_in(b"nothing to see") == []


@dataclass(slots=True)
class Heard:
    """All that a caller was told: answers and refusals of RPCs, and what commands printed."""

    rpcs: list[bytes] = field(default_factory=list)
    failures: int = 0
    commands: list[bytes] = field(default_factory=list)
    tokens: set[bytes] = field(default_factory=set)

    async def call(self, call: Any) -> Any:
        """Make an RPC, and keep its answer or its refusal, trailers and all."""
        try:
            answer = await call
        except grpc.aio.AioRpcError as error:
            self.failures += 1
            status: Any = rpc_status.from_call(error)  # type: ignore[arg-type]  # it is one
            self.rpcs.append(f"{error!r}{error.trailing_metadata()!r}{status}".encode())
            return None
        self.rpcs += [answer.SerializeToString(), str(answer).encode(), repr(answer).encode()]
        return answer

    async def command(
        self, exit_code: int, *arguments: str, text: str | bytes | None = None
    ) -> None:
        """Run a command that ends with this exit code, and keep what it printed."""
        result = await asyncio.to_thread(privyseal, *arguments, text=text)
        self.commands.append(result.stdout.encode() + result.stderr.encode())
        assert (arguments[:3], result.exit_code) == (arguments[:3], exit_code), result.output


@asynccontextmanager
async def connected(directory: Path, port: int) -> AsyncIterator[Stubs]:
    """Connect with the certificate that `privyseal init` wrote."""
    tls = directory / "tls"
    credentials = grpc.ssl_channel_credentials(
        (tls / "ca.pem").read_bytes(),
        (tls / "client-key.pem").read_bytes(),
        (tls / "client.pem").read_bytes(),
    )
    async with grpc.aio.secure_channel(f"localhost:{port}", credentials) as channel:
        yield Stubs(channel)


def imports() -> list[Any]:
    """Return imports of marked secrets, the good ones first, then all that are refused."""
    requests: list[Any] = [
        key_service_pb2.ImportKeyRequest(
            key_id=key_id,
            venue=key.venue,
            algorithm=key.algorithm,
            fields=key.fields,
            plaintext=key.material.encode(),
        )
        for key_id, key in KEYS.items()
    ]
    secret = KEYS["wb"].material.encode()
    bad: list[dict[str, Any]] = [
        {"plaintext": secret + b"\n"},
        {"plaintext": secret * 50},
        {"plaintext": b"\xff" + secret},
        {"plaintext": secret, "algorithm": "secp256k1", "venue": "aster", "fields": {}},
        {"plaintext": PRIVATE_KEY[:-1].encode(), "algorithm": "secp256k1", "venue": "aster"},
        {"plaintext": secret, "venue": "mtgox"},
        {"plaintext": secret, "key_id": "../x"},
        {"plaintext": secret, "fields": {"api_secret": secret.decode()}},
        {"plaintext": secret, "fields": {"api_key": secret.decode() + "\n"}},
        {"plaintext": secret, "request_id": "1"},
        {"plaintext": secret, "labels": {"a": secret.decode() + "\n"}},
        {"wrapping_token": secret.decode()},
        {"sealed": secret},
    ]
    base: dict[str, Any] = {
        "key_id": "bad",
        "venue": "whitebit",
        "fields": {"api_key": "wb-public"},
    }
    requests.append(
        key_service_pb2.ImportKeyRequest(**{**base, "key_id": "wb", "plaintext": secret})
    )
    return requests + [key_service_pb2.ImportKeyRequest(**{**base, **each}) for each in bad]


async def every_rpc(stubs: Stubs, sandbox: Sandbox, heard: Heard) -> None:
    """Call every RPC of the contract, good and bad."""
    signing, keys = stubs.signing, stubs.keys
    for each in imports():
        await heard.call(keys.ImportKey(each))
    as_bytes: Any = stubs.channel.unary_unary("/privyseal.v1.KeyService/ImportKey")
    await heard.call(as_bytes(b"\xff" + KEYS["wb"].material.encode()))
    for key_id, (method, path, body) in REQUESTS.items():
        request = sign_request(key_id, method, path, body)
        await heard.call(signing.Sign(request))
        await heard.call(signing.BatchSign(pb.BatchSignRequest(requests=[request] * 2)))
        await heard.call(signing.Sign(sign_request(key_id, "TRACE", path, b"{")))
    for key_id in ("wallet", "wb"):
        message = pb.SignRequest(key=f"keys/{key_id}")
        message.personal_message.message = b"hello"
        await heard.call(signing.Sign(message))
        message.typed_data.json = b"{}"
        await heard.call(signing.Sign(message))
    for key_id in (*KEYS, "nothing"):
        name = f"keys/{key_id}"
        for force in (False, True):
            answer = await heard.call(signing.Login(pb.LoginRequest(key=name, force=force)))
            if answer is not None:
                heard.tokens.add(answer.session.token.encode())
        await heard.call(signing.Logout(pb.LogoutRequest(key=name)))
        await heard.call(keys.GetKey(key_service_pb2.GetKeyRequest(name=name)))
        await heard.call(keys.DisableKey(key_service_pb2.DisableKeyRequest(name=name)))
        await heard.call(signing.Sign(sign_request(key_id, "POST", "/api/v4/orders")))
        await heard.call(keys.EnableKey(key_service_pb2.EnableKeyRequest(name=name)))
        await heard.call(keys.RotateKey(key_service_pb2.RotateKeyRequest(name=name)))
    for number, source in enumerate(("wallet", "wallet", "agent", "wb")):
        order = pb.CreateKeyRequest(key_id=f"issued-{number}", venue="aster")
        order.venue_issued.using_key = f"keys/{source}"
        order.venue_issued.description = "one description"
        await heard.call(signing.CreateKey(order))
    made = pb.CreateKeyRequest(key_id="made", venue="aster-v3")
    made.generated.algorithm = "secp256k1"
    await heard.call(signing.CreateKey(made))
    await every_fault(stubs, sandbox, heard)
    await every_rotation(stubs, heard)
    await heard.call(keys.ListKeys(key_service_pb2.ListKeysRequest()))
    await heard.call(stubs.venues.ListVenues(venue_service_pb2.ListVenuesRequest()))
    await heard.call(stubs.venues.GetVenue(venue_service_pb2.GetVenueRequest(name="kiiex")))
    await heard.call(stubs.holds.CreateHold(hold_service_pb2.CreateHoldRequest()))
    await heard.call(keys.DeleteKey(key_service_pb2.DeleteKeyRequest(name="keys/nx")))


async def every_rotation(stubs: Stubs, heard: Heard) -> None:
    """Rotate to marked secrets, good and bad, plain and sealed; sign with both versions."""
    answer = await heard.call(stubs.keys.GetSealingKey(key_service_pb2.GetSealingKeyRequest()))
    material = KEYS["wb"].material
    sealed = [
        seal_secret(SealingKey.from_raw(answer.public_key), SecretBytes(material), "wb", venue)
        for venue in ("whitebit", "kiiex")
    ]
    until = Timestamp()
    until.GetCurrentTime()
    until.seconds += 3_600
    ways: list[dict[str, Any]] = [
        {"plaintext": material.encode()},
        {"plaintext": material.encode() + b"\n"},
        {"sealed": sealed[0], "accept_previous_until_time": until},
        {"sealed": sealed[1]},
        {"wrapping_token": material},
        {"generate": True},
    ]
    for way in ways:
        rotation = key_service_pb2.RotateKeyRequest(name="keys/wb", **way)
        await heard.call(stubs.keys.RotateKey(rotation))
    for version in (0, 1, 2, 3):
        request = sign_request("wb", "POST", "/api/v4/orders", key_version=version)
        await heard.call(stubs.signing.Sign(request))


async def every_fault(stubs: Stubs, sandbox: Sandbox, heard: Heard) -> None:
    """Log in and order keys while the venues fail in every way."""
    faults: list[dict[str, Any]] = [
        {"spoil": spoil, "handled": handled} for spoil in Spoil for handled in (True, False)
    ]
    faults += [{"status": status} for status in (500, 503, 403, 429)]
    for number, settings in enumerate(faults):
        for venue, path in (("kiiex", "*"), ("aster", "*/ae/login"), ("aster", "*create-api-key")):
            sandbox.faults.add(Fault(venue, path, times=1, **settings))
        for key_id in ("kx", "wallet"):
            request = pb.LoginRequest(key=f"keys/{key_id}", force=True)
            answer = await heard.call(stubs.signing.Login(request))
            if answer is not None:
                heard.tokens.add(answer.session.token.encode())
        order = pb.CreateKeyRequest(key_id=f"fault-{number}", venue="aster")
        order.venue_issued.using_key = "keys/wallet"
        order.venue_issued.description = f"fault {number}"
        await heard.call(stubs.signing.CreateKey(order))
        sandbox.faults.clear()


async def every_command(directory: Path, heard: Heard) -> None:
    """Run every command that takes or uses a secret, good and bad."""
    secret = KEYS["wb"].material
    secret_file = directory.parent / "secret"
    secret_file.write_text(f"{secret}\n")
    (directory.parent / "two-lines").write_text(f"{secret}\n{secret}\n")
    client = ("--client", str(directory / "client.toml"))
    whitebit = ("--venue", "whitebit", "--field", "api_key=wb-public", *client)
    config = ("--config", str(directory / "privyseal.toml"))
    run = heard.command
    await run(0, "keys", "import", "c-file", *whitebit, "--secret-file", str(secret_file))
    await run(0, "keys", "import", "c-stdin", *whitebit, "--secret-file", "-", text=secret)
    await run(0, "keys", "import", "c-prompt", *whitebit, text=f"{secret}\n")
    await run(1, "keys", "import", "c-file", *whitebit, text=f"{secret}\n")
    two_lines = str(directory.parent / "two-lines")
    await run(1, "keys", "import", "c-bad", *whitebit, "--secret-file", two_lines)
    await run(2, "keys", "import", "c-bad", *whitebit, "--field", f"api_secret={secret}")
    await run(1, "keys", "import", "c-bad", *whitebit, "--secret-file", "-", text=b"\xff" * 9)
    for command in (("list",), ("list", "--json"), ("get", "c-file"), ("get", "wallet", "--json")):
        await run(0, "keys", *command, *client)
    await run(0, "keys", "create", "c-made", "--venue", "aster", "--generate", "secp256k1", *client)
    issue = ("--venue", "aster", "--using", "wallet", "--description", "by command")
    await run(0, "keys", "create", "c-issued", *issue, *client, "--json")
    await run(0, "sign", "c-file", "POST", "/api/v4/orders", *client)
    await run(0, "sign", "c-file", "POST", "/api/v4/orders", "--json", *client)
    await run(1, "sign", "c-file", "GET", "/", *client)
    await run(0, "login", "agent", *client)
    await run(0, "login", "agent", "--json", *client)
    await run(0, "logout", "agent", *client)
    await run(0, "keys", "disable", "c-file", *client)
    await run(0, "keys", "enable", "c-file", *client)
    await run(0, "keys", "delete", "c-file", "--yes", *client)
    await run(0, "venues", "list", *client)
    await run(0, "venues", "show", "kiiex", *client)
    await run(0, "config", "check", *config)
    await run(2, "policy", "check", str(secret_file))
    await run(0, "policy", "check", str(directory / "policy.yaml"))
    await run(2, "config", "check", "--config", str(secret_file))
    second = directory.parent / "second"
    second.mkdir()
    with running(second, "serve", *config) as process:
        assert await asyncio.to_thread(process.wait) == 2
    heard.commands += [process.stdout_file.read_bytes(), process.stderr_file.read_bytes()]
    await run(2, "keys", "list", "--client", str(secret_file))


def left_behind(directory: Path, server: Process) -> dict[str, bytes]:
    """Return all that can be read of a server: its files, its log, its place in /proc."""
    found = {str(path): path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    found["stdout"] = server.stdout_file.read_bytes()
    found["stderr"] = server.stderr_file.read_bytes()
    proc = Path("/proc") / str(server.pid)
    found["cmdline"], found["environ"] = (
        (proc / "cmdline").read_bytes(),
        (proc / "environ").read_bytes(),
    )
    return found


@pytest.fixture
def collector() -> Iterator[Collector]:
    """A collector of traces."""
    with collecting() as collector:
        yield collector


async def test_a_marked_secret_shows_nowhere(tmp_path: Path, collector: Collector) -> None:
    """No answer, error, log, audit line, metric, span, file, argument or output shows a secret in
    any form.
    """
    heard = Heard()
    directory, log = tmp_path / "server", tmp_path / "log"
    log.mkdir()
    async with Sandbox(accounts=accounts()) as sandbox:
        venues = {**sandbox.urls, "aster-v3": sandbox.urls["aster"]}
        await asyncio.to_thread(prepare, directory, venues)
        environment = {
            "PRIVYSEAL__LOG__LEVEL": "debug",
            "PRIVYSEAL__TRACING__ENABLED": "true",
            "PRIVYSEAL__TRACING__ENDPOINT": collector.url,
        }
        config = str(directory / "privyseal.toml")
        with running(log, "serve", "--config", config, environment=environment) as server:
            serving = await asyncio.to_thread(server.wait_for_event, "ready")
            ports = server.wait_for_event("serving")
            port = ports["port"]
            client_file = directory / "client.toml"
            client_file.write_text(client_file.read_text().replace(":0", f":{port}"))
            async with connected(directory, port) as stubs:
                await every_rpc(stubs, sandbox, heard)
                await every_command(directory, heard)
            kept = left_behind(directory, server)
            for path in ("/metrics", "/readyz"):
                kept[path] = (await fetch(ports["http_ops_port"], path)).body
            exit_code = await asyncio.to_thread(server.stop)
        kept.update(
            {str(path): path.read_bytes() for path in directory.rglob("*") if path.is_file()}
        )
        kept["stderr"] = server.stderr_file.read_bytes()
        kept["spans"] = b"".join(collector.bodies)
        issued = {each.api_secret.encode() for each in sandbox.accounts.aster_keys.values()}
    told = b"\n".join(heard.rpcs)
    printed = b"\n".join(heard.commands)
    # The test would be worth nothing if these had not happened.
    assert (serving["event"], exit_code) == ("ready", 0)
    assert (len(issued) >= 2, len(heard.tokens) >= 3, heard.failures >= 60) == (True, True, True)
    marks = MARKS | issued
    assert marks_in(told, marks) == []
    assert marks_in(printed, marks | heard.tokens) == []
    shown = {name: marks_in(content, marks | heard.tokens) for name, content in kept.items()}
    assert {name: found for name, found in shown.items() if found} == {}
    assert {"stdout", "stderr", "cmdline", "environ"} < set(kept)
    assert (
        b'privyseal_signatures_total{algorithm="hmac-sha512",venue="whitebit"}'
        in (kept["/metrics"])
    )
    assert {"venue aster create-key", "venue kiiex login", "state advance"} <= {
        span.name for span in collector.spans()
    }
    assert any(name.endswith("store.db") for name in kept)
    assert any(name.endswith("audit.jsonl") for name in kept)
    assert marks_in(kept["stderr"], [b"Traceback", b"internal error"]) == []


def ours(before: list[object]) -> list[object]:
    """Return the objects of our own classes that were not there before."""
    known = {id(each) for each in before}
    return [
        each
        for each in gc.get_objects()
        if id(each) not in known
        and type(each).__module__.startswith("privyseald")
        and not isinstance(each, type)
    ]


async def test_no_object_of_ours_shows_a_secret(tmp_path: Path) -> None:
    """The repr and str of all that a server in use holds in memory is free of the mark."""
    before = gc.get_objects()
    async with Service(tmp_path) as service:
        service.sandbox.accounts.add(KiiexUser("149", "kx-public", KEYS["kx"].material))
        service.sandbox.accounts.add(AsterAccount(WALLET))
        operator = await service.as_caller(OPERATOR)
        for key_id, key in KEYS.items():
            await import_sandbox_key(operator, key_id, key)
        for key_id, (method, path, body) in REQUESTS.items():
            request_id = str(uuid.uuid4())
            request = sign_request(key_id, method, path, body, request_id=request_id)
            await operator.signing.Sign(request)
        token = (await operator.signing.Login(pb.LoginRequest(key="keys/kx"))).session.token
        things = ours(before)
        kinds = {type(thing).__name__ for thing in things}
        shown = "\n".join(f"{thing!r} {thing}" for thing in things).encode()
    expected = {"App", "HmacSigner", "Secp256k1Signer", "OpenedKey", "Session", "EmbeddedStore"}
    assert expected - kinds == set()
    assert marks_in(shown, MARKS | {token.encode()}) == []
