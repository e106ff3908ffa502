"""`privyseal demo`: a real server signs for four venues, which verify every signature."""

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import uvloop

from privyseal import AsyncClient, PrivysealError, Tls
from privyseal.v1 import key_service_pb2, signing_service_pb2
from privyseald.cli.connect import Json
from privyseald.cli.demo_server import DemoServer
from privyseald.cli.init import prepare
from privyseald.cli.output import console, fail, print_json, print_table
from privyseald.cli.sandbox import base_urls
from privyseald.outbound.http import HttpOutbound
from privyseald.outbound.outbound import OutboundRequest

_READER = "spiffe://privyseal.test/reader"

# All of these stand in public documentation and open nothing but the sandbox: see
# sandbox/accounts.py for where each is printed.
_ANVIL_0 = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
_ASTER_AGENT = "4fd0a42218f3eae43a6ce26d22544e986139a01e5b34a62db53757ffca81bae1"
_ASTER_USER = "0x63DD5aCC6b1aa0f563956C0e534DD30B6dcF7C4e"


@dataclass(frozen=True, slots=True)
class _Import:
    key_id: str
    venue: str
    algorithm: str
    fields: dict[str, str]
    material: str


_IMPORTS = (
    _Import(
        "nebulaex-main",
        "nebulaex",
        "hmac-sha256",
        {"api_key": "61d025b8573501c2"},
        "2d0b4979c7fe6986daa8e21d1dc0644f",
    ),
    _Import(
        "kiiex-main",
        "kiiex",
        "hmac-sha256",
        {"api_key": "test-key", "user_id": "149"},
        "test-secret",
    ),
    _Import("whitebit-main", "whitebit", "hmac-sha512", {"api_key": "test-key"}, "test-secret"),
    _Import("aster-wallet", "aster", "secp256k1", {}, _ANVIL_0),
    _Import("aster-agent", "aster-v3", "secp256k1", {"user": _ASTER_USER}, _ASTER_AGENT),
)


_ACCEPTED = (200, 201)


@dataclass(frozen=True, slots=True)
class _Row:
    venue: str
    rpc: str
    came_back: str
    venue_said: str
    good: bool


def demo(as_json: Json = False) -> None:
    """Sign, log in and create a key against venue servers that verify everything."""
    rows = uvloop.run(_demo(quiet=as_json))
    if as_json:
        print_json(
            [
                {
                    "venue": row.venue,
                    "rpc": row.rpc,
                    "cameBack": row.came_back,
                    "venueSaid": row.venue_said,
                    "good": row.good,
                }
                for row in rows
            ]
        )
    if not all(row.good for row in rows):
        fail("not every step came out as it should")


async def _demo(*, quiet: bool) -> list[_Row]:
    from privyseald.sandbox.sandbox import Sandbox  # noqa: PLC0415  # heavy; see cli/app.py

    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="privyseal-demo-") as name:
        directory = Path(name) / "server"
        ca = prepare(directory, 0)
        reader = ca.caller(_READER)
        (directory / "tls" / "reader.pem").write_bytes(reader.certificate)
        (directory / "tls" / "reader-key.pem").write_bytes(reader.private_key)
        async with Sandbox() as venues:
            with (directory / "privyseal.toml").open("a") as config:
                for venue, url in base_urls(venues.urls).items():
                    config.write(f'\n[venues.{venue}]\nbase_urls = {{ production = "{url}" }}\n')
            async with DemoServer(directory) as server:
                if not quiet:
                    console.print(
                        f"venue servers on loopback, keys in an encrypted file, "
                        f"gRPC with mTLS on port {server.port}"
                    )
                rows = await _Tour(directory, server.port).run()
    if not quiet:
        print_table(
            ("venue", "RPC", "what came back", "what the venue answered"),
            [(row.venue, row.rpc, row.came_back, row.venue_said) for row in rows],
        )
        good = sum(row.good for row in rows)
        took = time.monotonic() - started
        console.print(f"{good} of {len(rows)} steps came out as they should, in {took:.1f} s")
    return rows


