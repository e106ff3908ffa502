import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from answering_server import Reply, answering
from bao import BaoServer
from privyseald.clock import SystemClock
from privyseald.errors import SecretStoreUnreachable
from privyseald.vault.client import VaultClient
from privyseald.vault.connection import VaultAddress
from privyseald.vault.errors import PathMissing, RequestRefused
from privyseald.vault.token_file import TokenFile
from privyseald.vault.transit import TransitEngine
from privyseald.vault.wrapping import wrap

LOOKUP = Reply(200, {"data": {"ttl": 0, "expire_time": None}})
LOOKED_UP = "a-token"
TAG = "vault:v1:" + "A" * 43 + "="
JWS = "vault:v1:--__" + "A" * 82


def pem_of(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    """Return the public half as PEM."""
    spki = PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(Encoding.PEM, spki).decode()


ANOTHER_CURVE = pem_of(ec.generate_private_key(ec.SECP384R1()))
NO_CURVE = pem_of(rsa.generate_private_key(65537, 2048))


@asynccontextmanager
async def engine_at(
    url: str, folder: Path, token: str = LOOKED_UP, mount: str = "transit"
) -> AsyncIterator[TransitEngine]:
    """Yield a transit engine."""
    (folder / "token").write_text(token)
    client = VaultClient.connect(VaultAddress(url), TokenFile(folder / "token"), SystemClock())
    try:
        yield client.transit(mount)
    finally:
        await client.close()


@pytest.mark.parametrize("status", [405, 412, 429, 472, 473, 500, 502, 503, 504])
async def test_a_fault_of_vaults_is_no_signature(status: int, tmp_path: Path) -> None:
    """Whatever status hvac has no name for, a signature that did not come is UNAVAILABLE."""
    with answering(LOOKUP, Reply(status, {"errors": ["x"]})) as server:
        async with engine_at(server.url, tmp_path) as engine:
            for call in (engine.hmac("k", "sha2-256", b"m"), engine.sign("k", b"m")):
                with pytest.raises(SecretStoreUnreachable) as caught:
                    await call
                assert (caught.value.retry_after_ms or 0) > 0


async def test_a_broken_connection_costs_no_signature(tmp_path: Path) -> None:
    """To sign the same twice does no harm, so it is asked once more; to import is not."""
    answer = Reply(200, {"data": {"hmac": TAG}})
    with answering(LOOKUP, Reply(hangs_up=True), answer) as server:
        async with engine_at(server.url, tmp_path) as engine:
            assert await engine.hmac("k", "sha2-256", b"m") == (1, bytes(32))
    with answering(LOOKUP, Reply(hangs_up=True), Reply(204, "")) as server:
        async with engine_at(server.url, tmp_path) as engine:
            with pytest.raises(SecretStoreUnreachable):
                await engine.import_key("k", "hmac", "AAAA")


@pytest.mark.parametrize(
    "tag",
    [
        None,
        "",
        "A" * 44,
        TAG.removeprefix("vault:"),
        TAG.replace("v1", "v0"),
        TAG.replace("v1", "v"),
        TAG + "\n",
        "vault:v1:" + "A" * 41,
        "vault:v1:" + "-" * 44,
    ],
)
async def test_a_tag_of_another_form_is_no_signature(tag: str | None, tmp_path: Path) -> None:
    """Only `vault:vN:` and base64 are taken, and N counts from 1."""
    with answering(LOOKUP, Reply(200, {"data": {"hmac": tag, "signature": tag}})) as server:
        async with engine_at(server.url, tmp_path) as engine:
            for call in (engine.hmac("k", "sha2-256", b"m"), engine.sign("k", b"m")):
                with pytest.raises(SecretStoreUnreachable, match=r"vault\.address"):
                    await call


@pytest.mark.parametrize(
    "signature",
    [
        None,
        "",
        TAG,
        JWS.removeprefix("vault:"),
        JWS.replace("v1", "v0"),
        JWS + "\n",
        JWS + "==",
        JWS.replace("_", "/"),
        JWS + "AAA",
    ],
    ids=[
        "none",
        "empty",
        "padded",
        "no mark",
        "v0",
        "newline",
        "jws padded",
        "base64",
        "no length",
    ],
)
async def test_a_jws_signature_of_another_form_is_none(
    signature: str | None, tmp_path: Path
) -> None:
    """Only `vault:vN:` and base64url without padding are taken."""
    with answering(LOOKUP, Reply(200, {"data": {"signature": signature}})) as server:
        async with engine_at(server.url, tmp_path) as engine:
            with pytest.raises(SecretStoreUnreachable, match=r"vault\.address"):
                await engine.sign_ecdsa("k", "sha2-256", b"m")


async def test_a_jws_signature_is_decoded_from_base64url(tmp_path: Path) -> None:
    """Both letters that base64 writes otherwise are read, at the length that JWS has."""
    with answering(LOOKUP, Reply(200, {"data": {"signature": JWS}})) as server:
        async with engine_at(server.url, tmp_path) as engine:
            version, signature = await engine.sign_ecdsa("k", "sha2-256", b"m")
    assert version == 1
    assert signature == bytes.fromhex("fbefff") + bytes(61)


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"type": "hmac", "derived": False},
        {"type": "hmac", "derived": "no", "latest_version": 1},
        {"type": "ed25519", "derived": False, "latest_version": 1},
        {"type": "ed25519", "derived": False, "latest_version": 1, "keys": {"1": 1_700_000_000}},
        {
            "type": "ed25519",
            "derived": False,
            "latest_version": 1,
            "keys": {"1": {"public_key": "no base64!"}},
        },
        *(
            {
                "type": "ecdsa-p256",
                "derived": False,
                "latest_version": 1,
                "keys": {"1": {"public_key": public_key}},
            }
            for public_key in ("", "no PEM", ANOTHER_CURVE, NO_CURVE)
        ),
    ],
)
async def test_a_description_of_another_shape_is_an_outage(
    facts: dict[str, object], tmp_path: Path
) -> None:
    """Nothing is guessed of a key."""
    with answering(LOOKUP, Reply(200, {"data": facts})) as server:
        async with engine_at(server.url, tmp_path) as engine:
            with pytest.raises(SecretStoreUnreachable):
                await engine.describe("k")


