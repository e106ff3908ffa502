import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from bao import MOUNT, BaoServer
from privyseal.v1 import venue_service_pb2
from privyseald.app import App, make_venues
from privyseald.clock import SystemClock
from privyseald.config import Config
from privyseald.config_error import ConfigInvalid
from privyseald.errors import SecretStoreUnreachable
from privyseald.open_store import _auth_method, open_store
from privyseald.secretstore.embedded import EmbeddedStore
from privyseald.tls_files import read_tls
from privyseald.vault.approle import AppRole
from privyseald.vault.auth import AuthMethod
from privyseald.vault.jwt import JwtLogin
from privyseald.vault.tls_certificate import TlsCertificate
from privyseald.vault.token_file import TokenFile
from privyseald.vault_config import VaultConfig
from secret_store_home import store_policy
from service import OPERATOR, Service, Stubs, eventually, failure_of

_SERVING = health_pb2.HealthCheckResponse.SERVING


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at the store often."""
    monkeypatch.setattr("privyseald.readiness._PAUSE_S", 0.02)


async def is_serving(stubs: Stubs, name: str = "readiness") -> bool:
    """Ask the health service."""
    stub: Any = health_pb2_grpc.HealthStub(stubs.channel)
    answer = await stub.Check(health_pb2.HealthCheckRequest(service=name))
    return bool(answer.status == _SERVING)


async def becomes(stubs: Stubs, *, ready: bool) -> None:
    """Wait until the server is ready, or is not."""

    async def is_so() -> bool:
        return await is_serving(stubs) is ready

    await eventually(is_so)


@pytest.fixture
async def hasty(tmp_path: Path) -> AsyncIterator[Service]:
    """A server whose cached keys may be used for 200 ms."""
    async with Service(tmp_path, store={"soft_ttl_ms": 50, "hard_ttl_ms": 200}) as running:
        yield running


@pytest.mark.usefixtures("quick")
async def test_a_store_away_for_long_makes_a_server_not_ready(hasty: Service) -> None:
    """Beyond the hard TTL no key may be used, so the server is not ready; back, it is again."""
    ops = await hasty.connect_plaintext(hasty.app.server.ops_port)
    await becomes(ops, ready=True)
    file = hasty.directory / "store.db"
    good = file.read_bytes()
    file.write_bytes(b"\xff" * len(good))
    await becomes(ops, ready=False)
    assert await is_serving(ops, "liveness")
    file.write_bytes(good)
    await becomes(ops, ready=True)


@pytest.mark.usefixtures("quick")
async def test_a_store_away_for_a_moment_is_borne(tmp_path: Path) -> None:
    """Inside the hard TTL the server stays ready, as cached keys go on signing."""
    async with Service(tmp_path, store={"hard_ttl_ms": 60_000}) as service:
        ops = await service.connect_plaintext(service.app.server.ops_port)
        await becomes(ops, ready=True)
        file = service.directory / "store.db"
        good = file.read_bytes()
        file.write_bytes(b"\xff" * len(good))
        with pytest.raises(SecretStoreUnreachable):
            await service.app._store.check()
        await asyncio.sleep(0.2)
        assert await is_serving(ops)
        file.write_bytes(good)


async def test_a_start_that_fails_closes_what_it_opened(tmp_path: Path) -> None:
    """Store, state and first port are free again when the last step of a start fails."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        service = Service(tmp_path, server={"ops_listen": address})
        with pytest.raises(ConfigInvalid) as caught:
            await service.__aenter__()
        assert str(caught.value).startswith(f"server.ops_listen: {address} can't be listened on")
    service.override("server", {"ops_listen": "127.0.0.1:0"})
    async with App(service.config()) as app:
        assert app.server.port > 0
    await service.__aexit__(None, None, None)


@pytest.fixture
async def config(service: Service) -> Config:
    """The configuration of a server that runs."""
    return service.config()


