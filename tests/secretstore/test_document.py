from dataclasses import replace

import pytest

from privyseald.errors import CredentialMalformed
from privyseald.key import Algorithm, Key, KeyState
from privyseald.secretstore.custody import TransitPlace
from privyseald.secretstore.document import open_document, read_record
from secret_store_home import CANARY, hmac_document, reservation

RECORD = {"venue": "whitebit", "algorithm": "hmac-sha512", "api_secret": CANARY}


def test_a_document_survives_the_record() -> None:
    """What is written is what is read, labels and public id left out."""
    document = hmac_document(request_id="request-1", state=KeyState.DISABLED)

    found = read_record(document.to_record())

    assert (found.venue, found.environment, found.algorithm) == (
        "whitebit",
        "production",
        Algorithm.HMAC_SHA512,
    )
    assert found.fields == document.fields
    assert found.material == document.material
    assert (found.state, found.request_id) == (KeyState.DISABLED, "request-1")


@pytest.mark.parametrize(
    ("extra", "problem"),
    [
        ({"Bad Name " + CANARY: "x"}, "not lower_snake_case"),
        ({"note": CANARY * 100}, "'note' is longer than 1024"),
        ({"api_secret": CANARY * 1_000}, "'api_secret' must be a string of reasonable length"),
        ({"state": CANARY}, "'state' must be ENABLED"),
        ({"algorithm": None}, "'algorithm' must be a string"),
    ],
)
def test_a_bad_field_is_named_without_its_value(extra: dict[str, object], problem: str) -> None:
    """The message holds the field's name and what is wrong, never what stands there."""
    with pytest.raises(CredentialMalformed, match=problem) as caught:
        read_record({**RECORD, **extra})

    assert CANARY not in str(caught.value)
    assert caught.value.__context__ is None


def test_a_reservation_opens_nothing() -> None:
    """A document without a secret is no credential."""
    key = Key("k", "v", "", "", "", KeyState.CREATING, 1, 0, 0)

    with pytest.raises(CredentialMalformed, match="'api_secret' is missing"):
        open_document(key, reservation())


def test_opening_wipes_the_document() -> None:
    """Once a signer holds the key, the buffer that it came in is overwritten."""
    document = hmac_document()
    key = Key("k", "v", "", "", "", KeyState.ENABLED, 1, 0, 0)

    open_document(key, document)

    assert document.material is not None
    assert set(document.material.reveal()) == {0}


def test_only_the_same_request_completes_a_reservation() -> None:
    """A reservation belongs to its request, and a whole key is repeated only by its own."""
    held = reservation("request-1")
    whole = hmac_document(request_id="request-1")

    assert held.reserves(whole)
    assert not held.reserves(hmac_document(request_id="request-2"))
    assert not whole.reserves(whole)
    assert whole.is_same_key(hmac_document(request_id="request-1"))
    assert not whole.is_same_key(hmac_document("other", request_id="request-1"))
    assert not hmac_document().is_same_key(hmac_document())
    assert not held.is_same_key(whole)
    placed = replace(whole, transit=TransitPlace())
    assert placed.is_same_key(placed)
    assert not placed.is_same_key(whole)
    assert not whole.is_same_key(hmac_document(request_id="request-2"))
