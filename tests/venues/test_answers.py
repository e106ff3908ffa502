"""A venue's words, made fit to be shown."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import answer
from privyseald.errors import VenueOutcomeUnknown
from privyseald.venues.answers import clean, json_object, refusal_or_json_object

TOKENS = st.text(string.ascii_letters + string.digits + "+/=_.-", min_size=24, max_size=200)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (None, ""),
        ("", ""),
        (-1022, "-1022"),
        ("  two \n\t lines ", "two lines"),
        ("\x1b[31mred\x07", "?[31mred?"),
        ("Zürich", "Z?rich"),
        ("x" * 23, "x" * 23),
        ("x" * 24, "[...]"),
        ("sig 0x" + "ab" * 32 + " bad", "sig [...] bad"),
        ("word " * 100, ("word " * 100)[:200]),
        (["a", 1], "['a', 1]"),
    ],
)
def test_words_come_out_as_one_plain_bounded_line(words: object, expected: str) -> None:
    """No control, no letter beyond ASCII, no long token, no more than 200 characters."""
    assert expected == clean(words)


@given(before=st.text(max_size=150), token=TOKENS, after=st.text(max_size=150))
def test_no_long_token_survives(before: str, token: str, after: str) -> None:
    """A secret or signature is left out whatever stands around it."""
    line = clean(f"{before} {token} {after}")
    assert token not in line
    assert len(line) <= 200
    assert line.isprintable()
    assert line.isascii()


def test_an_object_is_read_whatever_its_content_type() -> None:
    """Barong calls JSON plain text; a byte order mark is no harm in an answer."""
    for body in (b'{"errors":["x"]}', b'\xef\xbb\xbf {"errors":["x"]}'):
        found = json_object("nebulaex", answer(body, content_type="text/plain"))
        assert found == {"errors": ["x"]}


@pytest.mark.parametrize(("levels", "passes"), [(63, True), (64, False), (100_000, False)])
def test_an_answer_may_have_64_levels(levels: int, *, passes: bool) -> None:
    """A venue can't end this process with a deep answer."""
    response = answer(b'{"a":' + b"[" * levels + b"]" * levels + b"}")
    if passes:
        assert list(json_object("aster", response)) == ["a"]
        return
    with pytest.raises(VenueOutcomeUnknown, match="64 levels"):
        json_object("aster", response)


@pytest.mark.parametrize("status", [400, 404, 499])
def test_a_refusal_needs_no_json(status: int) -> None:
    """A 4xx without JSON reads as an empty object."""
    assert refusal_or_json_object("aster", answer(b"<html>", status=status)) == {}


@pytest.mark.parametrize("status", [200, 204, 302, 399, 500])
def test_anything_else_needs_json(status: int) -> None:
    """Only a 4xx says that nothing happened."""
    with pytest.raises(VenueOutcomeUnknown) as caught:
        refusal_or_json_object("aster", answer(b"<html>", status=status))
    assert caught.value.metadata == {"venue": "aster", "httpStatus": str(status)}
