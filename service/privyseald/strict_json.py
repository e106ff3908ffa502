"""JSON read strictly and edited without touching a digit.

Venues sign key order, digits and escapes, so a body is checked by parsing it, and then
edited as bytes: what the caller wrote is what is signed.
"""

import json
import re
from collections import Counter
from typing import NoReturn

from privyseald.errors import BodyInvalid

JsonValue = None | bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"]

_MAX_DEPTH = 64
_MAX_DIGITS = 400
_BLANK_OR_SLASH = re.compile(rb"[ \t\r\n]|\\/")
_STRING_OR_BLANK = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[ \t\r\n]+', re.DOTALL)
_ESCAPE = re.compile(rb"\\.", re.DOTALL)
# A string may lack its end: what is searched here is not known to be JSON yet, and a pattern
# that fails at each quote would take the square of the text's length.
_STRING_OR_BRACKET = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[{\]}]', re.DOTALL)


class _Refused(Exception):
    """JSON that Python reads and we do not; the text says why."""


class _Number(str):
    """A number kept as its text: Python's int refuses very long ones, float rounds."""

    __slots__ = ()


def parse(body: bytes, field: str) -> JsonValue:
    """Return the value of a JSON text (RFC 8259) as Python's own types; numbers as text.

    Refused with BodyInvalid naming `field`: bad UTF-8, duplicate keys, NaN and Infinity,
    a lone surrogate, more than 64 levels, a number of more than 400 characters.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BodyInvalid(field, "is not UTF-8") from error
    if text.startswith("\ufeff"):
        raise BodyInvalid(field, "begins with a byte order mark; send the JSON alone")
    if is_deeper_than(_MAX_DEPTH, text):
        raise BodyInvalid(field, f"is nested deeper than {_MAX_DEPTH} levels")
    try:
        value: JsonValue = _decoder.decode(text)
    except _Refused as error:
        raise BodyInvalid(field, str(error)) from error
    except json.JSONDecodeError as error:
        raise BodyInvalid(
            field, f"is not JSON: line {error.lineno}, column {error.colno}"
        ) from error
    if "\\u" in text:
        _refuse_surrogates(value, field)
    return value


def parse_object(body: bytes, field: str) -> dict[str, JsonValue]:
    """Return the value of a JSON object, read as by `parse`."""
    value = parse(body, field)
    if not isinstance(value, dict):
        raise BodyInvalid(field, 'must be a JSON object, as in {"market":"BTC_USDT"}')
    return value


def is_deeper_than(levels: int, text: str) -> bool:
    """Whether a JSON text opens more lists and objects in one another than `levels`.

    Python's parser recurses, and where a library raised the recursion limit (py_ecc does, which
    eth-account imports) a deep text overflows the stack and ends the process. So ask before.
    """
    if text.count("[") + text.count("{") <= levels:
        return False
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(text):
        mark = match[0]
        if mark in "[{":
            depth += 1
            if depth > levels:
                return True
        elif mark in "]}":
            depth -= 1
    return False


def is_number(value: JsonValue) -> bool:
    """Whether `parse` read this as a number."""
    return isinstance(value, _Number)


def compact(body: bytes) -> bytes:
    r"""Return a valid JSON text without blanks between tokens, and with `\/` written as `/`.

    Key order, digits and all other escapes stay as they are.
    """
    if not _BLANK_OR_SLASH.search(body):
        return body
    return _STRING_OR_BLANK.sub(_compact_token, body)


def _compact_token(match: "re.Match[bytes]") -> bytes:
    token = match[0]
    if not token.startswith(b'"'):
        return b""
    if b"\\/" not in token:
        return token
    return _ESCAPE.sub(lambda pair: b"/" if pair[0] == b"\\/" else pair[0], token)


def _object(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    value = dict(pairs)
    if len(value) != len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise _Refused(f"has the key {twice[:64]!r} twice; give each key once")
    return value


def _number(digits: str) -> JsonValue:
    if len(digits) > _MAX_DIGITS:
        raise _Refused(f"has a number of more than {_MAX_DIGITS} characters")
    return _Number(digits)


def _refuse_constant(name: str) -> NoReturn:
    raise _Refused(f"holds {name}, which is no JSON number")


def _refuse_surrogates(value: JsonValue, field: str) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        raise BodyInvalid(field, "holds half of a surrogate pair") from error


_decoder = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_constant=_refuse_constant,
    parse_int=_number,
    parse_float=_number,
)
