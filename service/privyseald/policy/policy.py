"""Who may do what: rules that allow, and nothing else. No rule, no."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from privyseald.caller import Caller
from privyseald.errors import PolicyDenied
from privyseald.policy.action import Action

# No key has this id, so only rules for all keys (`*`) allow something on it.
EVERY_KEY = "*"

_CACHE = 50_000
_UNDECIDED = ""  # no rule's name


@dataclass(frozen=True, slots=True)
class Rule:
    """Allows the actions to the callers on the keys. `*` in a name stands for any characters."""

    name: str
    callers: tuple[str, ...]
    keys: tuple[str, ...]
    allow: frozenset[Action]


class Policy:
    """The rules in force. The first that matches allows; where none does, it is denied."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._rules = [(rule, _pattern(rule.callers), _pattern(rule.keys)) for rule in rules]
        self._decisions: dict[tuple[str, Action, str], str | None] = {}
        self._of_callers: dict[tuple[str, Action], list[tuple[str, re.Pattern[str]]]] = {}

    def check(self, caller: Caller, action: Action, key_id: str) -> str:
        """Return the name of the rule that allows it. Raises PolicyDenied."""
        question = (caller.name, action, key_id)
        rule = self._decisions.get(question, _UNDECIDED)
        if rule is _UNDECIDED:
            rule = self._decide(*question)
            if len(self._decisions) >= _CACHE:
                self._decisions.clear()
            self._decisions[question] = rule
        if rule is None:
            raise PolicyDenied(
                f"no rule of the policy allows '{action}' on keys/{key_id} to {caller.name}; "
                "a security officer can add one to the policy file",
                metadata={"action": action.value, "key": f"keys/{key_id}", "caller": caller.name},
            )
        return rule

    def allows(self, caller: Caller, action: Action, key_id: str) -> bool:
        """Whether a rule allows it."""
        return self._decide(caller.name, action, key_id) is not None

    def allows_any(self, caller: Caller, action: Action) -> bool:
        """Whether a rule allows it on some key."""
        return bool(self._rules_of(caller.name, action))

    def _decide(self, caller: str, action: Action, key_id: str) -> str | None:
        for name, keys in self._rules_of(caller, action):
            if keys.fullmatch(key_id):
                return name
        return None

    def _rules_of(self, caller: str, action: Action) -> list[tuple[str, re.Pattern[str]]]:
        """Return what concerns the caller: a list of keys asks for thousands in a row."""
        found = self._of_callers.get((caller, action))
        if found is None:
            found = [
                (rule.name, keys)
                for rule, callers, keys in self._rules
                if action in rule.allow and callers.fullmatch(caller)
            ]
            if len(self._of_callers) >= _CACHE:
                self._of_callers.clear()
            self._of_callers[caller, action] = found
        return found


def _pattern(names: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(_glob(name) for name in names))


def _glob(name: str) -> str:
    """Return the expression of a name. Each part between two stars is taken where it first
    stands, for good: with many stars, trying other places could take for ever.
    """
    first, *rest = (re.escape(part) for part in name.split("*"))
    if not rest:
        return first
    *middle, last = rest
    return first + "".join(f"(?>.*?{part})" for part in middle if part) + ".*" + last
