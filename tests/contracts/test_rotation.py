"""`rotate` and `retire`, in each store: one new version, and the one before for a while."""

import asyncio
import time
from dataclasses import replace

import pytest

from privyseald.errors import (
    KeyChanged,
    KeyCreating,
    KeyUnknown,
    PrivysealError,
    RotateKeyUnsupported,
)
from privyseald.key import Algorithm, Key, KeyState
from privyseald.secretstore.document import KeyDocument
from privyseald.secretstore.previous import Previous
from privyseald.signing.generate import generate
from privyseald.signing.schemes import make_signer
from privyseald.signing.signer import Predecessor
from secret_store_home import CANARY, Home, hmac_document, reservation


def now_ms() -> int:
    """Return the time of day, as the stores tell it."""
    return time.time_ns() // 1_000_000


def wallet(**changed: object) -> KeyDocument:
    """Return the document of a new wallet, whose secret is in its document in every store."""
    document = replace(
        hmac_document(),
        algorithm=Algorithm.SECP256K1,
        fields={},
        material=generate(Algorithm.SECP256K1),
    )
    return replace(document, **changed)  # type: ignore[arg-type]  # by name


def address(document: KeyDocument) -> str:
    """Return the address that a document's key has."""
    assert document.material is not None
    return make_signer(document.algorithm, document.material).public_id


async def rotated(home: Home, life_ms: int, **changed: object) -> tuple[str, str, Key]:
    """Write a key and rotate it; return both addresses, and the key."""
    old, new = wallet(), wallet(**changed)
    addresses = address(old), address(new)
    created = await home.store.create("key-1", old)
    previous = Previous(created.version, now_ms() + life_ms)
    key = await home.store.rotate("key-1", created.version, replace(new, previous=previous))
    return *addresses, key


async def before(home: Home) -> Predecessor:
    """Return the version before, as `open` tells of it."""
    previous = (await home.store.open("key-1")).previous
    assert previous is not None
    return previous


async def test_a_rotated_key_has_the_next_version(home: Home) -> None:
    """The new credential is what opens, is got and listed; labels and birth stay."""
    old, new, key = await rotated(home, 60_000)

    opened = await home.store.open("key-1")
    assert (new, new, 2) == (opened.signer.public_id, key.public_id, key.version)
    assert old != new
    assert key == opened.key
    assert key == await home.store.get("key-1")
    assert (key,) == (await home.store.list("", 10)).keys
    assert {"desk": "alpha", "note": ""} == dict(key.labels)


async def test_the_version_before_signs_for_a_while(home: Home) -> None:
    """It opens beside the new one, with its own version and address."""
    old, _, _ = await rotated(home, 60_000)

    credential = (await before(home)).credential
    assert credential is not None
    assert (old, old, 1) == (
        credential.key.public_id,
        credential.signer.public_id,
        credential.key.version,
    )
    assert credential.previous is None


async def test_nothing_of_it_opens_after_its_time(home: Home) -> None:
    """Once the time is over there is no credential, before and after it is retired."""
    await rotated(home, 120)
    await asyncio.sleep(0.15)

    assert (await before(home)).credential is None
    await home.store.retire("key-1")
    opened = await home.store.open("key-1")
    assert (2, None) == (opened.key.version, opened.previous and opened.previous.credential)


async def test_retiring_early_or_twice_changes_nothing(home: Home) -> None:
    """What may sign still is left alone, and so is a key that was never rotated."""
    await rotated(home, 60_000)
    await home.store.create("key-2", wallet())
    for key_id in ("key-1", "key-2", "key-1"):
        await home.store.retire(key_id)

    assert (await before(home)).credential is not None
    assert (await home.store.open("key-2")).previous is None


async def test_only_one_version_before_is_kept(home: Home) -> None:
    """A second rotation ends the first credential, though its time was not over."""
    _, middle, key = await rotated(home, 60_000)
    newest = wallet(previous=Previous(key.version, now_ms() + 60_000))
    await home.store.rotate("key-1", key.version, newest)

    credential = (await before(home)).credential
    assert credential is not None
    assert (middle, 2, None) == (
        credential.signer.public_id,
        credential.key.version,
        credential.previous,
    )


async def test_of_two_rotations_at_once_one_wins(home: Home) -> None:
    """Each names the version that it has seen; the others write nothing."""
    await home.store.create("key-1", wallet())
    outcomes = await asyncio.gather(
        *(
            home.store.rotate("key-1", 1, wallet(previous=Previous(1, now_ms() + 60_000)))
            for _ in range(4)
        ),
        return_exceptions=True,
    )

    assert 3 == sum(isinstance(each, KeyChanged) for each in outcomes)
    assert 2 == (await home.store.get("key-1")).version


async def test_a_rotation_gives_another_revision(home: Home) -> None:
    """Who has the key in memory hears of it."""
    await home.store.create("key-1", wallet())
    revision = await home.store.revision("key-1")
    await home.store.rotate("key-1", 1, wallet(previous=Previous(1, now_ms() + 60_000)))

    assert revision != await home.store.revision("key-1")
    assert (await home.store.open("key-1")).revision == await home.store.revision("key-1")


async def test_a_disabled_key_stays_disabled(home: Home) -> None:
    """Rotating does not enable, and disabling does not lose the version before."""
    old, _, _ = await rotated(home, 60_000, state=KeyState.DISABLED)
    opened = await home.store.open("key-1")
    await home.store.set_state("key-1", KeyState.ENABLED)

    assert KeyState.DISABLED is opened.key.state
    credential = (await before(home)).credential
    assert credential is not None
    assert (old, KeyState.ENABLED) == (credential.signer.public_id, credential.key.state)


async def test_what_is_not_there_is_not_rotated(home: Home) -> None:
    """Unknown keys, and reservations, are refused."""
    await home.store.create("reserved", reservation())
    refused: tuple[type[PrivysealError], ...] = (KeyUnknown, KeyCreating, KeyChanged)
    for key_id in ("none", "reserved"):
        with pytest.raises(refused):
            await home.store.rotate(key_id, 7, wallet())
    with pytest.raises(KeyUnknown):
        await home.store.retire("none")


async def test_a_deleted_key_leaves_no_version(home: Home) -> None:
    """A key made anew under the id knows nothing of what was there."""
    await rotated(home, 60_000)
    await home.store.delete("key-1")
    await home.store.create("key-1", wallet())

    assert (await home.store.open("key-1")).previous is None


async def test_a_rotated_shared_secret(home: Home) -> None:
    """An HMAC secret rotates where it is in the document, and is refused in the transit engine,
    which has versions of its own.
    """
    await home.store.create("key-1", hmac_document())
    following = replace(hmac_document(CANARY + "-2"), previous=Previous(1, now_ms() + 60_000))
    if (await home.store.origin("key-1")).is_in_transit:
        with pytest.raises(RotateKeyUnsupported, match="transit engine"):
            await home.store.rotate("key-1", 1, following)
        return
    await home.store.rotate("key-1", 1, following)

    opened = await home.store.open("key-1")
    credential = (await before(home)).credential
    assert credential is not None
    assert await opened.signer.sign(b"m") != await credential.signer.sign(b"m")
    assert "public-key-1" == credential.key.public_id
