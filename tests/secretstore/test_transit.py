import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from bao import MOUNT, TRANSIT, BaoServer
from fakes import NOW_MS
from privyseald.errors import (
    CredentialMalformed,
    SecretStoreForbidden,
    SecretStoreSealed,
    SecretStoreUnreachable,
)
from privyseald.key import Algorithm
from privyseald.secretstore.custody import Custody
from privyseald.secretstore.transit import TransitSigner
from privyseald.signing.generate import generate
from privyseald.signing.schemes import make_signer
from privyseald.signing.secret import SecretBytes
from privyseald.signing.signer import Credential
from privyseald.vault.transit import TransitKey
from privyseald.vault.wrapping import wrap
from privyseald.venues.http_request import make_request
from privyseald.venues.registry import Venues
from privyseald.venues.venue import Moment, SignedHttpRequest
from secret_store_home import (
    CANARY,
    HAND_WRITTEN,
    OTHER,
    VaultHome,
    hmac_document,
    store_policy,
    store_with,
    transit_policy,
)

IN_TRANSIT = {
    **{name: value for name, value in HAND_WRITTEN.items() if name != "api_secret"},
    "custody": "transit",
    "transit_mount": TRANSIT,
}


async def sign_at(credential: Credential, method: str, path: str) -> SignedHttpRequest:
    """Sign a request at the credential's venue, at a time that stands still."""
    venues = Venues()
    venue = venues.get(credential.key.venue)
    request = venue.normalise(make_request(method, path, (), b"", ""), credential)
    environment = venues.environment(venue, "")
    return await venue.sign(request, credential, environment, Moment(NOW_MS, NOW_MS), None)


@pytest.mark.parametrize(
    ("venue", "algorithm", "method", "path"),
    [
        ("whitebit", Algorithm.HMAC_SHA512, "POST", "/api/v4/trade-account/balance"),
        ("nebulaex", Algorithm.HMAC_SHA256, "GET", "/api/v2/trading/account/balances"),
    ],
)
async def test_a_venue_does_not_notice_the_difference(
    home: VaultHome,
    transit_home: VaultHome,
    venue: str,
    algorithm: Algorithm,
    method: str,
    path: str,
) -> None:
    """The bytes to send are the same, whether KV or the transit engine holds the secret."""
    fields = {"api_key": "61d025b8573501c2"}
    document = replace(hmac_document(), venue=venue, algorithm=algorithm, fields=fields)
    await home.store.create("in-kv", document)
    await transit_home.store.create("in-transit", document)

    stored = await sign_at(await home.store.open("in-kv"), method, path)
    sealed = await sign_at(await transit_home.store.open("in-transit"), method, path)

    assert stored == sealed


async def test_an_imported_key_pair_signs_alike(transit_home: VaultHome) -> None:
    """Ed25519: public half and signature are those of the key that was imported."""
    material = generate(Algorithm.ED25519)
    document = replace(hmac_document(), algorithm=Algorithm.ED25519, fields={}, material=material)

    created = await transit_home.store.create("pair", document)
    signer = (await transit_home.store.open("pair")).signer

    local = make_signer(Algorithm.ED25519, material)
    assert local.public_key_pem == signer.public_key_pem == created.public_key_pem
    assert local.public_id == signer.public_id == created.public_id
    for message in (b"", b"m", bytes(100_000)):
        assert await local.sign(message) == await signer.sign(message)


async def test_the_secret_is_nowhere_else(
    transit_home: VaultHome, bao: BaoServer, prefix: str
) -> None:
    """Neither the document, nor its metadata, nor what is opened holds the secret."""
    await transit_home.store.create("key-1", hmac_document())
    credential = await transit_home.store.open("key-1")

    documents = [bao.root().read(f"{MOUNT}/{kind}/{prefix}/key-1") for kind in ("data", "metadata")]
    described = bao.root().read(f"{TRANSIT}/keys/key-1")
    signer = credential.signer
    held = [getattr(signer, name) for name in type(signer).__slots__]  # type: ignore[attr-defined]

    assert isinstance(documents[0], dict)
    assert isinstance(described, dict)
    record = documents[0]["data"]["data"]
    assert (record["custody"], record["transit_mount"]) == ("transit", TRANSIT)
    assert (record["transit_owner"], "api_secret" in record) == ("privyseald", False)
    assert CANARY not in str((documents, held, credential))
    facts = described["data"]
    assert (facts["exportable"], facts["allow_plaintext_backup"]) == (False, False)


