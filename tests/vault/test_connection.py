import asyncio
import ssl
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from answering_server import Reply, answering
from bao import BaoServer
from privyseald.config_error import ConfigInvalid
from privyseald.errors import SecretStoreForbidden, SecretStoreSealed, SecretStoreUnreachable
from privyseald.signing.secret import SecretBytes
from privyseald.vault.connection import VaultAddress, VaultConnection
from privyseald.vault.errors import PathMissing, RequestRefused, TokenRefused, VersionMismatch
from server_certificate import write_certificate

CANARY = "canary-5f1d0c9b77aa"
TOKEN = SecretBytes("token-" + CANARY)


@asynccontextmanager
async def connected(
    url: str, *, timeout_ms: int = 2_000, namespace: str = "", ca_file: Path | None = None
) -> AsyncIterator[VaultConnection]:
    """Yield a connection and close it."""
    connection = VaultConnection(VaultAddress(url, namespace, ca_file, timeout_ms))
    try:
        yield connection
    finally:
        await connection.close()


@pytest.mark.parametrize(
    "url",
    [
        "http://vault.example.com:8200",
        "http://10.0.0.1:8200",
        "ftp://127.0.0.1",
        "127.0.0.1:8200",
        "https://",
        "https://user:pass@vault.example.com",
        "https://vault.example.com/?a=b",
    ],
)
def test_an_unsafe_address_is_refused(url: str) -> None:
    """Plain HTTP leaves this machine never, and an address is only an address."""
    with pytest.raises(ConfigInvalid, match=r"vault\.address"):
        VaultAddress(url)


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:8200", "http://[::1]:8200", "http://localhost:1", "https://vault.example"],
)
def test_a_safe_address_is_taken(url: str) -> None:
    """TLS anywhere, plain HTTP on this machine."""
    assert VaultAddress(url).url == url


def test_the_other_settings_are_checked(tmp_path: Path) -> None:
    """A missing CA file and an impossible time out are named."""
    with pytest.raises(ConfigInvalid, match=r"vault\.ca_file"):
        VaultAddress("https://v", ca_file=tmp_path / "none.pem")
    for timeout_ms in (0, 60_001):
        with pytest.raises(ConfigInvalid, match=r"vault\.timeout_ms"):
            VaultAddress("https://v", timeout_ms=timeout_ms)


@pytest.mark.parametrize("status", [405, 412, 418, 429, 472, 473, 500, 502, 503, 504])
async def test_a_fault_of_vaults_is_unreachable_with_a_time(status: int) -> None:
    """Whatever status hvac has no name for, the caller hears when to try again."""
    with answering(Reply(status, {"errors": [CANARY]})) as server:
        async with connected(server.url) as connection:
            with pytest.raises(SecretStoreUnreachable) as caught:
                await connection.get("signer/data/x", TOKEN)

    assert (caught.value.retry_after_ms or 0) > 0
    assert CANARY not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("status", "errors", "failure"),
    [
        (400, ["check-and-set parameter did not match"], VersionMismatch),
        (400, ["something else"], RequestRefused),
        (401, [], TokenRefused),
        (403, ["permission denied"], TokenRefused),
        (404, [], PathMissing),
        (404, ["no handler for route"], SecretStoreForbidden),
        (501, [], SecretStoreSealed),
        (503, ["Vault is sealed"], SecretStoreSealed),
        (503, ["Vault is not initialized"], SecretStoreSealed),
        (503, ["no healthy upstream"], SecretStoreUnreachable),
    ],
)
async def test_each_refusal_has_its_name(
    status: int, errors: list[str], failure: type[Exception]
) -> None:
    """What Vault refuses is told apart by status, and where that is not enough by its text."""
    with answering(Reply(status, {"errors": errors})) as server:
        async with connected(server.url) as connection:
            with pytest.raises(failure):
                await connection.post("signer/data/x", TOKEN, {})


@pytest.mark.parametrize("status", [412, 429, 500, 502, 503])
async def test_a_read_rides_through_a_passing_fault(status: int) -> None:
    """A GET is repeated a few times after a status that passes."""
    with answering(Reply(status), Reply(status), Reply(200, {"data": {}})) as server:
        async with connected(server.url) as connection:
            assert await connection.get("signer/data/x", TOKEN) == {"data": {}}
    assert len(server.asked) == 3


async def test_a_write_is_never_repeated() -> None:
    """POST and DELETE go out once, whatever comes back."""
    with answering(Reply(503)) as server:
        async with connected(server.url) as connection:
            with pytest.raises(SecretStoreUnreachable):
                await connection.post("signer/data/x", TOKEN, {})
            with pytest.raises(SecretStoreUnreachable):
                await connection.delete("signer/data/x", TOKEN)
    assert [method for method, _, _ in server.asked] == ["POST", "DELETE"]