def changed(config: Config, section: str, **settings: Any) -> Config:
    """Return the configuration with some settings of a section changed."""
    part = getattr(config, section).model_copy(update=settings)
    return config.model_copy(update={section: part})


@pytest.mark.parametrize("setting", ["certificate_file", "private_key_file", "client_ca_file"])
async def test_a_tls_file_that_is_not_there(config: Config, setting: str) -> None:
    """A TLS file that can't be read is named by its setting."""
    assert config.server.tls is not None
    tls = config.server.tls.model_copy(update={setting: Path("/nothing/here.pem")})
    with pytest.raises(ConfigInvalid, match=rf"^server\.tls\.{setting}: .*/nothing/here\.pem"):
        read_tls(tls)


@pytest.mark.parametrize("setting", ["certificate_file", "private_key_file", "client_ca_file"])
@pytest.mark.parametrize(
    "content",
    [b"", b"-----BEGIN CERTIFICATE-----\nno\n-----END CERTIFICATE-----\n"],
    ids=["empty", "garbage"],
)
async def test_a_tls_file_that_holds_something_else(
    config: Config, tmp_path: Path, setting: str, content: bytes
) -> None:
    """A TLS file without PEM is named by its setting, before a port is opened."""
    assert config.server.tls is not None
    file = tmp_path / "odd.pem"
    file.write_bytes(content)
    file.chmod(0o600)
    tls = config.server.tls.model_copy(update={setting: file})
    with pytest.raises(ConfigInvalid, match=rf"^server\.tls\.{setting}: .*odd\.pem holds no PEM"):
        read_tls(tls)


async def test_a_certificate_of_another_key_is_named(service: Service, config: Config) -> None:
    """A private key that is not the certificate's is not told as a port in use."""
    tls = config.server.tls
    assert tls is not None
    tls.private_key_file.write_bytes(service.certificate(OPERATOR).private_key)
    with pytest.raises(ConfigInvalid, match="is not the key of the first certificate in") as caught:
        read_tls(tls)
    assert str(caught.value).startswith("server.tls.private_key_file: ")


async def test_tls_does_not_show(config: Config) -> None:
    """The PEM texts, the private key among them, do not show in a repr."""
    assert config.server.tls is not None
    assert repr(read_tls(config.server.tls)) == "Tls(hidden)"


async def test_venues_of_the_configuration(config: Config) -> None:
    """A venue that there is not is a mistake of the configuration."""
    wrong = config.model_copy(update={"venues": {"mtgox": config.venues["kiiex"]}})
    assert len(list(make_venues(config))) == 5
    with pytest.raises(ConfigInvalid, match=r"^venues\.mtgox: is no venue; this server has aster"):
        make_venues(wrong)


async def test_an_embedded_store_is_made(config: Config, tmp_path: Path) -> None:
    """`embedded:///path` is the file at that path."""
    elsewhere = changed(config, "store", url=f"embedded://{tmp_path / 'other.db'}")
    store = open_store(elsewhere, SystemClock())
    await store.check()
    await store.close()
    assert isinstance(store, EmbeddedStore)
    assert (tmp_path / "other.db").exists()


def vault_of(bao: BaoServer, prefix: str, **settings: Any) -> dict[str, dict[str, Any]]:
    """Return the sections for a store on a real server."""
    return {
        "store": {"url": f"vault://{MOUNT}/{prefix}", "key_file": None},
        "vault": {"address": bao.url, **settings},
    }


async def serves(tmp_path: Path, sections: dict[str, dict[str, Any]]) -> None:
    """Start a server and wait until it is ready."""
    async with Service(tmp_path, clock=None, **sections) as service:
        ops = await service.connect_plaintext(service.app.server.ops_port)
        await becomes(ops, ready=True)


async def test_a_vault_by_token_file(bao: BaoServer, prefix: str, tmp_path: Path) -> None:
    """With a token file the server becomes ready, and the token outlives it."""
    token = bao.token(store_policy(prefix))
    (tmp_path / "token").write_text(token)
    await serves(tmp_path, vault_of(bao, prefix, token_file=tmp_path / "token"))
    assert bao.is_alive(token)