@pytest.mark.usefixtures("transit_home")
@pytest.mark.parametrize("named", [{}, {"transit_key": "another-name"}])
async def test_a_document_put_by_hand_is_signed_for(
    home: VaultHome, bao: BaoServer, named: dict[str, str]
) -> None:
    """Whatever a store does with new keys, a document decides for its own: by name, or by id."""
    pem = bao.root().read(f"{TRANSIT}/wrapping_key")
    assert isinstance(pem, dict)
    wrapped = wrap(pem["data"]["public_key"], CANARY.encode())
    name = named.get("transit_key", "by-hand")
    bao.write(f"{TRANSIT}/keys/{name}/import", ciphertext=wrapped, type="hmac")
    await home.write_by_hand("by-hand", {**IN_TRANSIT, **named})

    opened = await home.store.open("by-hand")

    local = make_signer(Algorithm.HMAC_SHA512, SecretBytes(CANARY))
    assert await local.sign(b"m") == await opened.signer.sign(b"m")
    assert (opened.key.public_id, opened.key.version) == ("public-key-1", 1)


async def test_the_newest_version_signs(transit_home: VaultHome, bao: BaoServer) -> None:
    """A version imported in Vault takes over at once; the version that we tell stays ours."""
    created = await transit_home.store.create("key-1", hmac_document())
    opened = await transit_home.store.open("key-1")
    pem = bao.root().read(f"{TRANSIT}/wrapping_key")
    assert isinstance(pem, dict)
    bao.write(
        f"{TRANSIT}/keys/key-1/import_version",
        ciphertext=wrap(pem["data"]["public_key"], OTHER.encode()),
    )
    newest = make_signer(Algorithm.HMAC_SHA512, SecretBytes(OTHER))
    assert await newest.sign(b"m") == await opened.signer.sign(b"m")

    bao.write(f"{TRANSIT}/keys/key-1/config", min_decryption_version=2)

    again = await transit_home.store.open("key-1")
    assert (
        await newest.sign(b"m") == await again.signer.sign(b"m") == await opened.signer.sign(b"m")
    )
    assert created.version == opened.key.version == again.key.version


async def test_a_rotated_pair_tells_its_newest_public_half(
    transit_home: VaultHome, bao: BaoServer
) -> None:
    """After a rotation in Vault the public key told is the one that the signatures are of."""
    document = replace(
        hmac_document(), algorithm=Algorithm.ED25519, fields={}, material=None, public_id=""
    )
    created = await transit_home.store.create("pair", document)
    opened = (await transit_home.store.open("pair")).signer
    bao.write(f"{TRANSIT}/keys/pair/rotate")
    bao.write(f"{TRANSIT}/keys/pair/config", min_decryption_version=2)

    again = (await transit_home.store.open("pair")).signer

    signature = await opened.sign(b"m")
    verify(opened.public_key_pem, signature)
    assert signature == await again.sign(b"m")
    assert (opened.public_id, opened.public_key_pem) == (again.public_id, again.public_key_pem)
    assert opened.public_key_pem != created.public_key_pem


def verify(pem: str, signature: bytes) -> None:
    """Raise unless it is the signature of b"m"."""
    public_key = load_pem_public_key(pem.encode())
    assert isinstance(public_key, Ed25519PublicKey)
    public_key.verify(signature, b"m")


async def test_an_older_version_than_was_seen_is_no_answer(
    transit_home: VaultHome,
) -> None:
    """A Vault that was set back signs with an old key; that is an outage, not a signature."""
    await transit_home.store.create("key-1", hmac_document())
    engine = transit_home.store._client.transit(TRANSIT)  # type: ignore[attr-defined]
    seen = TransitKey("hmac", is_derived=False, version=2)
    signer = TransitSigner(engine, "key-1", Algorithm.HMAC_SHA512, seen)

    with pytest.raises(SecretStoreUnreachable, match="restored from an old copy") as caught:
        await signer.sign(b"m")
    assert (caught.value.retry_after_ms or 0) > 0


