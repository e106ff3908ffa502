from dataclasses import replace
from pathlib import Path

import pytest

from fakes import FakeClock, FakeStore
from privyseald.errors import KeyExists, KeyUnknown, SecretStoreSealed
from privyseald.key import KeyState
from privyseald.secretstore.escrow import Escrow
from privyseald.secretstore.escrowed_store import EscrowedStore
from secret_store_home import hmac_document, reservation

ID = "8b1f3a52-5f0e-4a1c-9a51-0b8f1d6f7c11"
ESCROWED, ENABLED, CREATING = KeyState.ESCROWED, KeyState.ENABLED, KeyState.CREATING


class Home:
    """A store that went away while keys were made, and is back."""

    def __init__(self, folder: Path) -> None:
        self.inner = FakeStore()
        self.escrow = Escrow.open_path(folder / "escrow", FakeClock())
        self.store = EscrowedStore(self.inner, self.escrow)

    async def seal(self, key_id: str, *, reserved: bool) -> Path:
        """Leave a key in escrow."""
        if reserved:
            await self.inner.create(key_id, reservation(ID))
        place = await self.escrow.take_place(self.inner, key_id, ID, "1")
        path, _ = await self.escrow.seal(place, hmac_document(request_id=ID), 1)
        return path

    async def states(self, limit: int) -> list[list[tuple[str, KeyState]]]:
        """Return the keys and their states, page for page."""
        pages, after = [], ""
        while True:
            page = await self.store.list(after, limit)
            pages.append([(key.key_id, key.state) for key in page.keys])
            after = page.next_after
            if not after:
                return pages


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A store with an escrow beside it."""
    return Home(tmp_path)


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
async def test_pages_hold_each_key_once_and_in_order(home: Home, limit: int) -> None:
    """Keys of the store and of escrow come in the order of ids, whatever the pages' size."""
    for key_id in ("b", "d", "f"):
        await home.inner.create(key_id, hmac_document())
    await home.inner.create("c", reservation())
    for key_id in ("a", "e", "g"):
        await home.seal(key_id, reserved=False)
    await home.seal("h", reserved=True)

    pages = await home.states(limit)
    assert [
        ("a", ESCROWED),
        ("b", ENABLED),
        ("c", CREATING),
        ("d", ENABLED),
        ("e", ESCROWED),
        ("f", ENABLED),
        ("g", ESCROWED),
        ("h", ESCROWED),
    ] == [key for page in pages for key in page]
    assert max(map(len, pages)) <= limit


async def test_a_list_is_not_made_up_while_the_store_is_away(home: Home) -> None:
    """A list of escrowed keys alone would look as if there were no others."""
    await home.seal("a", reserved=False)

    async def away(_method: str, _key_id: str) -> None:
        raise SecretStoreSealed("sealed")

    home.inner.before = away
    with pytest.raises(SecretStoreSealed):
        await home.store.list("", 10)
    assert ESCROWED is (await home.store.get("a")).state


async def test_the_stores_own_word_goes_first(home: Home) -> None:
    """A whole key in the store is told as it is, whatever lies in escrow for its id."""
    await home.seal("a", reserved=False)
    await home.inner.create("a", hmac_document())

    assert ENABLED is (await home.store.get("a")).state
    assert [[("a", ENABLED)]] == await home.states(10)
    assert ENABLED is (await home.store.open("a")).key.state


async def test_a_blocked_record_stands_for_no_key(home: Home) -> None:
    """What can't have its id is not shown under it."""
    path = await home.seal("a", reserved=False)
    home.escrow.block(path, "KEY_EXISTS")

    with pytest.raises(KeyUnknown):
        await home.store.get("a")
    assert [[]] == await home.states(10)
    home.escrow.unblock(path)
    assert [[("a", ESCROWED)]] == await home.states(10)


async def test_an_escrowed_id_is_taken(home: Home) -> None:
    """Nobody else gets the id; the request that it belongs to may reserve it again."""
    await home.seal("a", reserved=False)
    with pytest.raises(KeyExists):
        await home.store.create("a", hmac_document())

    again = replace(reservation(ID))
    assert CREATING is (await home.store.create("a", again)).state
