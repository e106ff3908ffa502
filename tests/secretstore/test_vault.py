import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from bao import MOUNT, BaoServer
from privyseald.clock import SystemClock
from privyseald.config_error import ConfigInvalid
from privyseald.errors import (
    FieldInvalid,
    KeyUnknown,
)
from privyseald.key import Algorithm, KeyState
from privyseald.secretstore.vault import VaultStore
from privyseald.signing.generate import generate
from privyseald.vault.client import VaultClient
from privyseald.vault.connection import VaultAddress
from privyseald.vault.token_file import TokenFile
from secret_store_home import (
    HAND_WRITTEN,
    VaultHome,
    hmac_document,
    reservation,
)


def custom_metadata(bao: BaoServer, path: str) -> Mapping[str, str]:
    """Return what Vault holds beside a secret."""
    answer = bao.root().read(f"{MOUNT}/metadata/{path}")
    assert isinstance(answer, dict)
    return dict(answer["data"]["custom_metadata"])


async def test_a_key_put_by_hand_works(home: VaultHome) -> None:
    """What `vault kv put` wrote is opened as it is; `get` tells only what can be known."""
    await home.write_by_hand("by-hand", HAND_WRITTEN)

    opened = (await home.store.open("by-hand")).key
    told = await home.store.get("by-hand")

    assert (opened.venue, opened.algorithm, opened.public_id) == (
        "whitebit",
        "hmac-sha512",
        "public-key-1",
    )
    assert (told.venue, told.algorithm, told.public_id) == ("", "", "")
    assert told.state is opened.state is KeyState.ENABLED
    assert told.name == "keys/by-hand"
    assert (told.version, told.create_time_ms) == (opened.version, opened.create_time_ms)
    assert (await home.store.list("", 5)).keys == (told,)


async def test_a_key_put_by_hand_is_disabled_and_enabled(home: VaultHome) -> None:
    """The state of a hand-written key lives beside it, and holds for `open`."""
    await home.write_by_hand("by-hand", HAND_WRITTEN)
    for state in (KeyState.DISABLED, KeyState.ENABLED):
        await home.store.set_state("by-hand", state)
        assert (await home.store.open("by-hand")).key.state is state
        assert (await home.store.get("by-hand")).state is state


async def test_a_key_put_anew_by_hand_is_a_new_version(home: VaultHome) -> None:
    """A rotation by hand shows in version and time; the facts beside it stay."""
    created = await home.store.create("key-1", hmac_document())
    await asyncio.sleep(0.002)
    await home.write_by_hand("key-1", {**HAND_WRITTEN, "venue": "nebulaex"})

    opened = (await home.store.open("key-1")).key
    told = await home.store.get("key-1")

    assert opened.version == told.version == 2
    assert opened.create_time_ms == told.create_time_ms == created.create_time_ms
    assert opened.update_time_ms == told.update_time_ms > created.update_time_ms
    assert opened.venue == "nebulaex"
    assert opened.labels == created.labels


@pytest.mark.parametrize("way", ["delete", "destroy"])
async def test_a_key_deleted_in_vault_is_unknown_and_may_come_anew(
    home: VaultHome, bao: BaoServer, prefix: str, way: str
) -> None:
    """A version that an operator deleted or destroyed is no key; its id can be taken again."""
    await home.store.create("key-1", hmac_document())
    if way == "delete":
        bao.root().delete(f"{MOUNT}/data/{prefix}/key-1")
    else:
        bao.write(f"{MOUNT}/destroy/{prefix}/key-1", versions=[1])

    for call in (home.store.open("key-1"), home.store.get("key-1")):
        with pytest.raises(KeyUnknown):
            await call
    assert (await home.store.list("", 5)).keys == ()
    with pytest.raises(KeyUnknown):
        await home.store.set_state("key-1", KeyState.DISABLED)

    created = await home.store.create("key-1", hmac_document("another-secret"))
    assert created.version == 2
    assert (await home.store.open("key-1")).key == created


async def test_delete_also_removes_what_was_only_marked(
    home: VaultHome, bao: BaoServer, prefix: str
) -> None:
    """After `delete` no version can be brought back."""
    await home.store.create("key-1", hmac_document())
    bao.root().delete(f"{MOUNT}/data/{prefix}/key-1")

    await home.store.delete("key-1")

    assert bao.root().read(f"{MOUNT}/metadata/{prefix}/key-1") is None
    with pytest.raises(KeyUnknown):
        await home.store.delete("key-1")