async def test_a_key_that_is_not_there_is_told(bao: BaoServer, tmp_path: Path) -> None:
    """Neither is described, nor signs, nor stands in the way of its deletion."""
    bao.enable_transit()
    async with engine_at(bao.url, tmp_path, bao.root_token, "transit-keys") as engine:
        with pytest.raises(PathMissing):
            await engine.describe("none")
        for call in (engine.hmac("none", "sha2-256", b"m"), engine.sign("none", b"m")):
            with pytest.raises(RequestRefused):
                await call
        await engine.delete("none")


async def test_a_rate_limit_of_vaults_is_told_with_a_time(bao: BaoServer, tmp_path: Path) -> None:
    """A real quota that is spent names itself, and says when to try again."""
    bao.write("sys/mounts/limited", type="transit")
    bao.write("limited/keys/k", type="hmac", key_size=32)
    bao.write("sys/quotas/rate-limit/limited", path="limited/", rate=1, interval="60s")
    async with engine_at(bao.url, tmp_path, bao.root_token, "limited") as engine:
        outcomes = await asyncio.gather(
            *(engine.hmac("k", "sha2-256", b"m") for _ in range(5)), return_exceptions=True
        )
    refused = [outcome for outcome in outcomes if isinstance(outcome, SecretStoreUnreachable)]
    assert len(refused) >= 3
    assert "rate limit quota" in refused[0].message
    assert (refused[0].retry_after_ms or 0) > 1_000
    await asyncio.to_thread(bao.root().delete, "sys/quotas/rate-limit/limited")


@pytest.mark.parametrize("kind", ["text", "elliptic", "short"])
def test_a_key_is_wrapped_for_a_strong_key_alone(kind: str) -> None:
    """A secret is never put under something else than a 4096-bit RSA key."""
    pem = "no PEM"
    if kind == "elliptic":
        pem = pem_of(ec.generate_private_key(ec.SECP256R1()))
    if kind == "short":
        pem = pem_of(rsa.generate_private_key(65537, 2048))

    with pytest.raises(SecretStoreUnreachable):
        wrap(pem, b"secret")