class _Tour:
    """The steps of the demo."""

    def __init__(self, directory: Path, port: int) -> None:
        self._operator = _client(directory, port, "client")
        self._reader = _client(directory, port, "reader")
        self._outbound = HttpOutbound(timeout_ms=5_000, connect_timeout_ms=2_000)
        self._rows: list[_Row] = []

    async def run(self) -> list[_Row]:
        """Return a row a step."""
        try:
            for one in _IMPORTS:
                await self._import(one)
            await self._sign("nebulaex-main", "GET", "/api/v2/backend/account/balances")
            await self._sign(
                "nebulaex-main",
                "POST",
                "/api/v2/trading/market/orders",
                b'{"market":"btcusdt","side":"buy","volume":"0.01","price":"40000"}',
            )
            await self._sign("kiiex-main", "POST", "/ap/GetAccountPositions", _KIIEX_BODY)
            await self._login("kiiex-main")
            await self._sign("kiiex-main", "POST", "/ap/GetAccountPositions", _KIIEX_BODY)
            await self._sign(
                "whitebit-main",
                "POST",
                "/api/v4/order/new",
                b'{"market": "BTC_USDT", "side": "buy", "amount": "0.010", "price": "40000"}',
            )
            await self._login("aster-wallet")
            await self._create_key("aster-trading", "aster-wallet")
            await self._sign(
                "aster-trading", "POST", "/fapi/v1/order", b"symbol=BTCUSDT&side=BUY&type=MARKET"
            )
            await self._sign(
                "aster-agent", "POST", "/fapi/v3/order", b"symbol=BTCUSDT&side=BUY&type=MARKET"
            )
            await self._refused()
        finally:
            await self._outbound.close()
            await self._operator.close()
            await self._reader.close()
        return self._rows

    async def _import(self, one: _Import) -> None:
        request = key_service_pb2.ImportKeyRequest(
            key_id=one.key_id,
            venue=one.venue,
            algorithm=one.algorithm,
            fields=one.fields,
            plaintext=one.material.encode(),
        )
        key = (await self._operator.import_key(request)).key
        self._add(one.venue, "ImportKey", f"{key.name}, {_short(key.public_id)}", "-", good=True)

    async def _sign(self, key_id: str, method: str, path: str, body: bytes = b"") -> None:
        request = signing_service_pb2.SignRequest(key=f"keys/{key_id}")
        request.http_request.method, request.http_request.path = method, path
        request.http_request.body = body
        answer = await self._operator.sign(request)
        signed = answer.signed_http_request
        response = await self._outbound.send(
            OutboundRequest(
                signed.method,
                signed.url,
                tuple((header.name, header.value) for header in signed.headers),
                signed.body,
            )
        )
        added = _added([each.name for each in signed.headers if each.name != "Content-Type"])
        said = f"HTTP {response.status} {response.body[:20].decode(errors='replace')}…"
        good = response.status in _ACCEPTED and b"errormsg" not in response.body
        venue = key_id.partition("-")[0] + _generation(path)
        self._add(venue, f"Sign {method} {_tail(path)}", added, said, good=good)

    async def _login(self, key_id: str) -> None:
        request = signing_service_pb2.LoginRequest(key=f"keys/{key_id}")
        session = (await self._operator.login(request)).session
        what = f"token {_short(session.token, keep=4)} of user {session.user_id}"
        self._add(key_id.partition("-")[0], "Login", what, "opened a session", good=True)

    async def _create_key(self, key_id: str, using: str) -> None:
        request = signing_service_pb2.CreateKeyRequest(key_id=key_id, venue="aster")
        request.venue_issued.using_key = f"keys/{using}"
        request.venue_issued.description = "privyseal demo"
        key = (await self._operator.create_key(request)).key
        what = f"{key.name}, {_short(key.public_id)}"
        self._add("aster", "CreateKey", what, "issued a key, into the store", good=True)

    async def _refused(self) -> None:
        request = signing_service_pb2.SignRequest(key="keys/whitebit-main")
        path = "/api/v4/main-account/withdraw"
        request.http_request.method, request.http_request.path = "POST", path
        try:
            await self._reader.sign(request)
        except PrivysealError as error:
            what, good = error.code, error.code == "PERMISSION_DENIED"
        else:
            what, good = "a signature", False
        self._add("whitebit", f"Sign POST {_tail(path)}", f"another caller: {what}", "-", good=good)

    def _add(self, venue: str, rpc: str, came_back: str, said: str, *, good: bool) -> None:
        self._rows.append(_Row(venue, rpc, came_back, said, good))


_KIIEX_BODY = b'{"OMSId":1,"AccountId":449}'


def _client(directory: Path, port: int, caller: str) -> AsyncClient:
    tls = directory / "tls"
    files = Tls(tls / "ca.pem", tls / f"{caller}.pem", tls / f"{caller}-key.pem")
    return AsyncClient(f"localhost:{port}", tls=files)


def _short(text: str, keep: int = 10) -> str:
    return text if len(text) <= keep + 1 else f"{text[:keep]}…"


def _tail(path: str) -> str:
    """Return the last two segments of a path."""
    return "…/" + "/".join(path.split("/")[-2:])


def _added(headers: list[str]) -> str:
    """Return what the signer added, in a few words."""
    if not headers:
        return "nonce, signer, signature in it"
    *others, last = sorted(headers, key=lambda name: "ignature" in name)
    return f"{last} and {len(others)} headers more" if others else f"{last}"


def _generation(path: str) -> str:
    return "-v3" if "/v3/" in path else ""
