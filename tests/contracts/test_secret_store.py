import asyncio
import hashlib
import hmac
import traceback
from dataclasses import replace

import pytest

from privyseald.errors import (
    CredentialMalformed,
    FieldInvalid,
    KeyCreating,
    KeyExists,
    KeyUnknown,
    PrivysealError,
)
from privyseald.key import Algorithm, KeyState
from privyseald.signing.generate import generate
from privyseald.signing.secret import SecretBytes
from secret_store_home import CANARY, OTHER, Home, hmac_document, reservation


async def test_a_created_key_opens_and_signs(home: Home) -> None:
    """What was written is what signs, with the fields that the venue needs beside it."""
    created = await home.store.create("key-1", hmac_document())

    credential = await home.store.open("key-1")

    assert dict(credential.fields) == {"api_key": "public-key-1", "user_id": "7"}
    assert hmac.digest(CANARY.encode(), b"message", hashlib.sha512) == await credential.signer.sign(
        b"message"
    )
    assert created == credential.key


async def test_get_tells_what_create_told(home: Home) -> None:
    """`create`, `get`, `list` and `open` give one and the same set of public facts."""
    created = await home.store.create("key-1", hmac_document())

    assert created == await home.store.get("key-1")
    assert (created,) == (await home.store.list("", 10)).keys
    assert created.name == "keys/key-1"
    assert (
        created.venue,
        created.environment,
        created.algorithm,
    ) == ("whitebit", "production", "hmac-sha512")
    assert (created.public_id, created.public_key_pem) == ("public-key-1", "")
    assert dict(created.labels) == {"desk": "alpha", "note": ""}
    assert created.state is KeyState.ENABLED
    assert created.version >= 1
    assert created.update_time_ms >= created.create_time_ms > 1_700_000_000_000


@pytest.mark.parametrize(
    "algorithm", [Algorithm.SECP256K1, Algorithm.ED25519, Algorithm.ECDSA_P256]
)
async def test_a_key_pair_tells_its_public_half(home: Home, algorithm: Algorithm) -> None:
    """The public id and the public key come from the key itself."""
    document = replace(
        hmac_document(), algorithm=algorithm, fields={}, material=generate(algorithm)
    )

    created = await home.store.create("pair", document)

    signer = (await home.store.open("pair")).signer
    assert (signer.public_id, signer.public_key_pem) == (created.public_id, created.public_key_pem)
    assert created == await home.store.get("pair")
    assert created.public_key_pem.startswith("-----BEGIN PUBLIC KEY-----\n")


async def test_a_given_public_id_stands(home: Home) -> None:
    """The document's own public id goes before what could be derived."""
    document = replace(hmac_document(), public_id="account-9")

    assert (await home.store.create("key-1", document)).public_id == "account-9"
    assert (await home.store.get("key-1")).public_id == "account-9"


async def test_unknown_keys_are_unknown_everywhere(home: Home) -> None:
    """Each method that takes a key id refuses one that is not there."""
    calls = (
        home.store.open("none"),
        home.store.get("none"),
        home.store.complete("none", hmac_document()),
        home.store.set_state("none", KeyState.DISABLED),
        home.store.delete("none"),
    )
    for call in calls:
        with pytest.raises(KeyUnknown, match="'none'"):
            await call


async def test_a_taken_id_is_refused(home: Home) -> None:
    """`create` never writes over a key."""
    await home.store.create("key-1", hmac_document())

    with pytest.raises(KeyExists, match="'key-1' is taken"):
        await home.store.create("key-1", hmac_document(OTHER))

    assert hmac.digest(CANARY.encode(), b"m", hashlib.sha512) == await (
        await home.store.open("key-1")
    ).signer.sign(b"m")


async def test_of_two_creates_at_once_one_wins(home: Home) -> None:
    """Of several creates of one id at once exactly one succeeds."""
    outcomes = await asyncio.gather(
        *(home.store.create("race", hmac_document(f"{OTHER}-{n}")) for n in range(6)),
        return_exceptions=True,
    )

    refused = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert len(refused) == 5
    assert all(isinstance(outcome, KeyExists) for outcome in refused)


async def test_create_refuses_what_is_no_key(home: Home) -> None:
    """A secret with a newline at its end is refused before it is written."""
    with pytest.raises(FieldInvalid, match="line break") as caught:
        await home.store.create("key-1", hmac_document(CANARY + "\n"))

    assert CANARY not in str(caught.value)
    with pytest.raises(KeyUnknown):
        await home.store.get("key-1")


