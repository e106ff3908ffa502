import asyncio
from dataclasses import replace
from functools import partial

import pytest

from privyseald.errors import FieldInvalid, KeyUnknown, PrivysealError
from privyseald.key import KeyState
from privyseald.secretstore.origin import Order, Origin
from privyseald.signing.secret import SecretBytes
from secret_store_home import CANARY, OTHER, Home, hmac_document, reservation

ORDER = Order("wallet", "desk one", "attempt-1")


def made(text: str = CANARY) -> SecretBytes:
    """Return the key that a process would make."""
    return SecretBytes(text)


async def test_a_reservation_tells_its_origin(home: Home) -> None:
    """Request and order come back as they were reserved, beside the public facts."""
    document = replace(reservation(), fields=ORDER.to_fields())
    reserved = await home.store.create("key-1", document)

    origin = await home.store.origin("key-1")
    assert Origin(origin.key, "request-1", ORDER) == origin
    assert origin.is_reservation
    assert (reserved.key_id, reserved.venue, reserved.create_time_ms, reserved.version) == (
        origin.key.key_id,
        origin.key.venue,
        origin.key.create_time_ms,
        origin.key.version,
    )


async def test_a_whole_key_tells_its_request_and_no_order(home: Home) -> None:
    """Of a completed key the request is known; its fields pose as no order, and no secret shows."""
    await home.store.create("key-1", reservation())
    fields = {"api_key": "public-key-1", "description": "a field of the venue's"}
    completed = await home.store.complete(
        "key-1", replace(hmac_document(request_id="request-1"), fields=fields)
    )

    origin = await home.store.origin("key-1")
    assert ("request-1", Order(), KeyState.ENABLED, completed.version) == (
        origin.request_id,
        origin.order,
        origin.key.state,
        origin.key.version,
    )
    assert CANARY not in repr(origin)


async def test_a_disabled_key_keeps_its_origin(home: Home) -> None:
    """The state in the origin is the one that holds."""
    await home.store.create("key-1", hmac_document(request_id="request-1"))
    await home.store.set_state("key-1", KeyState.DISABLED)

    origin = await home.store.origin("key-1")
    assert ("request-1", KeyState.DISABLED) == (origin.request_id, origin.key.state)


async def test_a_key_that_is_not_there_has_no_origin(home: Home) -> None:
    """An unknown key is unknown here too."""
    with pytest.raises(KeyUnknown):
        await home.store.origin("none")


async def test_an_own_key_is_made_once(home: Home) -> None:
    """The first who asks makes it, and all who ask later get the same."""
    first = await home.store.own_key("escrow", made)
    second = await home.store.own_key("escrow", lambda: made(OTHER))

    assert made() == first == second
    assert made(OTHER) == await home.store.own_key("another", lambda: made(OTHER))


async def test_of_many_who_make_an_own_key_at_once_one_does(home: Home) -> None:
    """Servers that start together get one key."""
    keys = await asyncio.gather(
        *(home.store.own_key("escrow", partial(made, f"{OTHER}-{n}")) for n in range(6))
    )

    assert [keys[0]] * 6 == keys


async def test_an_own_key_is_no_key_of_anybody(home: Home) -> None:
    """It is not listed, and no key id reaches it."""
    await home.store.own_key("escrow", made)

    assert () == (await home.store.list("", 10)).keys
    for key_id in ("_privyseal-escrow", "own-key/escrow", "escrow"):
        for call in (home.store.open, home.store.get, home.store.delete, home.store.origin):
            with pytest.raises((FieldInvalid, KeyUnknown)):
                await call(key_id)
    assert made() == await home.store.own_key("escrow", lambda: made(OTHER))


async def test_a_wiped_copy_leaves_the_own_key(home: Home) -> None:
    """What is handed out may be wiped."""
    (await home.store.own_key("escrow", made)).wipe()

    assert made() == await home.store.own_key("escrow", made)


async def test_a_closed_store_gives_neither(home: Home) -> None:
    """After `close` both are refused by name."""
    await home.store.close()
    for call in (home.store.origin("key-1"), home.store.own_key("escrow", made)):
        with pytest.raises(PrivysealError, match="closed"):
            await call
