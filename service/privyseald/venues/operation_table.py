"""Which operation of a venue a request is, also when it is spelled another way.

A venue's server may take a path in any case, with a slash behind it or a format's suffix. Here
all of these are one path, so that none of them goes past a rule.
"""

import re
from collections.abc import Iterable, Mapping
from urllib.parse import unquote

from privyseald.venues.http_request import HttpRequest, parameter_names
from privyseald.venues.venue import Operation

_SUFFIX = re.compile(r"\.(?:json|xml|txt|html|csv)$")
_NAMED_SEGMENT = re.compile(r"\\\{[^/}]*\\\}")


def canonical_path(path: str) -> str:
    """Return the one spelling of a path that `make_request` took."""
    path = unquote(path).lower().rstrip("/")
    return _SUFFIX.sub("", path) or "/"


class OperationTable:
    """A venue's operations by method and path."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        self._plain: dict[tuple[str, str], Operation] = {}
        self._patterns: list[tuple[str, re.Pattern[str], Operation]] = []
        self._binding: list[tuple[frozenset[str], Operation]] = []
        self.names: frozenset[str] = frozenset()
        self.tags: frozenset[str] = frozenset()
        for operation in operations:
            self._enter(operation)

    def find(self, method: str, path: str) -> Operation | None:
        """Return the operation of a method and a canonical path; None where none is known."""
        found = self._plain.get((method, path))
        if found is not None:
            return found
        for each, pattern, operation in self._patterns:
            if each == method and pattern.fullmatch(path):
                return operation
        return None

    def usable_for(self, request: HttpRequest) -> tuple[Operation, ...]:
        """Return the operations whose required parameters are all among the request's.

        Where a signature binds parameters alone, it is good for each of them.
        """
        if not self._binding:
            return ()
        names = _parameters_of(request)
        return tuple(operation for required, operation in self._binding if required <= names)

    def _enter(self, operation: Operation) -> None:
        path = canonical_path(operation.path)
        if "{" in path:
            expression = _NAMED_SEGMENT.sub("[^/]+", re.escape(path))
            self._patterns.append((operation.method, re.compile(expression), operation))
        else:
            self._plain[operation.method, path] = operation
        if operation.required:
            self._binding.append((frozenset(operation.required), operation))
        self.names |= {operation.name}
        self.tags |= set(operation.tags)


def _parameters_of(request: HttpRequest) -> set[str]:
    names = set(parameter_names(request.query))
    if isinstance(request.json, Mapping):
        return names | set(request.json)
    if request.body:
        names |= set(parameter_names(request.body.decode("ascii", "replace")))
    return names
