"""Which documents and messages of a wallet are Aster's own, whatever their spelling."""

from collections.abc import Mapping
from typing import Any

import pytest

from privyseald.errors import IntentUnsupported
from privyseald.strict_json import JsonValue, parse_object
from privyseald.venues.documents import known_operations, reads_documents
from venues.desk import VENUES

ZERO = "0x" + "0" * 40
both = pytest.mark.parametrize("venue", ["aster", "aster-v3"])


def document(
    primary_type: str, name: str = "AsterSignTransaction", chain_id: object = "56"
) -> dict[str, Any]:
    """A document as far as it is looked at."""
    return {
        "types": {},
        "primaryType": primary_type,
        "domain": {"name": name, "version": "1", "chainId": chain_id, "verifyingContract": ZERO},
        "message": {"msg": "amount=3&receiver=0x00"},
    }


def tags(venue: str, wish: Mapping[str, JsonValue]) -> tuple[str, ...]:
    """Return the tags of what the document does; none where it is not the venue's."""
    found = known_operations(VENUES.get(venue), wish)
    return found[0].tags if found else ()


@both
@pytest.mark.parametrize(
    "chain_id",
    [
        *("1666", "714", "0x682", "0x2ca", "0X682", " 1666 ", "1666.0", "1.666e3"),
        "\uff11\uff16\uff16\uff16",
        *("1666.5", None, "", "none", "1e999999999", "-0x", True),
    ],
)
def test_the_form_of_a_request_is_refused(venue: str, chain_id: object) -> None:
    """It could be any request: whichever way the chain is written, and where it can't be read."""
    wish = document("Message", chain_id=chain_id)

    with pytest.raises(IntentUnsupported, match="http_request") as caught:
        known_operations(VENUES.get(venue), wish)

    assert "typed_data.json" == caught.value.field


@both
@pytest.mark.parametrize(
    "name", ["astersigntransaction", "ASTERSIGNTRANSACTION ", "\tAsterSignTransaction"]
)
def test_a_name_that_comes_near_is_taken_for_it(venue: str, name: str) -> None:
    """Aster would refuse it; but who knows for how long."""
    with pytest.raises(IntentUnsupported):
        known_operations(VENUES.get(venue), document("message", name, "1666"))
    assert ("key-management",) == tags(venue, document("approveagent", name))


@both
@pytest.mark.parametrize(
    ("primary_type", "expected"),
    [
        ("ApproveAgent", "key-management"),
        ("UpdateAgent", "key-management"),
        ("DelAgent", "key-management"),
        ("ApproveBuilder", "key-management"),
        ("UpdateBuilder", "key-management"),
        ("DelBuilder", "key-management"),
        ("UserAssetMigrate", "transfer"),
        ("Message", "key-management"),
        ("SomethingNew", "key-management"),
        ("", "key-management"),
    ],
)
def test_account_management_is_named(venue: str, primary_type: str, expected: str) -> None:
    """By primary type; `Message` on chain 56 registers an agent, and what is new may be worse."""
    assert (expected,) == tags(venue, document(primary_type))


@both
@pytest.mark.parametrize("name", ["Aster", "aster", " ASTER"])
@pytest.mark.parametrize("chain_id", ["1", "56", "42161", None])
def test_a_withdrawal_is_named(venue: str, name: str, chain_id: object) -> None:
    """On whichever chain, and whatever its type is called."""
    for primary_type in ("Action", "action", "Withdraw"):
        assert ("withdrawal",) == tags(venue, document(primary_type, name, chain_id))


def test_documents_are_operations_of_the_table() -> None:
    """So that a rule can name them, and an error does."""
    venue = VENUES.get("aster-v3")
    for each in (document("ApproveAgent"), document("Message"), document("Action", "Aster")):
        (found,) = known_operations(venue, each)
        assert found in venue.operations


@both
@pytest.mark.parametrize(
    "text",
    [
        b"{}",
        b'{"domain":null,"primaryType":"Message"}',
        b'{"domain":"AsterSignTransaction"}',
        b'{"domain":{},"primaryType":"Message"}',
        b'{"domain":{"name":["AsterSignTransaction"]},"primaryType":"Message"}',
        b'{"domain":{"name":"USD Coin","chainId":1},"primaryType":"Permit"}',
        b'{"domain":{"name":"AsterSign"},"primaryType":"Message"}',
        b'{"domain":{"name":"Aster Chain"},"primaryType":"Action"}',
    ],
)
def test_other_documents_are_not_the_venues(venue: str, text: bytes) -> None:
    """Nothing is known of them, and nothing breaks."""
    assert () == tags(venue, parse_object(text, "typed_data.json"))


@both
@pytest.mark.parametrize(
    "message",
    [
        b"You are signing into Astherus 501182",
        b"You are signing into Aster DEX 501182",
        b"  you are SIGNING into Astherus 1",
        b"You are signing into Astherus 1\xff",
        b"x" * 32,
        bytes(32),
    ],
)
def test_a_message_that_is_a_login_or_a_digest_is_refused(venue: str, message: bytes) -> None:
    """A login has rules of its own, and a digest does not say what it is."""
    with pytest.raises(IntentUnsupported) as caught:
        known_operations(VENUES.get(venue), message)
    assert "personal_message.message" == caught.value.field


@both
@pytest.mark.parametrize("message", [b"hello", b"x" * 31, b"x" * 33, b"I agree. You are signing"])
def test_other_messages_are_the_wallets(venue: str, message: bytes) -> None:
    """They are what the permission for messages is about."""
    assert () == known_operations(VENUES.get(venue), message)


def test_other_venues_have_no_documents() -> None:
    """Their keys sign none."""
    assert ["aster", "aster-v3"] == [each.name for each in VENUES if reads_documents(each)]
    for each in VENUES:
        documents = {"typed_data", "personal_message"}
        signs = any(documents & kind.intents for kind in each.key_kinds)
        assert signs == reads_documents(each)
    assert () == known_operations(VENUES.get("whitebit"), document("Message", chain_id="1666"))
