"""Keys' names, labels and public facts."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import credential
from privyseald.errors import FieldInvalid
from privyseald.key import Algorithm, check_key_id, check_labels, key_id_of

GOOD_IDS = ["a", "7", "desk-1", "a_b", "a.b.c", "0-", "a" * 63]
BAD_IDS = [
    "A",
    "-a",
    ".a",
    "_a",
    "a..b",
    "a/b",
    "a b",
    "a\n",
    "\u00e9",
    "\u0661",
    "a" * 64,
    "../a",
    "a%2f",
]


@pytest.mark.parametrize("key_id", GOOD_IDS)
def test_a_key_id_passes_as_it_is(key_id: str) -> None:
    """A good id is returned unchanged, alone and from its resource name."""
    assert key_id == check_key_id(key_id)
    assert key_id == key_id_of(f"keys/{key_id}")


@pytest.mark.parametrize("key_id", ["", *BAD_IDS])
def test_a_bad_key_id_is_refused_by_field(key_id: str) -> None:
    """What could leave its place in a path, or be read as another id, is refused."""
    with pytest.raises(FieldInvalid) as caught:
        check_key_id(key_id, "key_id")
    assert caught.value.field == "key_id"
    with pytest.raises(FieldInvalid) as caught:
        key_id_of(f"keys/{key_id}", "using_key")
    assert caught.value.field == "using_key"


@pytest.mark.parametrize(
    "name", ["", "a", "keys", "key/a", "Keys/a", "/keys/a", "keys//a", " keys/a"]
)
def test_a_name_that_is_no_keys_name_is_refused(name: str) -> None:
    """Only `keys/{key_id}` is a key's name."""
    with pytest.raises(FieldInvalid, match=r"keys/my-key|is not a key id"):
        key_id_of(name)


@given(text=st.text(max_size=70))
def test_any_text_is_a_key_id_or_refused(text: str) -> None:
    """What passes is short, lower-case ASCII and holds neither a slash nor two dots."""
    try:
        key_id = check_key_id(text)
    except FieldInvalid:
        return
    assert key_id == text == text.lower()
    assert text.isascii()
    assert 0 < len(text) < 64
    assert "/" not in text
    assert ".." not in text


def test_a_key_is_named_by_its_id() -> None:
    """The resource name is `keys/` and the id, and reads back."""
    key = credential("whitebit", Algorithm.HMAC_SHA512, "test-secret").key
    assert (key.name, key_id_of(key.name)) == ("keys/desk-1", key.key_id)
    assert replace(key, key_id="b").name == "keys/b"


def test_labels_pass_as_they_are() -> None:
    """Good labels come back as a copy of their own."""
    given_labels = {"desk": "Alpha 1", "a_b.c-d": "a@b:/_.-", "empty": "", "x" * 63: "y" * 128}
    labels = check_labels(given_labels)
    assert given_labels == labels
    assert given_labels is not labels
    assert len(check_labels({f"l{n}": "" for n in range(32)})) == 32


@pytest.mark.parametrize("name", ["", "A", "1a", "-a", "a b", "x" * 64, "a\n", "\u00e9"])
def test_a_bad_label_name_is_refused(name: str) -> None:
    """A label's name is a lower-case word."""
    with pytest.raises(FieldInvalid) as caught:
        check_labels({name: "x"})
    assert caught.value.field == "labels"


@pytest.mark.parametrize("value", ["x" * 129, "a\n", "<b>", '"', "\u00e9", "a\x00"])
def test_a_bad_label_value_is_refused_by_its_name(value: str) -> None:
    """A label's value is a short plain text, and the refusal names the label."""
    with pytest.raises(FieldInvalid) as caught:
        check_labels({"desk": value})
    assert caught.value.field == "labels[desk]"


def test_more_than_32_labels_are_refused() -> None:
    """The number of labels is bounded."""
    with pytest.raises(FieldInvalid, match="at most 32"):
        check_labels({f"l{n}": "" for n in range(33)})


def test_hmac_algorithms_are_told_from_the_others() -> None:
    """`is_hmac` is true for shared secrets alone."""
    assert [each for each in Algorithm if each.is_hmac] == ["hmac-sha256", "hmac-sha512"]
