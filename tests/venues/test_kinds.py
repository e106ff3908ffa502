"""Documents and options against what a venue states."""

from dataclasses import replace

import pytest

from fakes import credential
from privyseald.errors import (
    AlgorithmUnsupported,
    CredentialMalformed,
    FieldInvalid,
    OptionUnknown,
)
from privyseald.key import Algorithm
from privyseald.venues.kiiex_session import LOGIN_OPTIONS
from privyseald.venues.kinds import (
    algorithm_of,
    check_credential,
    check_fields,
    check_options,
    key_kind,
)
from privyseald.venues.venue import Venue
from venues.desk import VENUES

KIIEX = VENUES.get("kiiex")
ASTER = VENUES.get("aster")
GOOD = {"api_key": "key-1", "user_id": "001"}


def test_a_venue_has_one_kind_of_key_an_algorithm() -> None:
    """Aster takes API keys and wallets, and tells them by their algorithm."""
    assert ASTER.key_kinds[0] is key_kind(ASTER, "hmac-sha256")
    assert ASTER.key_kinds[1] is key_kind(ASTER, "secp256k1")


@pytest.mark.parametrize("algorithm", ["ed25519", "ecdsa-p256", "", "HMAC-SHA256", "x" * 100])
def test_an_algorithm_that_a_venue_does_not_take_is_refused(algorithm: str) -> None:
    """The refusal says what it takes, and bounds what it repeats."""
    with pytest.raises(AlgorithmUnsupported, match="hmac-sha256, secp256k1") as caught:
        key_kind(ASTER, algorithm)
    assert caught.value.metadata == {"venue": "aster", "algorithm": algorithm[:64]}


@pytest.mark.parametrize("venue", list(VENUES), ids=lambda venue: venue.name)
def test_ecdsa_on_p_256_is_taken_by_no_venue_yet(venue: Venue) -> None:
    """It is an algorithm, but the refusal lists what the venue takes instead."""
    takes = ", ".join(kind.algorithm for kind in venue.key_kinds)
    with pytest.raises(AlgorithmUnsupported, match=f"{venue.name} takes no .* it takes {takes}$"):
        algorithm_of(venue, "ecdsa-p256")


def test_the_first_kind_is_meant_where_none_is_named() -> None:
    """An empty algorithm is the venue's first."""
    assert algorithm_of(ASTER, "") is Algorithm.HMAC_SHA256
    assert algorithm_of(ASTER, "secp256k1") is Algorithm.SECP256K1


def test_a_word_that_is_no_algorithm_is_refused_by_field() -> None:
    """The refusal names the field and the algorithms that there are."""
    with pytest.raises(FieldInvalid, match="hmac-sha512") as caught:
        algorithm_of(ASTER, "rot13", "generated.algorithm")
    assert caught.value.field == "generated.algorithm"
    with pytest.raises(AlgorithmUnsupported):
        algorithm_of(ASTER, "ed25519")


def test_good_fields_pass() -> None:
    """Required fields alone, or with the others."""
    check_fields(KIIEX.key_kinds[0], GOOD)
    check_fields(KIIEX.key_kinds[0], {**GOOD, "nonce": "1", "sign_with": "session"})


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"api_key": None}, "api_key", "is missing: the API KEY"),
        ({"api_key": ""}, "api_key", "is malformed: the API KEY, as in '28c68a"),
        ({"api_key": "a b"}, "api_key", "is malformed"),
        ({"api_key": "a\n"}, "api_key", "is malformed"),
        ({"user_id": "x"}, "user_id", "is malformed"),
        ({"user_id": "\u0661"}, "user_id", "is malformed"),
        ({"nonce": ""}, "nonce", "is malformed"),
        ({"sign_with": "always"}, "sign_with", "is malformed"),
        ({"canary": "x"}, "canary", "is no field of this kind of key; it has api_key, user_id"),
        ({"api_secret": "canary"}, "api_secret", "is no field"),
    ],
)
def test_a_bad_field_is_refused_by_its_path(
    change: dict[str, str | None], field: str, words: str
) -> None:
    """Missing, malformed and unknown fields are named, their values are not."""
    fields = {name: value for name, value in {**GOOD, **change}.items() if value is not None}
    with pytest.raises(FieldInvalid) as caught:
        check_fields(KIIEX.key_kinds[0], fields, "imported.fields")
    assert caught.value.field == f"imported.fields[{field}]"
    assert words in caught.value.message
    assert not [each for each in change.values() if each and len(each) > 1 and each in words]


def test_a_kind_without_fields_says_so() -> None:
    """A wallet of Aster has no public field."""
    with pytest.raises(FieldInvalid, match="it has none"):
        check_fields(ASTER.key_kinds[1], {"user": "x"})


def test_an_unknown_option_is_refused_by_its_path() -> None:
    """What is known is listed; an option's value keeps to its pattern."""
    check_options({}, LOGIN_OPTIONS, "options")
    check_options({"credentials_in": "body"}, LOGIN_OPTIONS, "options")
    with pytest.raises(OptionUnknown, match="credentials_in, two_factor_code") as unknown:
        check_options({"x" * 100: "1"}, LOGIN_OPTIONS, "options")
    assert unknown.value.field == f"options[{'x' * 64}]"
    with pytest.raises(OptionUnknown, match="known are none"):
        check_options({"a": "1"}, (), "options")
    with pytest.raises(FieldInvalid, match="is malformed") as malformed:
        check_options({"two_factor_code": "canary"}, LOGIN_OPTIONS, "options")
    assert malformed.value.field == "options[two_factor_code]"
    assert "canary" not in malformed.value.message


def test_a_sound_credential_is_of_its_kind() -> None:
    """An opened key is told its kind."""
    opened = credential("kiiex", Algorithm.HMAC_SHA256, "test-secret", GOOD)
    assert KIIEX.key_kinds[0] is check_credential(KIIEX, opened)


def test_a_malformed_document_names_the_field_and_not_its_value() -> None:
    """What a custodian wrote by hand is checked when it is opened."""
    fields = {"api_key": "canary with blanks", "user_id": "1"}
    opened = credential("kiiex", Algorithm.HMAC_SHA256, "test-secret", fields)
    with pytest.raises(CredentialMalformed, match="'api_key' is malformed") as caught:
        check_credential(KIIEX, opened)
    assert caught.value.metadata == {"key": "keys/desk-1", "field": "api_key"}
    assert "canary" not in caught.value.message


def test_a_document_of_another_algorithm_is_malformed() -> None:
    """The algorithm of a document is one of the venue's."""
    opened = credential("kiiex", Algorithm.HMAC_SHA256, "test-secret", GOOD)
    opened = replace(opened, key=replace(opened.key, algorithm="ed25519"))
    with pytest.raises(CredentialMalformed, match="takes no keys") as caught:
        check_credential(KIIEX, opened)
    assert caught.value.metadata == {"key": "keys/desk-1", "field": "algorithm"}


@pytest.mark.parametrize("window", ["60001", "99999", "0"])
def test_a_window_beyond_asters_is_malformed(window: str) -> None:
    """A key can't hold a recv_window that Aster refuses."""
    fields = {"api_key": "k", "recv_window": window}
    opened = credential("aster", Algorithm.HMAC_SHA256, "test-secret", fields)
    with pytest.raises(CredentialMalformed, match="recv_window"):
        check_credential(ASTER, opened)
