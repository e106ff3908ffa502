import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from bao import MOUNT, BaoServer
from privyseald.clock import SystemClock
from privyseald.config_error import ConfigInvalid
from privyseald.errors import (
    FieldInvalid,
    KeyExists,
    KeyUnknown,
    SecretStoreForbidden,
    SecretStoreSealed,
    SecretStoreUnreachable,
)
from privyseald.key import Algorithm, KeyState
from privyseald.secretstore.vault import VaultStore
from privyseald.signing.generate import generate
from privyseald.vault.client import VaultClient
from privyseald.vault.connection import VaultAddress
from privyseald.vault.token_file import TokenFile
from secret_store_home import CANARY, VaultHome, hmac_document, reservation, store_policy

HAND_WRITTEN = {
    "venue": "whitebit",
    "algorithm": "hmac-sha512",
    "api_key": "public-key-1",
    "api_secret": CANARY,
}


@pytest.fixture
async def home(bao: BaoServer, prefix: str, tmp_path: Path) -> AsyncIterator[VaultHome]:
    """A store on a prefix of its own."""
    home = VaultHome(bao, prefix, tmp_path)
    yield home
    await home.store.close()


def store_with(url: str, token: str, prefix: str, folder: Path) -> VaultStore:
    """Return a store with a token of its own."""
    (folder / "own-token").write_text(token)
    client = VaultClient.connect(VaultAddress(url), TokenFile(folder / "own-token"), SystemClock())
    return VaultStore(client, mount=MOUNT, prefix=prefix, clock=SystemClock())


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


async def test_create_without_the_right_to_note_leaves_nothing(
    bao: BaoServer, prefix: str, tmp_path: Path
) -> None:
    """When policy forbids the note, the key is taken back and the operator told."""
    policy = f"""
path "{MOUNT}/data/{prefix}/*" {{ capabilities = ["read", "create", "update"] }}
path "{MOUNT}/metadata/{prefix}/*" {{ capabilities = ["read", "delete"] }}
"""
    store = store_with(bao.url, bao.token(policy), prefix, tmp_path)
    with pytest.raises(SecretStoreForbidden, match="'create and update'"):
        await store.create("key-1", hmac_document())
    with pytest.raises(KeyUnknown):
        await store.open("key-1")
    await store.close()


async def test_complete_without_the_right_to_note_still_completes(
    home: VaultHome, bao: BaoServer, prefix: str, tmp_path: Path
) -> None:
    """Once the secret is in, a forbidden note is logged and the key is there."""
    await home.store.create("key-1", reservation())
    policy = f'path "{MOUNT}/data/{prefix}/*" {{ capabilities = ["read", "update"] }}'
    store = store_with(bao.url, bao.token(policy), prefix, tmp_path)
    with capture_logs() as logs:
        await store.complete("key-1", hmac_document(request_id="request-1"))
    assert "vault_note_forbidden" in [log["event"] for log in logs]
    assert CANARY not in str(logs)
    assert (await store.open("key-1")).key.version == 2
    await store.close()


async def test_an_outage_after_the_write_is_only_logged(
    home: VaultHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When Vault goes away between document and note, the key counts as created."""
    client = home.store._client  # type: ignore[attr-defined]  # of the Vault store

    async def away(*_: object) -> None:
        raise SecretStoreUnreachable("away", retry_after_ms=1)

    monkeypatch.setattr(client, "write_custom_metadata", away)
    with capture_logs() as logs:
        created = await home.store.create("key-1", hmac_document())
    assert [log["event"] for log in logs if log["log_level"] == "warning"] == [
        "vault_note_not_written"
    ]
    assert (await home.store.open("key-1")).key.public_id == created.public_id


async def test_a_completion_that_comes_second_is_refused(
    home: VaultHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write between our read and our write is noticed by its version."""
    await home.store.create("key-1", reservation())
    client = home.store._client  # type: ignore[attr-defined]  # of the Vault store
    read = client.read

    async def read_and_lose(mount: str, path: str) -> object:
        found = await read(mount, path)
        await home.write_by_hand("key-1", HAND_WRITTEN)
        return found

    monkeypatch.setattr(client, "read", read_and_lose)
    with pytest.raises(KeyExists):
        await home.store.complete("key-1", hmac_document(request_id="request-1"))


async def test_a_reader_needs_no_more_than_to_read(
    home: VaultHome, bao: BaoServer, prefix: str, tmp_path: Path
) -> None:
    """Signing needs `read` on the documents, and on nothing else."""
    created = await home.store.create("key-1", hmac_document())
    policy = f'path "{MOUNT}/data/{prefix}/*" {{ capabilities = ["read"] }}'
    store = store_with(bao.url, bao.token(policy), prefix, tmp_path)

    await store.check()
    assert (await store.open("key-1")).key == created
    with pytest.raises(SecretStoreForbidden, match=r"'list' on 'signer/metadata/"):
        await store.list("", 5)
    await store.close()


async def test_a_sealed_vault_seals_the_store(
    frail_bao: BaoServer, prefix: str, tmp_path: Path
) -> None:
    """While Vault is sealed every method says so; afterwards all is as it was."""
    token = frail_bao.token(store_policy(prefix))
    store = store_with(frail_bao.url, token, prefix, tmp_path)
    created = await store.create("key-1", hmac_document())
    await asyncio.to_thread(frail_bao.seal)
    try:
        for call in (
            store.open("key-1"),
            store.get("key-1"),
            store.list("", 5),
            store.create("key-2", hmac_document()),
            store.complete("key-1", hmac_document()),
            store.set_state("key-1", KeyState.DISABLED),
            store.delete("key-1"),
            store.check(),
        ):
            with pytest.raises(SecretStoreSealed):
                await call
    finally:
        await asyncio.to_thread(frail_bao.unseal)
    assert (await store.open("key-1")).key == created
    await store.close()
