"""Conditions of rules, in CEL (the Common Expression Language), over the parsed request.

A condition sees exactly what is signed. JSON integers that fit 64 bits are ints; every other
number is its own text, so that no digit is lost: compare such with `cmp`.
"""

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from urllib.parse import unquote_plus

import cel

from privyseald.policy.question import Question
from privyseald.strict_json import JsonValue, is_number
from privyseald.venues.http_request import HttpRequest

CelValue = None | bool | int | str | dt.datetime | list["CelValue"] | dict[str, "CelValue"]

_INT64 = range(-(2**63), 2**63)
_MAX_TEXT = 4_096
# What the library raises for a field that is missing, a type that does not fit, and the like.
_FAILURES = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


class ConditionInvalid(ValueError):
    """An expression that is none. The message says where."""


class ConditionFailed(Exception):
    """A condition that could not be decided for this request."""


class Facts:
    """What conditions see of one question; put together when the first one asks."""

    def __init__(self, question: Question, time_us: int) -> None:
        self._question = question
        self._time_us = time_us
        self._context: cel.Context | None = None

    @property
    def context(self) -> "cel.Context":
        """The variables and functions, as CEL takes them."""
        if self._context is None:
            self._context = _context(_variables(self._question, self._time_us))
        return self._context


class Condition:
    """A compiled expression. It is true, false, or fails."""

    def __init__(self, text: str) -> None:
        """Compile the text, and try it for names that nobody knows. Raises ConditionInvalid."""
        if len(text) > _MAX_TEXT:
            raise ConditionInvalid(f"is longer than {_MAX_TEXT} characters")
        self.text = text
        try:
            self._program = cel.compile(text)
        except _FAILURES as error:
            raise ConditionInvalid(f"is not CEL: {_words(error)}") from error
        try:
            self._program.execute(_context(_SAMPLE))
        except RuntimeError as error:
            if "Undefined variable or function" in str(error):
                raise ConditionInvalid(
                    f"uses a name that does not exist: {_words(error)}; there are "
                    f"{', '.join(_SAMPLE)} and the function cmp"
                ) from error
        except _FAILURES:
            # The sample has no fields; a real request may.
            return

    def holds(self, facts: Facts) -> bool:
        """Return what it says. Raises ConditionFailed, also where it says neither yes nor no."""
        try:
            said = self._program.execute(facts.context)
        except _FAILURES as error:
            raise ConditionFailed(_words(error)) from error
        if not isinstance(said, bool):
            raise ConditionFailed("it is neither true nor false")
        return said


def compare(one: object, other: object) -> int:
    """Return -1, 0 or 1 as the first decimal is below, equal to or above the second."""
    left, right = _decimal(one), _decimal(other)
    return (left > right) - (left < right)


def _decimal(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise TypeError("cmp takes whole numbers and texts such as '0.25'")
    try:
        number = Decimal(value)
    except InvalidOperation as error:
        raise ValueError("cmp was given a text that is no number") from error
    if not number.is_finite():
        raise ValueError("cmp was given a text that is no finite number")
    return number


def _context(variables: Mapping[str, CelValue]) -> "cel.Context":
    context = cel.Context(dict(variables))
    context.add_function("cmp", compare)
    return context


def _variables(question: Question, time_us: int) -> dict[str, CelValue]:
    caller = question.caller
    return {
        "caller": {
            "name": caller.name,
            "method": caller.method,
            "claims": dict(caller.claims),
        },
        "key": _key(question),
        "request": _request(question),
        "typed_data": _typed_data(question),
        "time": dt.datetime.fromtimestamp(time_us // 1_000_000, dt.UTC),
    }


def _key(question: Question) -> dict[str, CelValue]:
    """Return what is known of the key; a condition on what is not known fails."""
    known: dict[str, CelValue] = {"id": question.key_id}
    if question.venue:
        known["venue"] = question.venue
    if question.key:
        known |= {
            "environment": question.key.environment,
            "algorithm": question.key.algorithm,
            "public_id": question.key.public_id,
            "labels": dict(question.key.labels),
        }
    return known


def _request(question: Question) -> dict[str, CelValue]:
    request = question.request
    if request is None:
        return {}
    operation = question.operations[0] if question.operations else None
    return {
        "method": request.method,
        "path": request.path,
        "query": _pairs(request.query),
        "body": _body(request),
        "operation": operation.name if operation else "",
        "tags": list(operation.tags) if operation else [],
    }


def _body(request: HttpRequest) -> CelValue:
    if request.json is not None or not request.body:
        return _cel(request.json) if request.json is not None else {}
    return _pairs(request.body.decode("ascii", "replace"))


def _pairs(encoded: str) -> dict[str, CelValue]:
    pairs: dict[str, CelValue] = {}
    for pair in encoded.split("&") if encoded else ():
        name, _, value = pair.partition("=")
        pairs[unquote_plus(name)] = unquote_plus(value)
    return pairs


def _typed_data(question: Question) -> dict[str, CelValue]:
    document = question.typed_data
    if document is None:
        return {}
    return {
        "primary_type": _cel(document.get("primaryType")),
        "domain": _cel(document.get("domain")),
        "message": _cel(document.get("message")),
    }


def _cel(value: JsonValue) -> CelValue:
    if isinstance(value, dict):
        return {name: _cel(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_cel(each) for each in value]
    if isinstance(value, str) and is_number(value):
        return int(value) if value.lstrip("-").isdigit() and int(value) in _INT64 else str(value)
    if isinstance(value, float):
        return repr(value)
    return value


def _words(error: Exception) -> str:
    """Return the first line of what the library says, bounded: it quotes the rule's text."""
    return str(error).strip().partition("\n")[0][:200]


_SAMPLE: dict[str, CelValue] = {
    "caller": {},
    "key": {},
    "request": {},
    "typed_data": {},
    "time": dt.datetime.fromtimestamp(0, dt.UTC),
}
