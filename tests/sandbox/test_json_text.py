import pytest

from privyseald.sandbox.json_text import parse


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff",
        b'{"a":1,"a":2}',
        b"[NaN]",
        b"[Infinity]",
        b"[" * 65 + b"]" * 65,
        b"[" * 1_000_000,
        b'{"a":' * 1_000_000,
    ],
)
def test_what_no_venue_should_read_is_a_value_error(text: bytes) -> None:
    """Bad UTF-8, repeated keys, constants outside JSON and deep texts raise ValueError alone."""
    with pytest.raises(ValueError, match=r"."):
        parse(text)


def test_brackets_in_strings_are_no_depth() -> None:
    """Only brackets outside strings count, 64 levels and many side by side are fine."""
    assert parse(b'["' + b"[" * 100 + b'\\"["]') == ["[" * 100 + '"[']
    assert parse(b"[" * 64 + b"]" * 64)
    assert parse(b"[" + b",".join([b"[]"] * 500) + b"]") == [[]] * 500
