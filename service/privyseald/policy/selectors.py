"""Which wishes a rule speaks of: by action, and for requests by name, tag or path."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from privyseald.policy.action import Action
from privyseald.venues.http_request import METHODS
from privyseald.venues.operation_table import SENSITIVE, canonical_path
from privyseald.venues.venue import Operation

PACKS = {
    "@withdrawals": "withdrawal",
    "@transfers": "transfer",
    "@key-management": "key-management",
    "@trading": "trade",
    "@cancels": "cancel",
    "@reads": "read",
}
UNLISTED = "sign-unlisted"
_NAME = re.compile(r"[A-Za-z0-9 _./:-]{1,100}")
_PATTERN = re.compile(r"/(?:[A-Za-z0-9._~$+=:@-]+|\*\*?|/)*")


class SelectorInvalid(ValueError):
    """A text that selects nothing. The message says what would."""


@dataclass(frozen=True, slots=True)
class Selectors:
    """What a rule names, of all kinds.

    `listed` is plain `sign`: every request that the venue's table knows, but for those with a
    sensitive tag. `venue` of an operation is empty where any venue's is meant.
    """

    actions: frozenset[Action]
    listed: bool
    unlisted: bool
    tags: frozenset[str]
    operations: frozenset[tuple[str, str]]
    paths: tuple[tuple[str, re.Pattern[str]], ...]

    @property
    def looks_at_requests(self) -> bool:
        """Whether the request decides, beside the action."""
        return bool(self.tags or self.operations or self.paths or self.unlisted)

    def speaks_of(self, action: Action) -> bool:
        """Whether some wish of this action may be among them."""
        if action is Action.SIGN_TYPED_DATA and (self.tags or self.operations):
            return True
        return self.may_allow(action)

    def may_allow(self, action: Action) -> bool:
        """Whether an allow rule with them may mean some wish of this action."""
        if action is Action.SIGN:
            return self.listed or self.looks_at_requests
        return action in self.actions

    def means_all(self, action: Action) -> bool:
        """Whether a deny rule with them means every wish of this action."""
        return self.listed if action is Action.SIGN else action in self.actions

    def allow_action(self, venue: str, action: Action, operation: Operation | None) -> bool:
        """Whether an allow rule with them means an action. A document that does something
        sensitive must be named by its tag or operation beside the action.
        """
        if action not in self.actions:
            return False
        if operation is None or not SENSITIVE.intersection(operation.tags):
            return True
        return self._names(venue, "", "", operation)

    def deny_action(self, venue: str, action: Action, operation: Operation | None) -> bool:
        """Whether a deny rule with them means an action."""
        if action in self.actions:
            return True
        return operation is not None and self._names(venue, "", "", operation)

    def allow_request(
        self, venue: str, method: str, path: str, operation: Operation | None
    ) -> bool:
        """Whether an allow rule with them means this request."""
        if operation is None:
            return self.unlisted or self._names_path(method, path)
        if self.listed and not SENSITIVE.intersection(operation.tags):
            return True
        return self._names(venue, method, path, operation)

    def deny_request(self, venue: str, method: str, path: str, operation: Operation | None) -> bool:
        """Whether a deny rule with them means this request. Plain `sign` means all."""
        if self.listed:
            return True
        if operation is None:
            return self.unlisted or self._names_path(method, path)
        return self._names(venue, method, path, operation)

    def _names(self, venue: str, method: str, path: str, operation: Operation) -> bool:
        if not self.tags.isdisjoint(operation.tags):
            return True
        if self.operations and (
            ("", operation.name) in self.operations or (venue, operation.name) in self.operations
        ):
            return True
        return self._names_path(method, path)

    def _names_path(self, method: str, path: str) -> bool:
        return any(
            each in ("*", method) and pattern.fullmatch(path) for each, pattern in self.paths
        )


def parse_selectors(texts: Iterable[str]) -> Selectors:
    """Return the selectors of a rule's list. Raises SelectorInvalid."""
    actions: set[Action] = set()
    tags: set[str] = set()
    operations: set[tuple[str, str]] = set()
    paths: list[tuple[str, re.Pattern[str]]] = []
    listed = unlisted = False
    for text in texts:
        kind, colon, name = text.partition(":")
        if text == Action.SIGN:
            listed = True
        elif text == UNLISTED:
            unlisted = True
        elif text in PACKS:
            tags.add(PACKS[text])
        elif colon and kind == "tag" and _NAME.fullmatch(name):
            tags.add(name)
        elif colon and kind == "op" and _NAME.fullmatch(name):
            operations.add(("", name))
        elif " /" in text:
            paths.append(_path(text))
        else:
            actions.add(_action(text))
    return Selectors(
        frozenset(actions), listed, unlisted, frozenset(tags), frozenset(operations), tuple(paths)
    )


def _action(text: str) -> Action:
    try:
        return Action(text)
    except ValueError as error:
        known = ", ".join(each.value for each in Action)
        raise SelectorInvalid(
            f"'{text[:64]}' names nothing: give an action ({known}, {UNLISTED}), 'tag:NAME', "
            f"'op:NAME', 'METHOD /path', or a pack ({', '.join(PACKS)})"
        ) from error


def _path(text: str) -> tuple[str, re.Pattern[str]]:
    method, _, path = text.partition(" ")
    if method != "*" and method not in METHODS:
        raise SelectorInvalid(
            f"'{text[:64]}' must begin with one of *, {', '.join(sorted(METHODS))}"
        )
    if not _PATTERN.fullmatch(path) or "//" in path:
        raise SelectorInvalid(
            f"'{text[:64]}' has no path that could be asked for; '*' stands for one segment, "
            "'**' for all that follow"
        )
    expression = ""
    for part in re.split(r"(\*\*?)", canonical_path(path)):
        expression += {"*": "[^/]+", "**": ".*"}.get(part, re.escape(part))
    return method, re.compile(expression, re.DOTALL)