@pytest.mark.parametrize("wrapped", [False, True], ids=["plain", "wrapped"])
async def test_a_vault_by_approle(
    bao: BaoServer, prefix: str, tmp_path: Path, *, wrapped: bool
) -> None:
    """With AppRole the server logs in by its two files, the secret id wrapped or not."""
    role = bao.approle(store_policy(prefix))
    (tmp_path / "role").write_text(bao.role_id(role))
    (tmp_path / "secret").write_text(bao.secret_id(role, "60s" if wrapped else None))
    await serves(
        tmp_path,
        vault_of(
            bao,
            prefix,
            auth="approle",
            role_id_file=tmp_path / "role",
            secret_id_file=tmp_path / "secret",
            secret_id_is_wrapped=wrapped,
        ),
    )


@pytest.mark.usefixtures("quick")
async def test_a_vault_that_forbids_makes_a_server_not_ready(
    bao: BaoServer, prefix: str, tmp_path: Path
) -> None:
    """A store that refuses this service is no outage to sit out: the server is not ready."""
    token = bao.token(store_policy(prefix))
    (tmp_path / "token").write_text(token)
    sections = vault_of(bao, prefix, token_file=tmp_path / "token")
    async with Service(tmp_path, clock=None, **sections) as service:
        ops = await service.connect_plaintext(service.app.server.ops_port)
        await becomes(ops, ready=True)
        await asyncio.to_thread(bao.revoke, token)
        await becomes(ops, ready=False)
        assert await is_serving(ops, "liveness")


@pytest.mark.parametrize(
    ("settings", "method"),
    [
        ({"token_file": "t"}, TokenFile),
        ({"auth": "approle", "role_id_file": "r", "secret_id_file": "s"}, AppRole),
        ({"auth": "kubernetes", "role": "r"}, JwtLogin),
        ({"auth": "jwt", "role": "r", "jwt_file": "j"}, JwtLogin),
        (
            {
                "auth": "tls-certificate",
                "client_certificate_file": "c",
                "client_private_key_file": "k",
            },
            TlsCertificate,
        ),
    ],
    ids=lambda value: str(value.get("auth", "token-file")) if isinstance(value, dict) else "",
)
def test_each_way_to_log_in_at_vault_is_wired(
    settings: dict[str, str], method: type[AuthMethod]
) -> None:
    """`vault.auth` chooses the method of that name."""
    vault = VaultConfig.model_validate({"address": "https://vault.test:8200", **settings})
    assert type(_auth_method(vault)) is method


async def test_a_store_in_vault_needs_its_section(config: Config) -> None:
    """Without [vault] nobody knows where Vault is."""
    without = changed(config, "store", url="vault://signer/keys")
    with pytest.raises(ConfigInvalid, match=r"add a section \[vault\] with its address"):
        open_store(without, SystemClock())


@pytest.mark.usefixtures("quick")
async def test_a_vault_that_is_not_there(tmp_path: Path) -> None:
    """A server starts without its Vault: live, not ready, and able to say what it can do."""
    (tmp_path / "token").write_text("hvs.none")
    sections: dict[str, dict[str, Any]] = {
        "store": {"url": "vault://signer/keys", "key_file": None},
        "vault": {"address": "http://127.0.0.1:1", "token_file": tmp_path / "token"},
    }
    async with Service(tmp_path, clock=None, **sections) as service:
        ops = await service.connect_plaintext(service.app.server.ops_port)
        operator = await service.as_caller(OPERATOR)
        venues = (await operator.venues.ListVenues(venue_service_pb2.ListVenuesRequest())).venues
        assert (await is_serving(ops, "liveness"), await is_serving(ops)) == (True, False)
        assert (await is_serving(ops, ""), len(venues)) == (False, 5)
        gone = await failure_of(is_serving(ops, "privyseal.v1.Nothing"))
    assert gone.code == "NOT_FOUND"