async def test_a_key_deleted_in_transit_stops_at_once(
    transit_home: VaultHome, bao: BaoServer
) -> None:
    """An opened key signs no more, and opening names the field that points nowhere."""
    await transit_home.store.create("key-1", hmac_document())
    opened = await transit_home.store.open("key-1")
    await asyncio.to_thread(bao.clear_transit)

    for call in (opened.signer.sign(b"m"), transit_home.store.open("key-1")):
        with pytest.raises(CredentialMalformed, match="deleted there") as caught:
            await call
        assert caught.value.metadata == {"field": "transit_key"}


@pytest.mark.parametrize(
    ("algorithm", "made"),
    [
        ("hmac-sha512", {"type": "ed25519"}),
        ("hmac-sha256", {"type": "aes256-gcm96"}),
        ("ed25519", {"type": "hmac", "key_size": 64}),
        ("ed25519", {"type": "ed25519", "derived": True}),
        ("ed25519", {"type": "ecdsa-p256"}),
    ],
)
async def test_a_transit_key_of_another_kind_is_refused(
    transit_home: VaultHome, bao: BaoServer, algorithm: str, made: dict[str, object]
) -> None:
    """Any transit key computes some HMAC; only one that holds the venue's secret may."""
    bao.write(f"{TRANSIT}/keys/key-1", **made)
    await transit_home.write_by_hand("key-1", {**IN_TRANSIT, "algorithm": algorithm})

    with pytest.raises(CredentialMalformed, match="not of type") as caught:
        await transit_home.store.open("key-1")
    assert caught.value.metadata == {"field": "transit_key"}


async def test_a_policy_that_denies_is_named(
    transit_home: VaultHome, bao: BaoServer, prefix: str, tmp_path: Path
) -> None:
    """A token that may read, but not sign, is told the capability and the path to grant."""
    await transit_home.store.create("key-1", hmac_document())
    policy = f'path "{TRANSIT}/keys/*" {{ capabilities = ["read"] }}'
    token = bao.token(store_policy(prefix) + policy)
    store = store_with(bao.url, token, prefix, tmp_path, Custody.TRANSIT)
    opened = await store.open("key-1")

    with pytest.raises(SecretStoreForbidden, match=f"'update' on '{TRANSIT}/hmac/\\*'"):
        await opened.signer.sign(b"m")
    with pytest.raises(SecretStoreForbidden, match=f"'read' on '{TRANSIT}/wrapping_key'"):
        await store.create("key-2", hmac_document())
    await store.close()


async def test_a_sealed_vault_signs_nothing(
    frail_bao: BaoServer, prefix: str, tmp_path: Path
) -> None:
    """There is nothing to sign with while Vault is sealed, each time; then it works by itself."""
    frail_bao.enable_transit()
    token = frail_bao.token(store_policy(prefix) + transit_policy())
    store = store_with(frail_bao.url, token, prefix, tmp_path, Custody.TRANSIT)
    await store.create("key-1", hmac_document())
    opened = await store.open("key-1")
    before = await opened.signer.sign(b"m")
    await asyncio.to_thread(frail_bao.seal)
    try:
        for _ in range(3):
            with pytest.raises(SecretStoreSealed) as caught:
                await opened.signer.sign(b"m")
            assert (caught.value.retry_after_ms or 0) > 0
    finally:
        await asyncio.to_thread(frail_bao.unseal)

    assert before == await opened.signer.sign(b"m")
    await asyncio.to_thread(frail_bao.stop)
    try:
        with pytest.raises(SecretStoreUnreachable, match="can't be reached"):
            await opened.signer.sign(b"m")
    finally:
        await asyncio.to_thread(frail_bao.start)
        await store.close()
        await asyncio.to_thread(frail_bao.clear_transit)


async def test_a_signer_shows_its_algorithm_alone(transit_home: VaultHome) -> None:
    """Its repr names no key and no mount."""
    await transit_home.store.create("key-1", hmac_document())

    signer = (await transit_home.store.open("key-1")).signer

    assert repr(signer) == "TransitSigner(hmac-sha512)"
    assert (signer.public_id, signer.public_key_pem) == ("", "")
    assert signer.algorithm is Algorithm.HMAC_SHA512