async def test_folders_and_odd_names_are_not_listed(home: VaultHome) -> None:
    """What can't be a key's id is not taken for a key."""
    for name in ("folder/inside", "UPPER", "plain"):
        await home.write_by_hand(name, HAND_WRITTEN)

    assert [key.key_id for key in (await home.store.list("", 5)).keys] == ["plain"]


@pytest.mark.parametrize("key_id", ["../other", "a/b", "", "a?x=1", "a..b"])
async def test_a_path_can_not_be_left(home: VaultHome, key_id: str) -> None:
    """A key id that would name another path is refused before Vault is asked."""
    for call in (home.store.open(key_id), home.store.get(key_id), home.store.delete(key_id)):
        with pytest.raises(FieldInvalid):
            await call


@pytest.mark.parametrize(
    ("mount", "prefix"), [("", "keys"), ("signer", ""), ("a/../b", "k"), ("a", "k/"), ("a", "/k")]
)
def test_mount_and_prefix_are_plain_folders(mount: str, prefix: str) -> None:
    """A store's own place in Vault can't climb out of itself."""
    client = VaultClient.connect(VaultAddress("https://v"), TokenFile(Path("t")), SystemClock())
    with pytest.raises(ConfigInvalid, match=r"store\.url"):
        VaultStore(client, mount=mount, prefix=prefix, clock=SystemClock())


async def test_facts_that_vault_would_refuse_are_left_out(
    home: VaultHome, bao: BaoServer, prefix: str
) -> None:
    """A value of more than 512 bytes stands only in the document; the write still works."""
    long_id = "k" * 600
    document = replace(hmac_document(), fields={"api_key": long_id})

    await home.store.create("key-1", document)

    assert "public_id" not in custom_metadata(bao, f"{prefix}/key-1")
    assert (await home.store.open("key-1")).key.public_id == long_id


async def test_no_secret_stands_in_the_metadata(
    home: VaultHome, bao: BaoServer, prefix: str
) -> None:
    """Custom metadata holds public facts only."""
    document = replace(
        hmac_document(),
        algorithm=Algorithm.SECP256K1,
        fields={},
        material=generate(Algorithm.SECP256K1),
    )
    created = await home.store.create("key-1", document)

    noted = custom_metadata(bao, f"{prefix}/key-1")

    assert noted["public_id"] == created.public_id
    assert set(noted) == {
        "venue",
        "environment",
        "algorithm",
        "public_id",
        "public_key",
        "state",
        "create_time_ms",
        "label.desk",
        "label.note",
    }
    assert document.material is not None
    assert document.material.reveal().decode() not in str(noted)


async def test_an_edited_note_does_not_change_what_signs(
    home: VaultHome, bao: BaoServer, prefix: str
) -> None:
    """`open` takes venue and algorithm from the document, whatever stands beside it."""
    await home.store.create("key-1", hmac_document())
    bao.write(
        f"{MOUNT}/metadata/{prefix}/key-1",
        custom_metadata={"venue": "other", "public_key": "not base64!", "create_time_ms": "x"},
    )

    opened = (await home.store.open("key-1")).key
    assert (opened.venue, opened.algorithm) == ("whitebit", "hmac-sha512")
    assert (await home.store.get("key-1")).public_key_pem == ""


async def test_other_notes_of_an_operator_are_kept(
    home: VaultHome, bao: BaoServer, prefix: str
) -> None:
    """Changing the state leaves custom metadata that is not ours alone."""
    await home.write_by_hand("by-hand", HAND_WRITTEN)
    bao.write(f"{MOUNT}/metadata/{prefix}/by-hand", custom_metadata={"owner": "desk"})

    await home.store.set_state("by-hand", KeyState.DISABLED)

    assert custom_metadata(bao, f"{prefix}/by-hand") == {"owner": "desk", "state": "DISABLED"}


async def test_a_lost_note_is_written_by_the_next_completion(
    home: VaultHome, bao: BaoServer, prefix: str
) -> None:
    """A key whose document was completed, but not its note, opens; completing again mends it."""
    await home.store.create("key-1", reservation())
    document = hmac_document(request_id="request-1")
    await home.write_by_hand("key-1", document.to_record())
    assert (await home.store.get("key-1")).state is KeyState.CREATING
    assert (await home.store.open("key-1")).key.state is KeyState.ENABLED

    await home.store.complete("key-1", document)

    assert (await home.store.get("key-1")).state is KeyState.ENABLED
    assert custom_metadata(bao, f"{prefix}/key-1")["state"] == "ENABLED"