async def test_a_reservation_is_no_key_yet(home: Home) -> None:
    """A reservation is listed as CREATING, opens for nobody and can't change state."""
    reserved = await home.store.create("key-1", reservation())

    assert reserved.state == KeyState.CREATING
    assert reserved == await home.store.get("key-1")
    with pytest.raises(KeyCreating):
        await home.store.open("key-1")
    with pytest.raises(KeyCreating):
        await home.store.set_state("key-1", KeyState.ENABLED)


async def test_a_reservation_is_completed(home: Home) -> None:
    """The whole key takes the reservation's place, as its next version."""
    reserved = await home.store.create("key-1", reservation())

    completed = await home.store.complete("key-1", hmac_document(request_id="request-1"))

    assert (completed.version, completed.state) == (2, KeyState.ENABLED)
    assert reserved.create_time_ms == completed.create_time_ms <= completed.update_time_ms
    assert completed == await home.store.get("key-1")
    assert completed == (await home.store.open("key-1")).key


async def test_completing_twice_is_completing_once(home: Home) -> None:
    """A completion whose answer was lost may be sent again; it changes nothing."""
    await home.store.create("key-1", reservation())
    document = hmac_document(request_id="request-1")
    completed = await home.store.complete("key-1", document)

    assert completed == await home.store.complete("key-1", document)


async def test_only_the_own_reservation_is_completed(home: Home) -> None:
    """Another request's reservation, and a whole key, stay as they are."""
    await home.store.create("key-1", reservation("request-1"))
    created = await home.store.create("key-2", hmac_document(request_id="request-1"))

    with pytest.raises(KeyExists):
        await home.store.complete("key-1", hmac_document(request_id="request-2"))
    with pytest.raises(KeyExists):
        await home.store.complete("key-2", hmac_document(OTHER, request_id="request-1"))
    assert (await home.store.get("key-1")).state == KeyState.CREATING
    assert await home.store.get("key-2") == created


async def test_of_two_completions_at_once_one_key_remains(home: Home) -> None:
    """Completions of one reservation with two different secrets: one wins."""
    await home.store.create("race", reservation())

    outcomes = await asyncio.gather(
        *(
            home.store.complete("race", hmac_document(f"{OTHER}-{n}", request_id="request-1"))
            for n in range(4)
        ),
        return_exceptions=True,
    )

    refused = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert len(refused) == 3
    assert all(isinstance(outcome, KeyExists) for outcome in refused)


async def test_a_disabled_key_opens_and_says_so(home: Home) -> None:
    """Disabling shows in every answer, leaves the version, and can be taken back."""
    created = await home.store.create("key-1", hmac_document())

    disabled = await home.store.set_state("key-1", KeyState.DISABLED)

    assert replace(created, state=KeyState.DISABLED) == disabled
    assert disabled == await home.store.get("key-1")
    assert disabled == (await home.store.open("key-1")).key
    assert created == await home.store.set_state("key-1", KeyState.ENABLED)
    assert created == (await home.store.open("key-1")).key


async def test_a_key_may_be_born_disabled(home: Home) -> None:
    """The state in the document holds from the first moment."""
    await home.store.create("key-1", hmac_document(state=KeyState.DISABLED))

    assert (await home.store.open("key-1")).key.state == KeyState.DISABLED
    assert (await home.store.get("key-1")).state == KeyState.DISABLED


async def test_a_deleted_key_is_gone_and_its_id_is_free(home: Home) -> None:
    """After `delete` nothing answers, and a new key may take the id."""
    await home.store.create("key-1", hmac_document())
    await home.store.delete("key-1")

    for call in (home.store.open("key-1"), home.store.get("key-1"), home.store.delete("key-1")):
        with pytest.raises(KeyUnknown):
            await call
    assert (await home.store.list("", 10)).keys == ()
    again = await home.store.create("key-1", hmac_document(OTHER))
    assert again == (await home.store.open("key-1")).key


