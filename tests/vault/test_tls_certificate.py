import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from structlog.testing import capture_logs

from bao import MOUNT, BaoServer
from client_authority import ClientAuthority
from privyseald.clock import SystemClock
from privyseald.errors import SecretStoreForbidden, SecretStoreUnreachable
from privyseald.vault.backoff import RenewalTimes
from privyseald.vault.client import VaultClient
from privyseald.vault.client_certificate import ClientCertificate
from privyseald.vault.connection import VaultAddress
from privyseald.vault.errors import PathMissing
from privyseald.vault.tls_certificate import TlsCertificate
from server_certificate import write_certificate

TIMES = RenewalTimes(first_backoff_ms=50, longest_backoff_ms=200, look_ms=50)
AUTHORITY = ClientAuthority()


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[BaoServer, Path]]:
    """A server with TLS that trusts AUTHORITY's certificate for `privyseal`, and its CA file."""
    folder = tmp_path_factory.mktemp("tls-bao")
    ca_file, certificate, private_key = write_certificate(folder)
    server = BaoServer(folder / "bao", tls=(certificate, private_key), ca_file=ca_file)
    try:
        server.start()
        server.write("sys/auth/cert", type="cert")
        policy = f'path "{MOUNT}/data/*" {{ capabilities = ["read"] }}'
        server.root().sys.create_or_update_policy("cert-reader", policy)
        server.write(
            "auth/cert/certs/privyseal",
            certificate=AUTHORITY.pem,
            allowed_common_names=["privyseal"],
            token_policies=["cert-reader"],
            token_ttl="2s",
        )
        yield server, ca_file
    finally:
        server.stop()


@asynccontextmanager
async def client_with(
    vault: tuple[BaoServer, Path], folder: Path, role: str = "", mount: str = "cert"
) -> AsyncIterator[VaultClient]:
    """Yield a client that logs in with the certificate in a folder."""
    files = ClientCertificate(
        certificate_file=folder / "client.pem", private_key_file=folder / "client.key"
    )
    method = TlsCertificate(files, role=role, mount=mount)
    address = VaultAddress(vault[0].url, ca_file=vault[1])
    client = VaultClient.connect(address, method, SystemClock(), TIMES)
    try:
        yield client
    finally:
        await client.close()


async def token_of(client: VaultClient) -> str:
    """Return the client's token in clear."""
    return (await client._session.tokens.token()).text.reveal().decode()


@pytest.mark.parametrize("role", ["", "privyseal"])
async def test_a_certificate_logs_in(
    vault: tuple[BaoServer, Path], tmp_path: Path, role: str
) -> None:
    """A certificate that a role trusts opens Vault, renewals too; the token ends with us."""
    AUTHORITY.write(tmp_path, "privyseal")
    with capture_logs() as logs:
        async with client_with(vault, tmp_path, role) as client:
            with pytest.raises(PathMissing):
                await client.read(MOUNT, "none/a")
            token = await token_of(client)
            await asyncio.sleep(2.5)
            with pytest.raises(PathMissing):
                await client.read(MOUNT, "none/a")

            assert await token_of(client) == token
    assert [log["event"] for log in logs] == ["vault_logged_in"]
    assert not await asyncio.to_thread(vault[0].is_alive, token)


async def test_a_new_certificate_is_presented(
    vault: tuple[BaoServer, Path], tmp_path: Path
) -> None:
    """When the files change, the next connections and the next token are of the new one."""
    AUTHORITY.write(tmp_path, "privyseal")
    async with client_with(vault, tmp_path) as client:
        first = await token_of(client)
        AUTHORITY.write(tmp_path, "privyseal")
        async with asyncio.timeout(6):
            while await token_of(client) == first:  # noqa: ASYNC110  # Vault tells nobody
                await asyncio.sleep(0.02)
        await asyncio.sleep(2.5)
        with pytest.raises(PathMissing):
            await client.read(MOUNT, "none/a")


async def test_a_half_written_certificate_disturbs_nobody(
    vault: tuple[BaoServer, Path], tmp_path: Path
) -> None:
    """While the files do not fit, the token that we have goes on to work."""
    AUTHORITY.write(tmp_path, "privyseal")
    async with client_with(vault, tmp_path) as client:
        first = await token_of(client)
        (tmp_path / "client.pem").write_text("-----BEGIN CERT")
        await asyncio.sleep(0.5)
        with pytest.raises(PathMissing):
            await client.read(MOUNT, "none/a")
        assert await token_of(client) == first


@pytest.mark.parametrize(
    ("name", "role", "mount"),
    [("other", "", "cert"), ("privyseal", "none", "cert"), ("privyseal", "", "elsewhere")],
)
async def test_a_certificate_without_a_role_is_refused(
    vault: tuple[BaoServer, Path], tmp_path: Path, name: str, role: str, mount: str
) -> None:
    """A name, a role or a mount that Vault does not know is told with where to look."""
    AUTHORITY.write(tmp_path, name)
    async with client_with(vault, tmp_path, role, mount) as client:
        with pytest.raises(SecretStoreForbidden, match=f"at the mount '{mount}'"):
            await client.read(MOUNT, "none/a")


async def test_a_certificate_of_nobodys_is_refused(
    vault: tuple[BaoServer, Path], tmp_path: Path
) -> None:
    """A certificate of another authority opens nothing."""
    ClientAuthority().write(tmp_path, "privyseal")
    async with client_with(vault, tmp_path) as client:
        with pytest.raises(SecretStoreForbidden, match="trusts its authority"):
            await client.read(MOUNT, "none/a")


async def test_only_the_configured_authority_is_trusted(
    vault: tuple[BaoServer, Path], tmp_path: Path
) -> None:
    """Presenting a certificate does not make us trust a server that we did not trust before."""
    AUTHORITY.write(tmp_path, "privyseal")
    other_ca, _, _ = write_certificate(tmp_path)
    async with client_with((vault[0], other_ca), tmp_path) as client:
        with pytest.raises(SecretStoreUnreachable, match=r"vault\.ca_file"):
            await client.read(MOUNT, "none/a")


@pytest.mark.parametrize("fault", ["missing", "mismatched", "no PEM", "passphrase", "open to all"])
def test_bad_files_are_named_by_their_settings(tmp_path: Path, fault: str) -> None:
    """A certificate that can't be loaded is refused with the settings that name it."""
    certificate, private_key = AUTHORITY.write(tmp_path, "privyseal")
    match fault:
        case "missing":
            certificate.unlink()
        case "mismatched":
            (tmp_path / "other").mkdir()
            _, private_key = AUTHORITY.write(tmp_path / "other", "privyseal")
        case "no PEM":
            private_key.write_text("no key")
        case "passphrase":
            loaded = load_pem_private_key(private_key.read_bytes(), None)
            assert isinstance(loaded, ec.EllipticCurvePrivateKey)
            private_key.write_bytes(
                loaded.private_bytes(
                    Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"pass")
                )
            )
        case _:
            private_key.chmod(0o644)
    files = ClientCertificate(certificate_file=certificate, private_key_file=private_key)

    with pytest.raises(SecretStoreForbidden, match=r"vault\.client_private_key_file"):
        files.load()
    assert not files.has_changed()
