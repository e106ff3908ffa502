"""What policy says to a question, and why."""

from dataclasses import dataclass
from enum import StrEnum

from privyseald.errors import PolicyDenied
from privyseald.policy.question import Question
from privyseald.policy.rule import Effect, Limit, Rule
from privyseald.venues.operation_table import SENSITIVE


class Reading(StrEnum):
    """How one rule was read. The later, the nearer the rule came to deciding."""

    OTHER_CALLER = "speaks of other callers"
    OTHER_KEY = "speaks of other keys"
    OTHER_VENUE = "speaks of other venues"
    OTHER_REQUEST = "selects other requests or actions"
    BEARER = "is not for signatures that bind no request: it lacks accept_bearer"
    CONDITION_FALSE = "has a condition that is not met"
    CONDITION_FAILED = "has a condition that could not be decided"
    MATCHES = "matches"


_NEARNESS = {reading: place for place, reading in enumerate(Reading)}


@dataclass(frozen=True, slots=True)
class RuleReading:
    """One rule beside how it was read; `detail` is for the officer's eyes."""

    rule: Rule
    reading: Reading
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer. `rule` decided it, and is empty where none did. Each of the `limits` comes with
    the rule that sets it: all rules that were needed to allow the request do.

    `shadow` names the rules in shadow that would have decided otherwise.
    """

    allowed: bool
    rule: str = ""
    limits: tuple[tuple[str, Limit], ...] = ()
    shadow: tuple[str, ...] = ()
    why: str = ""


def why_denied(question: Question, readings: list[RuleReading]) -> str:
    """Return in a sentence what stood in the way, and what would be needed."""
    for each in readings:
        if _denies(each):
            return f"rule '{each.rule.name}' denies it"
    allowing = [
        each for each in readings if each.rule.effect is Effect.ALLOW and not each.rule.shadow
    ]
    nearest = max(allowing, key=lambda each: _NEARNESS[each.reading], default=None)
    if nearest is None:
        return "no rule allows this caller anything of the kind"
    name = nearest.rule.name
    return {
        Reading.OTHER_CALLER: "no rule allows this caller anything of the kind",
        Reading.OTHER_KEY: "no rule that allows it to this caller names the key",
        Reading.OTHER_VENUE: "no rule that allows it to this caller on this key names the venue",
        Reading.OTHER_REQUEST: f"no rule of this caller and key selects it{_what_would(question)}",
        Reading.BEARER: (
            f"rule '{name}' would allow it, but a signature of this venue binds no request, so "
            "that it is as good as the key: the rule needs 'accept_bearer: true'"
        ),
        Reading.CONDITION_FALSE: f"the condition of rule '{name}' is not met",
        Reading.CONDITION_FAILED: f"the condition of rule '{name}' is not met",
        Reading.MATCHES: "the signature could be used for another operation, which is not allowed",
    }[nearest.reading]


def _what_would(question: Question) -> str:
    """Return what a rule would have to name, where plain `sign` does not take the request."""
    request = question.request
    operation = question.operations[0] if question.operations else None
    if request is not None and operation is None:
        return (
            f": {request.method} {question.path} is in no table of the venue's operations, so "
            "that a rule must name its path, or 'sign-unlisted'"
        )
    tags = sorted(SENSITIVE.intersection(operation.tags)) if operation else []
    if tags:
        return f": 'sign' does not take it, a rule must name 'tag:{tags[0]}' or the operation"
    return ""


def _denies(each: RuleReading) -> bool:
    decided = each.reading in (Reading.MATCHES, Reading.CONDITION_FAILED)
    return each.rule.effect is Effect.DENY and not each.rule.shadow and decided


def denied(question: Question, decision: Decision) -> PolicyDenied:
    """Return the error that the caller gets."""
    operation = question.operations[0] if question.operations else None
    what = f"'{question.action}'"
    if operation is not None:
        what += f" of '{operation.name}'"
    metadata = {
        "action": question.action.value,
        "key": f"keys/{question.key_id}",
        "caller": question.caller.name,
    }
    if operation is not None:
        metadata["operation"] = operation.name
    if decision.rule:
        metadata["rule"] = decision.rule
    return PolicyDenied(
        f"no rule of the policy allows {what} on keys/{question.key_id} to "
        f"{question.caller.name}: {decision.why}; a security officer can change the policy file",
        metadata=metadata,
    )
