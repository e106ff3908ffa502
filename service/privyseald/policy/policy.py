"""Who may do what: rules that allow, and nothing else. No rule, no."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from privyseald.caller import Caller
from privyseald.errors import PolicyDenied
from privyseald.policy.action import Action

_CACHE = 50_000


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

    def check(self, caller: Caller, action: Action, key_id: str) -> str:
        """Return the name of the rule that allows it. Raises PolicyDenied."""
        question = (caller.name, action, key_id)
        if question in self._decisions:
            rule = self._decisions[question]
        else:
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

    def _decide(self, caller: str, action: Action, key_id: str) -> str | None:
        for rule, callers, keys in self._rules:
            if action in rule.allow and callers.fullmatch(caller) and keys.fullmatch(key_id):
                return rule.name
        return None


def _pattern(names: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(re.escape(name).replace(r"\*", ".*") for name in names))
