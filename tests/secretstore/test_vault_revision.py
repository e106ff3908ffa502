"""Whether a key in Vault has changed, asked without reading its secret."""

from pathlib import Path

import pytest

from bao import MOUNT, BaoServer
from privyseald.errors import KeyUnknown, SecretStoreForbidden
from secret_store_home import HAND_WRITTEN, VaultHome, hmac_document, store_with

METADATA = f'path "{MOUNT}/metadata/*" {{ capabilities = ["read"] }}\n'
DATA = f'path "{MOUNT}/data/*" {{ capabilities = ["read"] }}\n'


@pytest.mark.parametrize(
    ("policy", "named"),
    [(METADATA, f"'read' on '{MOUNT}/data/"), (DATA, f"'read' on '{MOUNT}/metadata/"), ("", "")],
)
async def test_a_right_that_was_taken_is_noticed(
    bao: BaoServer, home: VaultHome, prefix: str, tmp_path: Path, policy: str, named: str
) -> None:
    """Without the right to read the document, or its metadata, there is no revision."""
    await home.store.create("key-1", hmac_document())
    store = store_with(bao.url, bao.token(policy or "# nothing"), prefix, tmp_path)
    try:
        with pytest.raises(SecretStoreForbidden) as caught:
            await store.revision("key-1")
    finally:
        await store.close()

    assert named in caught.value.message


async def test_reading_rights_suffice(
    bao: BaoServer, home: VaultHome, prefix: str, tmp_path: Path
) -> None:
    """`read` on data and metadata is all it takes."""
    await home.store.create("key-1", hmac_document())
    store = store_with(bao.url, bao.token(METADATA + DATA), prefix, tmp_path)
    try:
        assert (await home.store.revision("key-1")) == await store.revision("key-1")
    finally:
        await store.close()


async def test_a_new_version_by_hand_is_a_new_revision(
    bao: BaoServer, home: VaultHome, prefix: str
) -> None:
    """`vault kv put` and `vault kv delete` past this service are noticed."""
    await home.write_by_hand("key-1", HAND_WRITTEN)
    first = await home.store.revision("key-1")
    await home.write_by_hand("key-1", HAND_WRITTEN)
    assert first != await home.store.revision("key-1")
    bao.root().secrets.kv.v2.delete_latest_version_of_secret(f"{prefix}/key-1", MOUNT)

    with pytest.raises(KeyUnknown):
        await home.store.revision("key-1")
