"""`revision`, in each store: what changes with the key, and tells no secret."""

import pytest

from privyseald.errors import KeyUnknown
from privyseald.key import KeyState
from secret_store_home import CANARY, OTHER, Home, hmac_document, reservation


async def test_the_revision_is_that_of_the_opened_key(home: Home) -> None:
    """As long as nothing changes, `revision` says what `open` said."""
    await home.store.create("key-1", hmac_document())

    revision = (await home.store.open("key-1")).revision

    assert revision == await home.store.revision("key-1")
    assert revision == (await home.store.open("key-1")).revision
    assert CANARY not in revision


async def test_each_change_gives_another_revision(home: Home) -> None:
    """States, and a key made anew under the id of one that was deleted, all differ."""
    await home.store.create("key-1", reservation())
    seen = [await home.store.revision("key-1")]
    await home.store.complete("key-1", hmac_document(OTHER, request_id="request-1"))
    seen.append(await home.store.revision("key-1"))
    await home.store.set_state("key-1", KeyState.DISABLED)
    seen.append(await home.store.revision("key-1"))
    await home.store.delete("key-1")
    await home.store.create("key-1", hmac_document(OTHER))
    seen.append(await home.store.revision("key-1"))

    assert 4 == len(set(seen))
    assert seen[-1] == (await home.store.open("key-1")).revision


async def test_a_key_that_is_not_there_has_no_revision(home: Home) -> None:
    """Nor has one that was deleted."""
    await home.store.create("key-1", hmac_document(OTHER))
    await home.store.delete("key-1")

    for key_id in ("key-1", "none"):
        with pytest.raises(KeyUnknown, match=key_id):
            await home.store.revision(key_id)
