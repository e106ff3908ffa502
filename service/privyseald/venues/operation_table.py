"""Which operation of a venue a request is, also when it is spelled another way, and which others
its signature could be used for.

A venue's server may take a path in any case, with a slash behind it or a format's suffix. Here
all of these are one path, so that none of them goes past a rule.
"""

import re
from collections.abc import Iterable, Mapping
from urllib.parse import unquote

from privyseald.venues.http_request import HttpRequest, parameter_names
from privyseald.venues.likeness import likeness
from privyseald.venues.venue import Operation

# Tags of what takes funds out, moves them, or changes who may do what. A rule must name them.
SENSITIVE = frozenset({"withdrawal", "transfer", "key-management"})

_CACHE = 1_024
_NAMED_SEGMENT = re.compile(r"\\\{[^/}]*\\\}")


def canonical_path(path: str) -> str:
    """Return the one spelling of a path that `make_request` took: in lower case, without slashes,
    dots and blanks at its end, and without any format's suffix.
    """
    path = unquote(path).lower()
    while True:
        path = path.rstrip().rstrip("/.")
        above, slash, last = path.rpartition("/")
        plain = last.partition(".")[0].rstrip()
        if plain == last:
            return path or "/"
        path = above + slash + plain


class OperationTable:
    """A venue's operations by method and path."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        self._plain: dict[tuple[str, str], Operation] = {}
        self._patterns: list[tuple[str, re.Pattern[str], Operation]] = []
        self._binding: list[tuple[frozenset[str], Operation]] = []
        self._required: tuple[str, ...] = ()
        self._usable: dict[tuple[str, ...], tuple[Operation, ...]] = {}
        self.names: frozenset[str] = frozenset()
        self.tags: frozenset[str] = frozenset()
        for operation in operations:
            self._enter(operation)

    def find(self, method: str, path: str) -> Operation | None:
        """Return the operation of a method and a canonical path; None where none is known.

        Another method on the path of something sensitive is taken for that: a server may look at
        the path alone.
        """
        found = self._plain.get((method, path))
        if found is not None:
            return found
        others = [each for (_, plain), each in self._plain.items() if plain == path]
        for each, pattern, operation in self._patterns:
            if pattern.fullmatch(path):
                if each == method:
                    return operation
                others.append(operation)
        return next((each for each in others if SENSITIVE.intersection(each.tags)), None)

    def usable_for(self, request: HttpRequest) -> tuple[Operation, ...]:
        """Return the operations whose required parameters are all among the request's.

        Where a signature binds parameters alone, it is good for each of them. A name counts in
        any spelling, and also as the end of a longer one: where query and body are signed as one
        text, that text can be cut between them anywhere.
        """
        if not self._binding:
            return ()
        names = _parameters_of(request)
        found = self._usable.get(names)
        if found is None:
            if len(self._usable) >= _CACHE:
                self._usable.clear()
            found = self._usable[names] = self._find_usable(names)
        return found

    def _find_usable(self, names: Iterable[str]) -> tuple[Operation, ...]:
        ends = self._required
        alike = (likeness(name.partition("[")[0]) for name in names)
        near = [name for name in alike if name.endswith(ends)]
        given = {end for end in ends for name in near if name.endswith(end)}
        return tuple(operation for required, operation in self._binding if required <= given)

    def _enter(self, operation: Operation) -> None:
        path = canonical_path(operation.path)
        if "{" in path:
            expression = _NAMED_SEGMENT.sub("[^/]+", re.escape(path))
            self._patterns.append((operation.method, re.compile(expression), operation))
        else:
            self._plain[operation.method, path] = operation
        if operation.required:
            required = frozenset(likeness(name) for name in operation.required)
            self._binding.append((required, operation))
            self._required = tuple(dict.fromkeys((*self._required, *sorted(required))))
        self.names |= {operation.name}
        self.tags |= set(operation.tags)


def _parameters_of(request: HttpRequest) -> tuple[str, ...]:
    names = parameter_names(request.query)
    if isinstance(request.json, Mapping):
        names += request.json
    elif request.body:
        names += parameter_names(request.body.decode("ascii", "replace"))
    return tuple(names)
