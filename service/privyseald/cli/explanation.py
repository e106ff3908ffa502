"""An explanation of the policy as commands print it: tables for people, JSON for machines."""

from collections.abc import Iterator

from privyseald.cli.output import print_facts, print_json, print_table
from privyseald.limits import told, told_amount
from privyseald.policy.decision import RuleReading
from privyseald.policy.question import Question
from privyseald.usecases.explain import Charged, Explanation
from privyseald.usecases.explained import needed
from privyseald.venues.venue import Operation

_UNLISTED = "in no table of the venue's operations"


def print_explanation(explanation: Explanation, *, as_json: bool) -> None:
    """Print what was asked, how each rule was read, what is decided, and what would be needed."""
    if as_json:
        print_json(_plain(explanation))
        return
    print_facts(_asked(explanation))
    print_table(
        ("rule", "effect", "how it was read"),
        [(each.rule.name, _effect(each), _reading(each)) for each in explanation.readings],
    )
    print_facts(_decided(explanation))


def _asked(explanation: Explanation) -> Iterator[tuple[str, str]]:
    question = explanation.question
    request = question.request
    yield "caller", f"{question.caller.name}, by {question.caller.method}"
    at = f" of {question.venue}, {question.key.environment}" if question.key else ""
    yield "key", f"{question.key_id}{at}"
    if request is None:
        yield "action", question.action.value
        if question.operations:
            yield "it does", _named(question.operations[0])
        return
    yield "request", f"{request.method} {request.path}"
    operation = question.operations[0] if question.operations else None
    yield "operation", _named(operation)
    for use in explanation.uses:
        said = f"allowed by '{use.decision.rule}'" if use.decision.allowed else use.decision.why
        yield "good for", f"{_named(use.operation)} too, as it signs no path: {said}"


def _decided(explanation: Explanation) -> Iterator[tuple[str, str]]:
    decision = explanation.decision
    if explanation.allowed:
        yield "allowed", f"by rule '{decision.rule}'"
    else:
        yield "denied", explanation.unpriced or decision.why
    for name in decision.shadow:
        yield "in shadow", f"rule '{name}' would have decided otherwise"
    for each in explanation.charged:
        yield "limit", f"{told(each.limit)} (rule '{each.rule}'); this takes {_amount(each)}"
    if not explanation.unpriced:
        for text in needed(explanation):
            yield "needed", text


def _named(operation: Operation | None) -> str:
    if operation is None:
        return _UNLISTED
    return f"{operation.name} ({', '.join(operation.tags)})"


def _effect(each: RuleReading) -> str:
    return each.rule.effect.value + (", in shadow" if each.rule.shadow else "")


def _reading(each: RuleReading) -> str:
    return each.reading.value + (f": {each.detail}" if each.detail else "")


def _amount(each: Charged) -> str:
    return told_amount(each.amount, each.limit)


def _plain(explanation: Explanation) -> dict[str, object]:
    question, decision = explanation.question, explanation.decision
    return {
        "allowed": explanation.allowed,
        "rule": decision.rule,
        "why": explanation.unpriced or decision.why,
        "shadow": list(decision.shadow),
        "needed": needed(explanation),
        **_plain_question(question),
        "uses": [
            {
                "operation": use.operation.name,
                "tags": list(use.operation.tags),
                "allowed": use.decision.allowed,
                "rule": use.decision.rule,
            }
            for use in explanation.uses
        ],
        "limits": [
            {"rule": each.rule, "limit": told(each.limit), "takes": _amount(each)}
            for each in explanation.charged
        ],
        "rules": [
            {
                "name": each.rule.name,
                "effect": each.rule.effect.value,
                "mode": "shadow" if each.rule.shadow else "enforce",
                "reading": each.reading.name,
                "detail": each.detail,
            }
            for each in explanation.readings
        ],
    }


def _plain_question(question: Question) -> dict[str, object]:
    operation = question.operations[0] if question.operations else None
    return {
        "caller": question.caller.name,
        "method": question.caller.method,
        "action": question.action.value,
        "key": question.key_id,
        "venue": question.venue,
        "operation": operation.name if operation else None,
        "tags": list(operation.tags) if operation else [],
    }
