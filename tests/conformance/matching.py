"""Whether an answer holds what a case expects, and if not, where."""

import base64
import json
import re
from collections.abc import Callable, Mapping
from typing import Any


def difference(expected: Any, seen: Any, place: str = "") -> str:
    """Return where what was seen falls short of what was expected; empty where it does not.

    An object must hold at least the members that are expected, a list exactly its elements. A
    text that begins with `~` is a regular expression for the whole. `{"$between": [1, 2]}` is a
    number in these bounds, `{"$text": …}` and `{"$json": …}` look into base64, `{"$some": …}` is
    a list with at least one such element, `{"$one_of": […]}` any of these, `{"$not": …}` anything
    else, and `{"$missing": true}` a member that is not there.
    """
    if isinstance(expected, dict):
        return _object(expected, seen, place)
    if isinstance(expected, list):
        if not isinstance(seen, list) or len(expected) != len(seen):
            return f"{place or 'answer'}: expected {len(expected)} elements, saw {seen!r}"
        pairs = enumerate(zip(expected, seen, strict=True))
        return next(filter(None, (difference(a, b, f"{place}/{i}") for i, (a, b) in pairs)), "")
    if isinstance(expected, str) and expected.startswith("~"):
        if isinstance(seen, str) and re.fullmatch(expected[1:], seen, re.DOTALL):
            return ""
    elif expected == seen and type(expected) is type(seen):
        return ""
    return f"{place or 'answer'}: expected {expected!r}, saw {seen!r}"


def _object(expected: dict[str, Any], seen: Any, place: str) -> str:
    if len(expected) == 1 and next(iter(expected)).startswith("$"):
        return _special(*next(iter(expected.items())), seen, place)
    if not isinstance(seen, dict):
        return f"{place or 'answer'}: expected an object, saw {seen!r}"
    for name, value in expected.items():
        if value == {"$missing": True}:
            if name in seen:
                return f"{place}/{name}: expected none, saw {_short(seen[name])}"
            continue
        if name not in seen:
            return f"{place}/{name}: missing in {_short(seen)}"
        if found := difference(value, seen[name], f"{place}/{name}"):
            return found
    return ""


def _special(name: str, wanted: Any, seen: Any, place: str) -> str:
    if name not in _SPECIAL:
        raise ValueError(f"{place}: {name} means nothing")
    return _SPECIAL[name](wanted, seen, place)


def _between(wanted: tuple[float, float], seen: Any, place: str) -> str:
    fits = isinstance(seen, (int, float)) and wanted[0] <= seen <= wanted[1]
    return "" if fits else f"{place}: expected {wanted[0]} to {wanted[1]}, saw {seen!r}"


def _text(wanted: Any, seen: Any, place: str) -> str:
    try:
        text = base64.b64decode(seen, validate=True).decode()
    except (ValueError, TypeError):
        return f"{place}: expected base64 of text, saw {seen!r}"
    return difference(wanted, text, place)


def _json(wanted: Any, seen: Any, place: str) -> str:
    try:
        inner = json.loads(base64.b64decode(seen, validate=True))
    except (ValueError, TypeError):
        return f"{place}: expected base64 of JSON, saw {seen!r}"
    return difference(wanted, inner, place)


def _some(wanted: Any, seen: Any, place: str) -> str:
    if isinstance(seen, list) and any(not difference(wanted, each) for each in seen):
        return ""
    return f"{place}: expected an element like {wanted!r}, saw {_short(seen)}"


def _one_of(wanted: list[Any], seen: Any, place: str) -> str:
    found = [difference(each, seen, place) for each in wanted]
    return "" if "" in found else "; or ".join(found)


def _not(wanted: Any, seen: Any, place: str) -> str:
    return "" if difference(wanted, seen, place) else f"{place}: expected anything but {seen!r}"


_SPECIAL: Mapping[str, Callable[[Any, Any, str], str]] = {
    "$between": _between,
    "$json": _json,
    "$not": _not,
    "$one_of": _one_of,
    "$some": _some,
    "$text": _text,
}


def _short(seen: Any) -> str:
    text = json.dumps(seen)
    return text if len(text) < 400 else text[:400] + "…"
