"""Conditions of rules, in CEL (the Common Expression Language), over the parsed request.

A condition sees exactly what is signed. JSON integers that fit 64 bits are ints; every other
number is its own text, so that no digit is lost: compare such with `cmp`.
"""

import datetime as dt
import logging
import re
from collections.abc import Iterable
from decimal import Decimal
from urllib.parse import unquote_plus

import cel

from privyseald.policy.question import Question
from privyseald.strict_json import JsonValue, is_number
from privyseald.venues.http_request import HttpRequest
from privyseald.venues.venue import Operation

# The library tells of each function that fails; what was asked for is no matter of the log.
logging.getLogger("cel").setLevel(logging.CRITICAL)

CelValue = None | bool | int | str | dt.datetime | list["CelValue"] | dict[str, "CelValue"]

_VARIABLES = {
    "caller": {"name", "method", "claims"},
    "key": {"id", "venue", "environment", "algorithm", "public_id", "labels"},
    "request": {"method", "path", "query", "body", "operation", "tags"},
    "typed_data": {"primary_type", "domain", "message"},
    "time": set[str](),
}
_FUNCTIONS = frozenset(
    {
        "cmp",
        # Of CEL's own, what the library has; operators have names of another form.
        *("size", "contains", "startsWith", "endsWith", "matches"),
        *("int", "uint", "double", "string", "bytes", "type", "dyn", "timestamp", "duration"),
        *("getFullYear", "getMonth", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear"),
        *("getHours", "getMinutes", "getSeconds", "getMilliseconds"),
    }
)
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_.]*")
_LOOP_VARIABLE = re.compile(
    r"\.\s*(?:all|exists|exists_one|map|filter)\s*\(\s*([A-Za-z_][A-Za-z0-9_]*)\s*,"
)
_TEXT = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""")
_FIELD = re.compile(
    r"(?<![\w.])(caller|key|request|typed_data)\s*\.\s*([A-Za-z_]\w*)(?!\w)(?!\s*\()"
)
_INT64 = range(-(2**63), 2**63)
_MAX_TEXT = 4_096
# Python reads more as a number than any venue means by one: '1_0', ' 2', digits of all scripts.
_NUMBER = re.compile(r"-?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,6})?")
_LONGEST_NUMBER = 400
# What the library raises for a field that is missing, a type that does not fit, and the like.
_FAILURES = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


class ConditionInvalid(ValueError):
    """An expression that is none. The message says where."""


class ConditionFailed(Exception):
    """A condition that could not be decided for this request."""


class Facts:
    """What conditions see of one use of what is asked for; put together when the first one asks.

    `use` is the place of an operation that the signature could be used for: the condition of a
    rule that speaks of it must see that one's name and path, not what the caller says it is for.
    """

    def __init__(self, question: Question, time_us: int, use: int = 0) -> None:
        self._question = question
        self._time_us = time_us
        self._use = use
        self._context = cel.Context({})
        self._context.add_function("cmp", compare)
        self._known: set[str] = set()

    def context(self, names: Iterable[str]) -> "cel.Context":
        """Return the variables, these among them, and functions, as CEL takes them. To hand a
        variable over costs ten times as much as to look at it.
        """
        for name in names:
            if name not in self._known:
                self._known.add(name)
                self._context.add_variable(name, self._value(name))
        return self._context

    def _value(self, name: str) -> CelValue:
        question = self._question
        if name == "caller":
            return _caller(question)
        if name == "key":
            return _key(question)
        if name == "request":
            return _request(question, self._use)
        if name == "typed_data":
            return _typed_data(question)
        return dt.datetime.fromtimestamp(self._time_us // 1_000_000, dt.UTC)


class Condition:
    """A compiled expression. It is true, false, or fails."""

    def __init__(self, text: str) -> None:
        """Compile the text, and look for names that nobody knows. Raises ConditionInvalid."""
        if len(text) > _MAX_TEXT:
            raise ConditionInvalid(f"is longer than {_MAX_TEXT} characters")
        self.text = text
        try:
            self._program = cel.compile(text)
        except _FAILURES as error:
            raise ConditionInvalid(f"is not CEL: {_words(error)}") from error
        self._names = tuple(name for name in _VARIABLES if name in self._program.variables())
        unknown = self._unknown()
        if unknown:
            fields = [
                f"{name}.{field}" for name in _VARIABLES for field in sorted(_VARIABLES[name])
            ]
            raise ConditionInvalid(
                f"uses a name that does not exist: {', '.join(unknown)}; there are "
                f"{', '.join([*fields, 'time'])} and the functions {', '.join(sorted(_FUNCTIONS))}"
            )

    def _unknown(self) -> list[str]:
        """Return the names that nobody knows, also those behind a condition's first part: it
        would fail for each request that comes so far.
        """
        loops = set(_LOOP_VARIABLE.findall(self.text))
        variables = set(self._program.variables()) - loops - set(_VARIABLES)
        functions = {name for name in self._program.functions() if _PLAIN.fullmatch(name)}
        fields = {
            f"{variable}.{field}"
            for variable, field in _FIELD.findall(_TEXT.sub("''", self.text))
            if variable not in loops and field not in _VARIABLES[variable]
        }
        return sorted(variables | fields | (functions - _FUNCTIONS))

    def holds(self, facts: Facts) -> bool:
        """Return what it says. Raises ConditionFailed, also where it says neither yes nor no."""
        try:
            said = self._program.execute(facts.context(self._names))
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
    text = str(value)
    if len(text) > _LONGEST_NUMBER or not _NUMBER.fullmatch(text):
        raise ValueError("cmp was given a text that is no number")
    return Decimal(text)


def _caller(question: Question) -> dict[str, CelValue]:
    caller = question.caller
    return {"name": caller.name, "method": caller.method, "claims": dict(caller.claims)}


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


def _request(question: Question, use: int) -> dict[str, CelValue]:
    request = question.request
    if request is None:
        return {}
    operation = question.operations[use] if question.operations else None
    return {
        "method": operation.method if operation and use else request.method,
        "path": _path(question, operation),
        "query": _pairs(request.query),
        "body": _body(request),
        "operation": operation.name if operation else "",
        "tags": list(operation.tags) if operation else [],
    }


def _path(question: Question, operation: Operation | None) -> str:
    """Return the path in its one spelling: the table's, else as path patterns see it."""
    if operation is None or "{" in operation.path:
        return question.path
    return operation.path


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
