import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from bao import MOUNT, BaoServer
from privyseald.errors import (
    KeyExists,
    KeyUnknown,
    SecretStoreForbidden,
    SecretStoreSealed,
    SecretStoreUnreachable,
)
from privyseald.key import KeyState
from secret_store_home import (
    CANARY,
    HAND_WRITTEN,
    VaultHome,
    hmac_document,
    reservation,
    store_policy,
    store_with,
)


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