async def test_pages_cover_all_keys_in_order(home: Home) -> None:
    """Following `next_after` gives each key once, in the order of ids."""
    ids = [f"key-{n}" for n in range(7)] + ["a.b", "zz_9"]
    for key_id in reversed(ids):
        await home.store.create(key_id, hmac_document())

    pages, after = [], ""
    while True:
        page = await home.store.list(after, 3)
        pages.append([key.key_id for key in page.keys])
        after = page.next_after
        if not after:
            break

    assert pages[:2] == [["a.b", "key-0", "key-1"], ["key-2", "key-3", "key-4"]]
    assert pages[2:] == [["key-5", "key-6", "zz_9"]]


async def test_an_empty_store_lists_nothing(home: Home) -> None:
    """No keys, no next page; and past the last key likewise."""
    assert ((page := await home.store.list("", 5)).keys, page.next_after) == ((), "")
    await home.store.create("key-1", hmac_document())
    assert ((page := await home.store.list("key-1", 5)).keys, page.next_after) == ((), "")


MALFORMED: dict[str, tuple[dict[str, object], str]] = {
    "venue": ({"algorithm": "hmac-sha256", "api_secret": CANARY}, "is missing"),
    "algorithm": ({"venue": "v", "algorithm": CANARY, "api_secret": CANARY}, "must be one of"),
    "api_secret": ({"venue": "v", "algorithm": "hmac-sha256"}, "is missing"),
    "private_key": (
        {"venue": "v", "algorithm": "secp256k1", "private_key": CANARY},
        "64 hex digits",
    ),
    "user_id": (
        {"venue": "v", "algorithm": "hmac-sha256", "api_secret": CANARY, "user_id": 7},
        "must be a string",
    ),
    "schema": (
        {"venue": "v", "algorithm": "hmac-sha256", "api_secret": CANARY, "schema": "2"},
        "reads only that",
    ),
}


@pytest.mark.parametrize("field", MALFORMED)
async def test_a_malformed_document_names_the_field(home: Home, field: str) -> None:
    """What an operator wrote wrongly is named by its field, never by its value."""
    record, problem = MALFORMED[field]
    await home.write_by_hand("by-hand", record)

    with pytest.raises(CredentialMalformed, match=problem) as caught:
        await home.store.open("by-hand")

    assert field == caught.value.metadata["field"]
    assert CANARY not in "".join(traceback.format_exception(caught.value))


async def test_a_secret_with_a_newline_is_malformed(home: Home) -> None:
    """The newline that `@file` brings along is named, and not signed with."""
    record = {"venue": "v", "algorithm": "hmac-sha256", "api_secret": CANARY + "\n"}
    await home.write_by_hand("by-hand", record)

    with pytest.raises(CredentialMalformed, match="'api_secret' holds a space, a line break"):
        await home.store.open("by-hand")


async def test_a_reservation_written_by_hand_is_not_opened(home: Home) -> None:
    """State CREATING in a document means what it says, whoever wrote it."""
    record = {"venue": "v", "algorithm": "hmac-sha256", "state": "CREATING"}
    await home.write_by_hand("by-hand", record)

    with pytest.raises(KeyCreating):
        await home.store.open("by-hand")


async def test_a_field_can_not_pose_as_the_stores_own(home: Home) -> None:
    """A venue's field named `state` or `venue` does not change state or venue."""
    document = replace(hmac_document(), fields={"state": "DISABLED", "venue": "other"})

    await home.store.create("key-1", document)

    opened = await home.store.open("key-1")
    assert (opened.key.state, opened.key.venue) == (KeyState.ENABLED, "whitebit")


async def test_the_store_keeps_the_callers_secret_intact(home: Home) -> None:
    """Creating does not wipe the document, so that a lost write can be repeated."""
    document = hmac_document()

    await home.store.create("key-1", document)

    assert SecretBytes(CANARY) == document.material


async def test_check_passes_while_the_store_works(home: Home) -> None:
    """A working store has nothing to complain of."""
    await home.store.check()


async def test_a_closed_store_says_so(home: Home) -> None:
    """After `close`, a second `close` is harmless and every use is refused by name."""
    await home.store.close()
    await home.store.close()

    with pytest.raises(PrivysealError, match="closed"):
        await home.store.get("key-1")


async def test_nothing_shows_the_secret(home: Home) -> None:
    """No repr of what the store takes or gives holds the secret."""
    document = hmac_document()
    key = await home.store.create("key-1", document)
    credential = await home.store.open("key-1")

    shown = repr((document, key, credential, credential.signer, home.store))
    assert CANARY not in shown
