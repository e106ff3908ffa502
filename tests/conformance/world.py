"""All that a client's cases meet: real servers, venues, certificates, tokens, doors that fail."""

import base64
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from bao import free_port
from conformance.expired import expired_certificate
from conformance.fault_door import FaultDoor
from conformance.wire import WireTap
from privyseal.v1 import key_service_pb2
from privyseald.cli.certificates import Pem, TryOutCa
from service import (
    ASTER,
    ASTER_AGENT,
    ASTER_WALLET,
    KIIEX,
    NEBULAEX,
    OPERATOR,
    POLICY,
    STRANGER,
    TRADER,
    WHITEBIT,
    Service,
    import_sandbox_key,
)
from tokens import MAKER, Issuer, jwt_section

VENUES = ("nebulaex", "kiiex", "whitebit", "aster")
_POLICY = (
    POLICY.replace('keys: ["desk-*"]', 'keys: ["*-main", "*-wallet", "*-agent", "gone", "stopped"]')
    + f"""\
  - name: maker
    callers: ["{MAKER}", "unix:maker"]
    keys: ["whitebit-main", "kiiex-main"]
    accept_bearer: true
    allow: [sign, login]
"""
)
_KEYS = {
    "nebulaex-main": NEBULAEX,
    "kiiex-main": KIIEX,
    "whitebit-main": WHITEBIT,
    "aster-main": ASTER,
    "aster-wallet": ASTER_WALLET,
    "aster-agent": ASTER_AGENT,
    "session-main": replace(KIIEX, fields={**KIIEX.fields, "sign_with": "session"}),
    "refused-main": replace(KIIEX, fields={"api_key": "another-key", "user_id": "150"}),
    "stopped": WHITEBIT,
}
_BIG_BODY = b'{"market": "BTC_USDT", "note": "%s"}' % (b"x" * 200_000)
_BIG_ORDER = b'{"market":"btcusdt","side":"buy","volume":"0.01","price":"4","note":"%s"}' % (
    b"x" * 200_000
)


@dataclass(frozen=True, slots=True)
class TlsFolder:
    """A folder with ca.pem, client.pem and client-key.pem."""

    path: Path

    def write(self, ca: bytes, pem: Pem) -> None:
        """Write the three files, as somebody who renews them would."""
        self.path.mkdir(exist_ok=True)
        for name, content in (
            ("ca.pem", ca),
            ("client.pem", pem.certificate),
            ("client-key.pem", pem.private_key),
        ):
            fresh = self.path / f".{name}"
            fresh.touch(mode=0o600)
            fresh.write_bytes(content)
            fresh.rename(self.path / name)


