import asyncio
import time
from dataclasses import replace
from pathlib import Path

import pytest

from bao import MOUNT, BaoServer
from privyseald.errors import CredentialMalformed, SecretStoreForbidden
from privyseald.secretstore.previous import Previous
from privyseald.secretstore.vault import VaultStore
from secret_store_home import (
    CANARY,
    HAND_WRITTEN,
    VaultHome,
    hmac_document,
    store_policy,
    store_with,
)

_NEW = "canary-of-the-second-version"


def now_ms() -> int:
    """Return the time of day."""
    return time.time_ns() // 1_000_000


@pytest.fixture
async def home(bao: BaoServer, prefix: str, tmp_path: Path) -> VaultHome:
    """A store in Vault with its operator."""
    return VaultHome(bao, prefix, tmp_path)


async def rotate(store: object, life_ms: int, version: int = 1, secret: str = _NEW) -> None:
    """Rotate `key-1`."""
    assert isinstance(store, VaultStore)
    document = replace(hmac_document(secret), previous=Previous(version, now_ms() + life_ms))
    await store.rotate("key-1", version, document)


def destroyed(bao: BaoServer, prefix: str) -> dict[str, bool]:
    """Return which versions of `key-1` Vault has overwritten."""
    answer = bao.root().read(f"{MOUNT}/metadata/{prefix}/key-1")
    assert isinstance(answer, dict)
    versions = answer["data"]["versions"]
    return {number: version["destroyed"] for number, version in versions.items()}


async def test_what_is_refused_at_once_is_destroyed_at_once(
    home: VaultHome, bao: BaoServer, prefix: str
) -> None:
    """Vault does not keep a secret in its history that nobody may use."""
    await home.store.create("key-1", hmac_document())
    await rotate(home.store, 0)

    assert {"1": True, "2": False} == destroyed(bao, prefix)


async def test_a_version_is_destroyed_when_it_is_retired(
    home: VaultHome, bao: BaoServer, prefix: str
) -> None:
    """Not before its time is over, and then for good."""
    await home.store.create("key-1", hmac_document())
    await rotate(home.store, 150)
    await home.store.retire("key-1")
    early = destroyed(bao, prefix)
    await asyncio.sleep(0.2)
    await home.store.retire("key-1")

    assert {"1": False, "2": False} == early
    assert {"1": True, "2": False} == destroyed(bao, prefix)


async def test_a_second_rotation_destroys_the_first_version(
    home: VaultHome, bao: BaoServer, prefix: str
) -> None:
    """Only one version before is kept."""
    await home.store.create("key-1", hmac_document())
    await rotate(home.store, 60_000)
    await rotate(home.store, 60_000, 2, "canary-of-the-third-version")

    assert {"1": True, "2": False, "3": False} == destroyed(bao, prefix)


async def test_a_policy_without_destroy_still_rotates(
    bao: BaoServer, prefix: str, tmp_path: Path
) -> None:
    """The new version counts; what could not be destroyed is refused by its time alone."""
    policy = store_policy(prefix).replace("/destroy/", "/nothing/")
    store = store_with(bao.url, bao.token(policy), prefix, tmp_path)
    await store.create("key-1", hmac_document())
    await rotate(store, 0)
    opened = await store.open("key-1")

    assert {"1": False, "2": False} == destroyed(bao, prefix)
    assert opened.previous is not None
    assert (2, None) == (opened.key.version, opened.previous.credential)
    with pytest.raises(SecretStoreForbidden, match=r"'update' on '.*destroy"):
        await store.retire("key-1")
    await store.close()


async def test_a_note_that_is_forbidden_does_not_undo_a_rotation(
    bao: BaoServer, prefix: str, tmp_path: Path
) -> None:
    """The document says all that counts; an error would make a caller rotate again."""
    home = VaultHome(bao, prefix, tmp_path)
    await home.store.create("key-1", hmac_document())
    policy = store_policy(prefix).replace('"read", "create", "update", "delete"', '"read"')
    store = store_with(bao.url, bao.token(policy), prefix, tmp_path)
    await rotate(store, 60_000)

    assert 2 == (await store.get("key-1")).version
    await store.close()


async def test_a_version_that_vault_gave_up_is_gone(
    home: VaultHome, bao: BaoServer, prefix: str
) -> None:
    """Where an operator destroyed the version before, the active one goes on signing."""
    await home.store.create("key-1", hmac_document())
    await rotate(home.store, 60_000)
    bao.write(f"{MOUNT}/destroy/{prefix}/key-1", versions=[1])
    opened = await home.store.open("key-1")

    assert opened.previous is not None
    assert (2, None) == (opened.key.version, opened.previous.credential)


async def test_a_version_that_is_no_key_is_as_good_as_gone(home: VaultHome) -> None:
    """A malformed document of the version before is not the active one's fault."""
    await home.write_by_hand("key-1", {**HAND_WRITTEN, "api_secret": ""})
    previous = {"previous_version": "1", "previous_until_ms": str(now_ms() + 60_000)}
    await home.write_by_hand("key-1", {**HAND_WRITTEN, **previous})
    opened = await home.store.open("key-1")

    assert opened.previous is not None
    assert opened.previous.credential is None


async def test_an_operator_rotates_by_hand(home: VaultHome) -> None:
    """Two fields of the document do what RotateKey does."""
    await home.write_by_hand("key-1", {**HAND_WRITTEN, "api_key": "old-key"})
    until_ms = now_ms() + 60_000
    previous = {"previous_version": "1", "previous_until_ms": str(until_ms)}
    await home.write_by_hand("key-1", {**HAND_WRITTEN, "api_secret": _NEW, **previous})
    opened = await home.store.open("key-1")

    assert opened.previous is not None
    assert opened.previous.credential is not None
    assert (2, 1, "old-key", until_ms) == (
        opened.key.version,
        opened.previous.credential.key.version,
        opened.previous.credential.key.public_id,
        opened.previous.until_ms,
    )


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"previous_version": "1"}, "previous_until_ms"),
        ({"previous_until_ms": "1"}, "previous_version"),
        ({"previous_version": "one", "previous_until_ms": "1"}, "previous_version"),
        ({"previous_version": "1", "previous_until_ms": "-1"}, "previous_until_ms"),
    ],
)
async def test_half_of_it_is_malformed(home: VaultHome, fields: dict[str, str], wrong: str) -> None:
    """Both fields stand, as numbers, or none; the refusal names the one that is wrong."""
    await home.write_by_hand("key-1", {**HAND_WRITTEN, **fields})
    with pytest.raises(CredentialMalformed) as raised:
        await home.store.open("key-1")

    assert {"field": wrong} == raised.value.metadata
    assert CANARY not in raised.value.message
