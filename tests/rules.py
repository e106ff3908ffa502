"""Rules for tests, without a file."""

from collections.abc import Iterable

from fakes import FakeClock
from privyseald.policy.action import Action
from privyseald.policy.policy import Policy
from privyseald.policy.rule import Effect, Rule, patterns
from privyseald.policy.selectors import parse_selectors


def rule(
    name: str,
    callers: Iterable[str],
    keys: Iterable[str],
    allow: Iterable[str],
    effect: Effect = Effect.ALLOW,
    *,
    accept_bearer: bool = False,
    shadow: bool = False,
) -> Rule:
    """Return a rule as the file would give it."""
    return Rule(
        name,
        effect,
        patterns(callers),
        patterns(keys),
        parse_selectors(allow),
        accept_bearer=accept_bearer,
        shadow=shadow,
    )


def policy(*rules: Rule) -> Policy:
    """Return a policy of these rules."""
    return Policy(rules, FakeClock())


def allow_all() -> Policy:
    """Return a policy that allows everybody everything."""
    tags = ("tag:withdrawal", "tag:transfer", "tag:key-management", "sign-unlisted")
    return policy(rule("all", ("*",), ("*",), (*Action, *tags), accept_bearer=True))