class World:
    """One client's surroundings, fresh for each language. Use `async with`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._open = AsyncExitStack()
        self.issuer = Issuer()
        self.taps = {venue: WireTap() for venue in VENUES}
        self.main: Service
        self.frail: Service
        self.frail_port = free_port()
        self.frail_runs = False
        self.young: Service
        self.doors: dict[str, FaultDoor] = {}
        self.names: dict[str, str] = {}

    async def __aenter__(self) -> Self:
        for tap in self.taps.values():
            await self._open.enter_async_context(tap)
        self.main = await self._start("main", {"jwt": self._jwt(), "unix_socket": self._socket()})
        for venue, tap in self.taps.items():
            tap.target = int(self.main.sandbox.urls[venue].rpartition(":")[2])
        self.frail = await self._start("frail", {"listen": f"127.0.0.1:{self.frail_port}"})
        self.frail_runs = True
        self.young = await self._start("young", {"max_connection_age_ms": 1_000})
        await self._import_keys()
        self._write_callers()
        await self._open_doors()
        self._name_things()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    @property
    def tls(self) -> Path:
        """Where the callers' folders are."""
        return self._directory / "tls"

    def folder(self, name: str) -> TlsFolder:
        """Return a caller's folder."""
        return TlsFolder(self.tls / name)

    async def stop_server(self) -> None:
        """Stop the server that cases may stop."""
        await self.frail.stop()
        self.frail_runs = False

    async def start_server(self) -> None:
        """Start it again, on its port."""
        if not self.frail_runs:
            await self.frail.restart()
            self.frail_runs = True

    def renew(self, name: str, how: str) -> None:
        """Replace a folder's files: `valid` by a trader's, `expired`, or `broken` by no PEM."""
        ca = self.main.ca_certificate
        pem = {
            "valid": lambda: self.main.certificate(TRADER),
            "operator": lambda: self.main.certificate(OPERATOR),
            "expired": lambda: expired_certificate(self.main._ca, TRADER),
            "broken": lambda: Pem(b"no PEM", b"no PEM"),
        }[how]()
        self.folder(name).write(ca, pem)

    def write_token(self, name: str, life_s: int) -> None:
        """Write a token file, as an issuer's agent would that renews it."""
        fresh = self._directory / f".{name}"
        fresh.touch(mode=0o600)
        fresh.write_text(self.issuer.token(exp=int(time.time()) + life_s))
        fresh.rename(self._directory / name)

    async def _start(self, name: str, server: dict[str, object]) -> Service:
        directory = self._directory / name
        directory.mkdir()
        bases = {venue: {"base_urls": {"production": tap.url}} for venue, tap in self.taps.items()}
        service = Service(directory, server=server, venues={**bases, "aster-v3": bases["aster"]})
        if name != "main":
            service._is_replica = True
            service._ca, service.sandbox = self.main._ca, self.main.sandbox
        service.take_policy(_POLICY.encode())
        return await self._open.enter_async_context(service)

    def _jwt(self) -> dict[str, object]:
        folder = self._directory / "issuer"
        folder.mkdir()
        return jwt_section(folder, self.issuer, listen="127.0.0.1:0")

    def _socket(self) -> dict[str, object]:
        folder = self._directory / "run"
        folder.mkdir(mode=0o755)
        return {"path": folder / "privyseal.sock", "caller": "unix:maker"}

    async def _import_keys(self) -> None:
        for service in (self.main, self.frail, self.young):
            stubs = await service.as_caller(OPERATOR)
            for key_id, key in _KEYS.items():
                await import_sandbox_key(stubs, key_id, key)
            await stubs.keys.DisableKey(key_service_pb2.DisableKeyRequest(name="keys/stopped"))

    def _write_callers(self) -> None:
        self.tls.mkdir()
        ca = self.main.ca_certificate
        for name, caller in (("trader", TRADER), ("operator", OPERATOR), ("stranger", STRANGER)):
            self.folder(name).write(ca, self.main.certificate(caller))
        self.folder("renewed").write(ca, self.main.certificate(STRANGER))
        self.folder("expired").write(ca, expired_certificate(self.main._ca, TRADER))
        foreign = TryOutCa()
        self.folder("foreign").write(ca, foreign.caller(TRADER))
        self.folder("distrustful").write(foreign.certificate, self.main.certificate(TRADER))
        self.folder("example").write(ca, self.main.certificate(TRADER))
        self.write_token("token", 3_600)

    async def _open_doors(self) -> None:
        own = self.main._ca.server(("localhost", "127.0.0.1"))
        for name, caller in (("one", TRADER), ("two", TRADER), ("admin", OPERATOR)):
            door = FaultDoor(
                f"localhost:{self.main.app.server.port}",
                self.main.ca_certificate,
                self.main.certificate(caller),
                own,
            )
            self.doors[name] = await self._open.enter_async_context(door)

    def _name_things(self) -> None:
        self.names = {
            "main": f"localhost:{self.main.app.server.port}",
            "tokens": f"localhost:{self.main.app.server.token_port}",
            "frail": f"localhost:{self.frail_port}",
            "young": f"localhost:{self.young.app.server.port}",
            "nobody": f"localhost:{free_port()}",
            "socket": f"unix:{self._directory / 'run' / 'privyseal.sock'}",
            "tls": str(self.tls),
            "token_file": str(self._directory / "token"),
            "short_token_file": str(self._directory / "short-token"),
            "big_body": base64.b64encode(_BIG_BODY).decode(),
            "big_order": base64.b64encode(_BIG_ORDER).decode(),
            **{f"door_{name}": f"localhost:{door.port}" for name, door in self.doors.items()},
            **{f"{venue}_url": tap.url for venue, tap in self.taps.items()},
        }
