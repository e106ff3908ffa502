"""An explanation in words: what else a denied wish would need."""

from collections.abc import Iterator

from privyseald.policy.decision import Reading, RuleReading
from privyseald.policy.question import Question
from privyseald.policy.rule import Effect
from privyseald.policy.selectors import PACKS
from privyseald.usecases.explain import Explanation

_PLACES = {reading: place for place, reading in enumerate(Reading)}
_PACKS = {tag: pack for pack, tag in PACKS.items()}
_DECIDED = frozenset({Reading.MATCHES, Reading.CONDITION_FAILED})


def needed(explanation: Explanation) -> list[str]:
    """Return what would have to change for the wish to be granted; nothing where it is."""
    if explanation.allowed:
        return []
    if explanation.decision.allowed:
        return [explanation.unpriced]
    denying = [
        f"rule '{each.rule.name}' must not deny it: whatever allows it, deny beats allow"
        for each in explanation.readings
        if each.rule.effect is Effect.DENY and each.reading in _DECIDED and not each.rule.shadow
    ]
    return [*denying, *_allowing(explanation), *_for_uses(explanation)]


def _allowing(explanation: Explanation) -> list[str]:
    """Return what the rules that come nearest to allowing it lack."""
    allowing = [each for each in explanation.readings if each.rule.effect is Effect.ALLOW]
    if any(each.reading is Reading.MATCHES and not each.rule.shadow for each in allowing):
        return []
    nearest = max((_PLACES[each.reading] for each in allowing), default=0)
    if nearest <= _PLACES[Reading.OTHER_CALLER]:
        question = explanation.question
        what = f"the key {question.key_id} that allows {_selectors(question)}"
        return [f"a rule for the caller {question.caller.name} and {what}"]
    return [
        _lacks(each, explanation.question) for each in allowing if _PLACES[each.reading] == nearest
    ]


def _lacks(each: RuleReading, question: Question) -> str:
    rule = each.rule
    condition = " ".join(rule.condition.text.split()) if rule.condition else ""
    return {
        Reading.OTHER_KEY: f"rule '{rule.name}' must name the key {question.key_id}",
        Reading.OTHER_VENUE: f"rule '{rule.name}' must name the venue {question.venue}",
        Reading.OTHER_REQUEST: f"rule '{rule.name}' must allow {_selectors(question)}",
        Reading.BEARER: (
            f"rule '{rule.name}' must say 'accept_bearer: true': a signature of {question.venue} "
            "covers no request, so whoever holds one may send any with it"
        ),
        Reading.CONDITION_FALSE: f"the condition of rule '{rule.name}' must be met: {condition}",
        Reading.CONDITION_FAILED: (
            f"the condition of rule '{rule.name}' must be decidable: {condition}"
        ),
        Reading.MATCHES: f"rule '{rule.name}' must be in force: it is in shadow",
    }[each.reading]


def _selectors(question: Question) -> str:
    """Return the selectors that would take the wish, the narrowest first."""
    request = question.request
    operation = question.operations[0] if question.operations else None
    texts = [f"op:{operation.name}"] if operation else []
    if request is not None:
        texts.append(f"{request.method} {question.path}")
    if operation is not None:
        texts += [_PACKS.get(tag, f"tag:{tag}") for tag in operation.tags]
    elif request is not None:
        texts.append("sign-unlisted")
    if request is not None:
        return " or ".join(f"'{text}'" for text in texts)
    action = f"'{question.action.value}'"
    return f"{action} and one of {', '.join(texts)}" if texts else action


def _for_uses(explanation: Explanation) -> Iterator[str]:
    for use in explanation.uses:
        if not use.decision.allowed:
            operation, rule = use.operation, use.decision.rule
            remedy = (
                f"rule '{rule}' must not deny that"
                if rule
                else f"have a rule allow 'op:{operation.name}' as well"
            )
            yield (
                f"the signature would be good for '{operation.name}' too, as that one's parameters "
                f"are all there ({', '.join(operation.required)}): leave one of them out, or "
                f"{remedy}"
            )
