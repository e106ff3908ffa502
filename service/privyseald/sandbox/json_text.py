"""JSON, read strictly: no key twice, no NaN, and never so deep that the process falls over."""

import json
import re
from collections.abc import Mapping, Sequence

Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]

# Importing eth_account lifts Python's recursion limit to 100,000 (py_ecc does), so a deep
# text would overflow the C stack where it used to raise RecursionError.
_MAX_DEPTH = 64
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"?', re.DOTALL)
_BRACKET = re.compile(r"[\[\]{}]")


def parse(body: bytes) -> Json:
    """Return the value of a JSON text. Raises ValueError."""
    text = body.decode()
    depth = 0
    for bracket in _BRACKET.findall(_STRING.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        if depth > _MAX_DEPTH:
            raise ValueError("too deep")
    value: Json = json.loads(text, object_pairs_hook=_unrepeated, parse_constant=_no_constant)
    return value


def _unrepeated(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key stands twice")
    return value


def _no_constant(name: str) -> Json:
    raise ValueError(f"{name} is not JSON")
