"""What is surely not meant so in a policy that loads: rules that can never change a decision.

Only what is certain is said. Patterns are compared as they are written: the same, or `*`.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from privyseald.policy.rule import Effect, Rule, patterns
from privyseald.venues.registry import Venues

_ANY = patterns(["*"]).pattern


@dataclass(frozen=True, slots=True)
class Remark:
    """What is odd about a rule, in a sentence."""

    rule: str
    text: str


def review(rules: Iterable[Rule], venues: Venues) -> list[Remark]:
    """Return what is odd, in the order of the rules."""
    rules = tuple(rules)
    remarks = []
    for place, rule in enumerate(rules):
        texts = [*_shadowed(rule, rules[:place], rules), *_selects_nothing(rule, venues)]
        remarks += [Remark(rule.name, text) for text in texts]
    return remarks


def _shadowed(rule: Rule, before: tuple[Rule, ...], rules: tuple[Rule, ...]) -> Iterator[str]:
    """Say where other rules decide all that this one could."""
    if rule.shadow:
        return
    if rule.effect is Effect.ALLOW:
        for other in rules:
            if other.effect is Effect.DENY and _decides_for(other, rule):
                yield f"allows nothing: rule '{other.name}' denies all that it selects"
                return
    for other in before:
        if other.effect is rule.effect and _decides_for(other, rule):
            what = f"never decides: rule '{other.name}' before it decides all that it selects"
            yield what + (", so that its limits never hold" if rule.limits else "")
            return


def _decides_for(one: Rule, other: Rule) -> bool:
    """Whether one rule surely matches whatever the other does."""
    if one.condition is not None or one.shadow:
        return False
    denies = one.effect is Effect.DENY
    return (
        _is_wider(one.callers, other.callers)
        and _is_wider(one.keys, other.keys)
        and (not one.venues or (bool(other.venues) and one.venues >= other.venues))
        and (denies or one.accept_bearer or not other.accept_bearer)
        and _selects_all_of(one, other)
    )


def _is_wider(one: re.Pattern[str], other: re.Pattern[str]) -> bool:
    return one.pattern in (other.pattern, _ANY)


def _selects_all_of(one: Rule, other: Rule) -> bool:
    wide, narrow = one.selectors, other.selectors
    names_all = wide.tags >= narrow.tags and wide.operations >= narrow.operations
    if not wide.actions >= narrow.actions:
        return False
    if one.effect is Effect.DENY and wide.listed:
        # `sign` means every request there. A tag in a rule that denies means documents too.
        return names_all or other.effect is Effect.ALLOW
    return (
        names_all
        and wide.listed >= narrow.listed
        and wide.unlisted >= narrow.unlisted
        and set(wide.paths) >= set(narrow.paths)
    )


def _selects_nothing(rule: Rule, venues: Venues) -> Iterator[str]:
    """Say where a rule names what none of its venues has."""
    if not rule.venues:
        return
    tables = [venues.operation_table(venues.get(name)) for name in sorted(rule.venues)]
    names = {name for table in tables for name in table.names}
    tags = {tag for table in tables for tag in table.tags}
    where = " nor ".join(sorted(rule.venues))
    for _, name in sorted(rule.selectors.operations):
        if name not in names:
            yield f"selects nothing by 'op:{name}', which {where} does not have"
    for tag in sorted(rule.selectors.tags - tags):
        yield f"selects nothing by the tag '{tag}', which no operation of {where} has"
