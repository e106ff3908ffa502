import base64
from typing import Any

import pytest

from conformance.matching import difference


def b64(text: str) -> str:
    """Return a text as JSON carries bytes."""
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("expected", "seen"),
    [
        ({"a": 1}, {"a": 1, "b": 2}),
        ({"a": {"$missing": True}}, {"b": 2}),
        ("~a+", "aaa"),
        ([{"a": 1}, 2], [{"a": 1, "c": 3}, 2]),
        ({"$between": [1, 2]}, 1.5),
        ({"$text": "~x.z"}, b64("xyz")),
        ({"$json": {"a": "b"}}, b64('{"a": "b", "c": 1}')),
        ({"$some": {"a": 1}}, [{"a": 2}, {"a": 1}]),
        ({"$one_of": [1, 2]}, 2),
        ({"$not": "a"}, "b"),
        (None, None),
        ({}, {"anything": 1}),
    ],
)
def test_what_fits(expected: Any, seen: Any) -> None:
    """An answer that holds what is expected, and more where that is allowed."""
    assert difference(expected, seen) == ""


@pytest.mark.parametrize(
    ("expected", "seen", "place"),
    [
        ({"a": {"b": 1}}, {"a": {"b": 2}}, "/a/b"),
        ({"a": 1}, {}, "/a"),
        ({"a": {"$missing": True}}, {"a": 2}, "/a"),
        ({"a": 1}, None, "answer"),
        ("~a+", "aab", "answer"),
        ("~a+", None, "answer"),
        (1, True, "answer"),
        ([1], [1, 2], "answer"),
        ([1, 2], [1, 3], "/1"),
        ({"a": {"$between": [1, 2]}}, {"a": 3}, "/a"),
        ({"a": {"$between": [1, 2]}}, {"a": "1"}, "/a"),
        ({"a": {"$text": "x"}}, {"a": "no base64!"}, "/a"),
        ({"a": {"$json": {}}}, {"a": b64("{")}, "/a"),
        ({"a": {"$some": 1}}, {"a": []}, "/a"),
        ({"a": {"$one_of": [1, 2]}}, {"a": 3}, "/a"),
        ({"a": {"$not": 1}}, {"a": 1}, "/a"),
    ],
)
def test_what_does_not(expected: Any, seen: Any, place: str) -> None:
    """Anything else is told with its place."""
    assert difference(expected, seen).startswith(place)


def test_a_word_that_means_nothing() -> None:
    """A slip in a case is no case that is good."""
    with pytest.raises(ValueError, match="betwixt"):
        difference({"$betwixt": [1, 2]}, 1)
