"""One rule of the policy, ready to be asked."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from privyseald.policy.action import Action
from privyseald.policy.condition import Condition
from privyseald.policy.selectors import Selectors


class Effect(StrEnum):
    """What a rule does with what it selects."""

    ALLOW = "allow"
    DENY = "deny"


@dataclass(frozen=True, slots=True)
class Rule:
    """Allows or denies what it selects, to the callers, on the keys.

    `*` in a pattern stands for any characters. `venues` is empty where any is meant. A rule in
    `shadow` decides nothing; what it would have decided is written down. `accept_bearer` says
    that its author knows: a signature of some venues binds no request.
    """

    name: str
    effect: Effect
    callers: re.Pattern[str]
    keys: re.Pattern[str]
    selectors: Selectors
    venues: frozenset[str] = frozenset()
    condition: Condition | None = None
    accept_bearer: bool = False
    shadow: bool = False
    limits: tuple["Limit", ...] = ()

    def concerns(self, caller: str, action: Action) -> bool:
        """Whether it speaks to the caller of such an action."""
        return self.selectors.speaks_of(action) and self.callers.fullmatch(caller) is not None

    def may_allow(self, action: Action) -> bool:
        """Whether it allows some wish of this action, if in shadow alone."""
        return self.effect is Effect.ALLOW and self.selectors.may_allow(action)

    def denies_all(self, action: Action) -> bool:
        """Whether nothing of this action passes it, whatever the request and the key."""
        if self.effect is Effect.ALLOW or self.shadow or self.condition is not None:
            return False
        return self.selectors.means_all(action)


class Per(StrEnum):
    """What a limit is counted by, beside its rule."""

    CALLER = "caller"
    KEY = "key"


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `amount` in any `window_ms`: requests, or 10^-8 of `currency` where one is named."""

    amount: int
    window_ms: int
    per: frozenset[Per] = field(default_factory=frozenset)
    currency: str = ""


def patterns(names: Iterable[str]) -> re.Pattern[str]:
    """Return what matches any of the names, in which `*` stands for any characters."""
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