async def test_a_read_survives_one_broken_connection() -> None:
    """A proxy that dropped an idle connection costs nobody an answer; a write it may."""
    with answering(Reply(hangs_up=True), Reply(200, {"data": {}})) as server:
        async with connected(server.url) as connection:
            assert await connection.list("signer/metadata", TOKEN) == {"data": {}}
    with answering(Reply(hangs_up=True), Reply(200, {})) as server:
        async with connected(server.url) as connection:
            with pytest.raises(SecretStoreUnreachable, match="can't be reached"):
                await connection.post("signer/data/x", TOKEN, {})
    assert len(server.asked) == 1


async def test_a_slow_vault_is_unreachable_in_time() -> None:
    """The time out holds and is not doubled by another try."""
    with answering(Reply(delay_s=3)) as server:
        async with connected(server.url, timeout_ms=100) as connection:
            async with asyncio.timeout(2):
                with pytest.raises(SecretStoreUnreachable, match=r"vault\.timeout_ms"):
                    await connection.get("signer/data/x", TOKEN)
    assert len(server.asked) == 1


@pytest.mark.parametrize("body", ["no json " + CANARY, [1], "7"])
async def test_an_answer_that_is_no_vaults_is_named(body: object) -> None:
    """A proxy's page of HTML with status 200 is no answer."""
    with answering(Reply(200, body)) as server:
        async with connected(server.url) as connection:
            with pytest.raises(SecretStoreUnreachable, match=r"vault\.address") as caught:
                await connection.get("signer/data/x", TOKEN)
    assert CANARY not in str(caught.value)


async def test_a_call_brings_its_token_and_namespace() -> None:
    """Headers hold the call's own token and the configured namespace; no token, no header."""
    with answering(Reply(204, "")) as server:
        async with connected(server.url, namespace="desk") as connection:
            assert await connection.post("x", TOKEN, {}) == {}
            assert await connection.get("x", None) == {}
    with_token, without = (headers for _, _, headers in server.asked)
    assert with_token["X-Vault-Token"] == "token-" + CANARY
    assert with_token["X-Vault-Namespace"] == "desk"
    assert "X-Vault-Token" not in without


async def test_the_environment_decides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a proxy nor Vault's own variables are taken from the environment."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("VAULT_TOKEN", CANARY)
    monkeypatch.setenv("VAULT_NAMESPACE", CANARY)
    with answering(Reply(200, {})) as server:
        async with connected(server.url) as connection:
            await connection.get("x", None)
    assert CANARY not in str(server.asked)


async def test_a_redirect_is_followed_on_this_machine() -> None:
    """A standby sends to the active node, and the token goes along."""
    with answering(Reply(200, {"data": {}})) as active:
        moved = Reply(307, {}, (("Location", f"{active.url}/v1/x"),))
        with answering(moved) as standby:
            async with connected(standby.url) as connection:
                assert await connection.get("x", TOKEN) == {"data": {}}
    assert active.asked[0][2]["X-Vault-Token"] == "token-" + CANARY


async def test_a_redirect_to_plain_http_elsewhere_is_refused() -> None:
    """The token follows nobody off this machine without TLS."""
    moved = Reply(307, {}, (("Location", "http://192.0.2.1/v1/x"),))
    with answering(moved) as standby:
        async with connected(standby.url) as connection:
            with pytest.raises(SecretStoreUnreachable):
                await connection.get("x", TOKEN)


async def test_a_closed_connection_sends_nothing() -> None:
    """After `close`, a second `close` is harmless and a call is refused by name."""
    with answering(Reply(200, {})) as server:
        connection = VaultConnection(VaultAddress(server.url))
        await connection.close()
        await connection.close()
        with pytest.raises(SecretStoreUnreachable, match="closed"):
            await connection.get("x", TOKEN)
    assert server.asked == []


def test_a_connection_shows_no_token() -> None:
    """Its repr holds the address alone."""
    assert repr(VaultConnection(VaultAddress("http://127.0.0.1:1"))) == (
        "VaultConnection(http://127.0.0.1:1)"
    )


async def test_tls_needs_the_right_authority(tmp_path: Path) -> None:
    """With its authority's file a server is spoken to; without it, the error says what to set."""
    ca_file, cert, key = write_certificate(tmp_path)
    server = BaoServer(tmp_path / "bao", tls=(cert, key), ca_file=ca_file)
    try:
        await asyncio.to_thread(server.start)
        async with connected(server.url, ca_file=ca_file) as connection:
            answer = await connection.get("sys/health", None)
            assert answer["sealed"] is False
        async with connected(server.url) as connection:
            with pytest.raises(SecretStoreUnreachable, match=r"vault\.ca_file"):
                await connection.get("sys/health", None)
    finally:
        server.stop()


async def test_a_wanted_client_certificate_is_named(tmp_path: Path) -> None:
    """A server that wants a certificate of ours is not taken for one that we do not trust."""
    ca_file, certificate, private_key = write_certificate(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, private_key)
    tls.load_verify_locations(ca_file)
    tls.verify_mode = ssl.CERT_REQUIRED
    tls.maximum_version = ssl.TLSVersion.TLSv1_2  # so that the refusal is part of the handshake

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=tls)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, connected(url, ca_file=ca_file) as connection:
        with pytest.raises(SecretStoreUnreachable, match=r"vault\.client_certificate_file"):
            await connection.get("sys/health", None)
