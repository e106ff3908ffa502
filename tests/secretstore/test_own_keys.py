import sqlite3
from pathlib import Path

import pytest

from bao import MOUNT, BaoServer
from privyseald.errors import CredentialMalformed
from privyseald.secretstore.own_sealing_key import own_sealing_key
from privyseald.secretstore.vault import VaultStore
from privyseald.signing.secret import SecretBytes
from secret_store_home import CANARY, EmbeddedHome, store_policy, store_with


@pytest.fixture
async def vault(bao: BaoServer, prefix: str, tmp_path: Path) -> VaultStore:
    """A store with the rights that the documents tell to grant."""
    return store_with(bao.url, bao.token(store_policy(prefix)), prefix, tmp_path)


def made() -> SecretBytes:
    """Return a key."""
    return SecretBytes(CANARY)


async def test_in_vault_it_is_a_document_beside_the_keys(
    vault: VaultStore, bao: BaoServer, prefix: str
) -> None:
    """It stands at `_privyseal-NAME`, says what it is for, and has one version."""
    for _ in range(2):
        await vault.own_key("escrow", made)

    found = bao.root().read(f"{MOUNT}/data/{prefix}/_privyseal-escrow")
    assert isinstance(found, dict)
    assert {"schema": "1", "purpose": "escrow", "private_key": CANARY} == found["data"]["data"]
    assert 1 == found["data"]["metadata"]["version"]


async def test_one_that_was_deleted_in_vault_is_not_made_anew(
    vault: VaultStore, bao: BaoServer, prefix: str
) -> None:
    """A deleted one may be what opens the escrow: the refusal says how to bring it back."""
    await vault.own_key("escrow", made)
    bao.root().delete(f"{MOUNT}/data/{prefix}/_privyseal-escrow")
    with pytest.raises(CredentialMalformed, match="bring it back with 'vault kv undelete'"):
        await vault.own_key("escrow", made)

    bao.write(f"{MOUNT}/undelete/{prefix}/_privyseal-escrow", versions=[1])
    assert made() == await vault.own_key("escrow", made)


@pytest.mark.parametrize("data", [{}, {"private_key": 7}])
async def test_one_that_was_written_wrongly_is_named(
    vault: VaultStore, bao: BaoServer, prefix: str, data: dict[str, object]
) -> None:
    """The refusal names the field."""
    bao.write(f"{MOUNT}/data/{prefix}/_privyseal-escrow", data=data)
    with pytest.raises(CredentialMalformed, match="'private_key' must be a string"):
        await vault.own_key("escrow", made)


async def test_in_the_embedded_store_it_is_sealed(tmp_path: Path) -> None:
    """The file shows nothing of it, and a change or a swap of two is found."""
    home = EmbeddedHome(tmp_path)
    await home.store.own_key("escrow", made)
    await home.store.own_key("other", lambda: SecretBytes("another"))
    assert CANARY.encode() not in (tmp_path / "store.db").read_bytes()

    with sqlite3.connect(tmp_path / "store.db") as connection:
        connection.execute(
            "UPDATE setting SET value = (SELECT value FROM setting WHERE name = 'own-key/other') "
            "WHERE name = 'own-key/escrow'"
        )
    connection.close()
    with pytest.raises(CredentialMalformed, match="'own-key/escrow' was changed from outside"):
        await home.store.own_key("escrow", made)
    await home.store.close()


async def test_a_sealing_key_is_32_bytes_and_stays(vault: VaultStore) -> None:
    """Whoever asks gets the same, and a name of its own makes another."""
    first = await own_sealing_key(vault, "state")

    assert 32 == len(first)
    assert first == await own_sealing_key(vault, "state")
    assert first != await own_sealing_key(vault, "another")


@pytest.mark.parametrize("text", ["", "zz", "00" * 31, "00" * 33, "\u0660" * 64])
async def test_a_sealing_key_that_was_written_wrongly_is_named(
    vault: VaultStore, bao: BaoServer, prefix: str, text: str
) -> None:
    """The refusal says what must stand there."""
    bao.write(f"{MOUNT}/data/{prefix}/_privyseal-state", data={"private_key": text})
    with pytest.raises(CredentialMalformed, match="'private_key' must be 64 hex digits"):
        await own_sealing_key(vault, "state")
