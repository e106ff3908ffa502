"""Who may do what: rules that allow, rules that deny, and no for all that no rule speaks of.

Deny beats allow; of several rules that allow, the first one decides, and its limits hold. A
condition that can't be decided never allows: a rule that allows does not match, one that denies
does.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from privyseald.caller import Caller
from privyseald.clock import Clock
from privyseald.key import Key
from privyseald.policy.action import Action
from privyseald.policy.condition import ConditionFailed, Facts
from privyseald.policy.decision import Decision, Reading, RuleReading, denied, why_denied
from privyseald.policy.question import Question
from privyseald.policy.rule import Effect, Rule
from privyseald.venues.venue import Coverage, Operation

# No key has this id, so only rules for all keys (`*`) concern it.
EVERY_KEY = "*"

_ALLOW = Effect.ALLOW
_CACHE = 50_000

_Name = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class _Plan:
    """The rules that may decide a kind of question: each that may deny beside the places of the
    operations that it speaks of, and for each operation that the signature could be used for the
    rules that may allow it. Where no condition is among them, `decision` stands.
    """

    denies: tuple[tuple[Rule, tuple[int, ...]], ...]
    allows: tuple[tuple[Rule, ...], ...]
    decision: Decision | None = None


class Policy:
    """The rules in force. They can be replaced while others ask."""

    def __init__(self, rules: Iterable[Rule], clock: Clock) -> None:
        self._clock = clock
        self._rules: tuple[Rule, ...] = tuple(rules)
        self._plans: dict[_Name, _Plan] = {}
        self._of_callers: dict[tuple[str, Action], tuple[Rule, ...]] = {}

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules in force, in their order."""
        return self._rules

    def replace(self, rules: Iterable[Rule]) -> None:
        """Put other rules in force, all at once."""
        self._rules = tuple(rules)
        self._plans = {}
        self._of_callers = {}

    def check(
        self,
        caller: Caller,
        action: Action,
        key_id: str,
        key: Key | None = None,
        venue: str = "",
    ) -> str:
        """Return the name of the rule that allows an action. Raises PolicyDenied.

        Not for `sign`: there, the request decides.
        """
        venue = key.venue if key else venue
        return self.require(Question(caller, action, key_id, key, venue)).rule

    def looks_at_keys(self, caller: Caller, action: Action, key_id: str) -> bool:
        """Whether more than the key's id decides, so that its facts are needed."""
        return any(
            (rule.venues or rule.condition) and rule.keys.fullmatch(key_id)
            for rule in self._rules_of(caller.name, action)
        )

    def admit(
        self,
        caller: Caller,
        action: Action,
        key_id: str,
        venue: str = "",
        *,
        in_shadow: bool = False,
    ) -> str:
        """Return the first rule that could allow the caller such an action on the key, whatever
        the request: before the key is looked at, so that nobody finds out what keys there are.
        Raises PolicyDenied, also where a rule denies all such actions. `in_shadow` lets rules in
        shadow count, for who goes on to `decide`.
        """
        rules = [
            rule
            for rule in self._rules_of(caller.name, action)
            if rule.keys.fullmatch(key_id)
            and (not rule.venues or (venue in rule.venues if venue else rule.effect is _ALLOW))
        ]
        question = Question(caller, action, key_id, venue=venue)
        for rule in rules:
            if rule.denies_all(action):
                why = f"rule '{rule.name}' denies it"
                raise denied(question, Decision(allowed=False, rule=rule.name, why=why))
        for rule in rules:
            if rule.may_allow(action) and (in_shadow or not rule.shadow):
                return rule.name
        raise denied(question, Decision(allowed=False, why=self._why(question)))

    def require(self, question: Question) -> Decision:
        """Return the decision that allows. Raises PolicyDenied."""
        decision = self.decide(question)
        if not decision.allowed:
            raise denied(question, decision)
        return decision

    def allows(self, caller: Caller, action: Action, key_id: str, key: Key | None = None) -> bool:
        """Whether a rule allows an action, and none denies it. Not for `sign`, as `check`."""
        venue = key.venue if key else ""
        return self.decide(Question(caller, action, key_id, key, venue)).allowed

    def allows_any(self, caller: Caller, action: Action) -> bool:
        """Whether a rule allows an action on some key."""
        return any(
            rule.effect is Effect.ALLOW and not rule.shadow
            for rule in self._rules_of(caller.name, action)
        )

    def decide(self, question: Question) -> Decision:
        """Return what the rules say."""
        name = _name(question)
        plan = self._plans.get(name)
        if plan is None:
            plan = self._plan(question)
            if len(self._plans) >= _CACHE:
                self._plans.clear()
            self._plans[name] = plan
        return plan.decision or self._evaluate(plan, question)

    def explain(self, question: Question) -> list[RuleReading]:
        """Return how each rule reads the question, in the order of the file."""
        now_us = self._clock.time_us()
        facts = [Facts(question, now_us, use) for use, _ in enumerate(_operations(question))]
        return [_read(rule, question, facts) for rule in self._rules]

    def _plan(self, question: Question) -> _Plan:
        rules = [
            rule
            for rule in self._rules_of(question.caller.name, question.action)
            if rule.keys.fullmatch(question.key_id) and _is_at_venue(rule, question)
        ]
        denies = tuple(
            (rule, uses)
            for rule in rules
            if rule.effect is Effect.DENY and (uses := _uses(rule, question))
        )
        allows = tuple(
            tuple(
                rule
                for rule in rules
                if rule.effect is Effect.ALLOW
                and _selects(rule, question, each)
                and not _lacks_acceptance(rule, question)
            )
            for each in _operations(question)
        )
        plan = _Plan(denies, allows)
        deciding = (*(rule for rule, _ in denies), *(rule for each in allows for rule in each))
        if any(rule.condition for rule in deciding):
            return plan
        return replace(plan, decision=self._evaluate(plan, question))

    def _evaluate(self, plan: _Plan, question: Question) -> Decision:
        now_us = self._clock.time_us()
        facts = [Facts(question, now_us, use) for use in range(len(plan.allows))]
        shadow: list[str] = []
        for rule, uses in plan.denies:
            if all(_reading(rule, facts[use]) is Reading.CONDITION_FALSE for use in uses):
                continue
            if not rule.shadow:
                why = f"rule '{rule.name}' denies it"
                return Decision(allowed=False, rule=rule.name, shadow=tuple(shadow), why=why)
            shadow.append(rule.name)
        deciding: list[Rule] = []
        for rules, of_use in zip(plan.allows, facts, strict=True):
            found = _first_that_allows(rules, of_use, shadow)
            if found is None:
                return Decision(allowed=False, shadow=tuple(shadow), why=self._why(question))
            deciding.append(found)
        # A signature that is good for several operations is limited as each of them is.
        limits = {(rule.name, limit): None for rule in deciding for limit in rule.limits}
        return Decision(
            allowed=True, rule=deciding[0].name, limits=tuple(limits), shadow=tuple(shadow)
        )

    def _why(self, question: Question) -> str:
        return why_denied(question, self.explain(question))

    def _rules_of(self, caller: str, action: Action) -> tuple[Rule, ...]:
        """Return what concerns the caller: a list of keys asks for thousands in a row."""
        found = self._of_callers.get((caller, action))
        if found is None:
            found = tuple(rule for rule in self._rules if rule.concerns(caller, action))
            if len(self._of_callers) >= _CACHE:
                self._of_callers.clear()
            self._of_callers[caller, action] = found
        return found


def _name(question: Question) -> _Name:
    """Return what the plan of a question depends on."""
    request = question.request
    return (
        question.caller.name,
        question.action,
        question.key_id,
        question.venue,
        request and request.method,
        question.path,
        *(each and each.name for each in question.operations),
    )


def _operations(question: Question) -> tuple[Operation | None, ...]:
    return question.operations or (None,)


def _uses(rule: Rule, question: Question) -> tuple[int, ...]:
    """Return the places of the operations that a rule speaks of."""
    operations = enumerate(_operations(question))
    return tuple(use for use, each in operations if _selects(rule, question, each))


def _selects(rule: Rule, question: Question, operation: Operation | None) -> bool:
    request = question.request
    venue = question.venue
    selectors, allows = rule.selectors, rule.effect is Effect.ALLOW
    if request is None:
        selects = selectors.allow_action if allows else selectors.deny_action
        return selects(venue, question.action, operation)
    matches = selectors.allow_request if allows else selectors.deny_request
    # What a signature could be used for beside the named request has a path of its own.
    is_named = operation is None or operation == question.operations[0]
    path = question.path if is_named else operation_path(operation)
    method = request.method if is_named or operation is None else operation.method
    return matches(venue, method, path, operation)


def operation_path(operation: Operation | None) -> str:
    """Return the path of a table's entry, as path patterns see it."""
    return operation.path.lower() if operation else ""


def _is_at_venue(rule: Rule, question: Question) -> bool:
    if not rule.venues or question.venue in rule.venues:
        return True
    return rule.effect is Effect.DENY and not question.venue


def _lacks_acceptance(rule: Rule, question: Question) -> bool:
    binds_nothing = question.request is not None and question.coverage is Coverage.NOTHING
    return binds_nothing and not rule.accept_bearer


def _first_that_allows(rules: tuple[Rule, ...], facts: Facts, shadow: list[str]) -> Rule | None:
    for rule in rules:
        if _reading(rule, facts) is not Reading.MATCHES:
            continue
        if not rule.shadow:
            return rule
        if rule.name not in shadow:
            shadow.append(rule.name)
    return None


def _reading(rule: Rule, facts: Facts) -> Reading:
    if rule.condition is None:
        return Reading.MATCHES
    try:
        return Reading.MATCHES if rule.condition.holds(facts) else Reading.CONDITION_FALSE
    except ConditionFailed:
        return Reading.CONDITION_FAILED


def _read(rule: Rule, question: Question, facts: list[Facts]) -> RuleReading:
    reading = _passes_by(rule, question)
    if reading is not None or rule.condition is None:
        return RuleReading(rule, reading or Reading.MATCHES)
    # Of a rule that allows, what it says of the named operation; of one that denies, the worst.
    is_met = False
    for use in _uses(rule, question) if rule.effect is Effect.DENY else (0,):
        try:
            is_met |= rule.condition.holds(facts[use])
        except ConditionFailed as error:
            return RuleReading(rule, Reading.CONDITION_FAILED, str(error))
    return RuleReading(rule, Reading.MATCHES if is_met else Reading.CONDITION_FALSE)


def _passes_by(rule: Rule, question: Question) -> Reading | None:
    """Return why a rule does not come to its condition; None where it does."""
    selected = [_selects(rule, question, each) for each in _operations(question)]
    denies = rule.effect is Effect.DENY
    passes_by = {
        Reading.OTHER_CALLER: not rule.callers.fullmatch(question.caller.name),
        Reading.OTHER_KEY: not rule.keys.fullmatch(question.key_id),
        Reading.OTHER_VENUE: not _is_at_venue(rule, question),
        # One use of the signature that is denied is enough; all of them must be allowed.
        Reading.OTHER_REQUEST: not (any(selected) if denies else selected[0]),
        Reading.BEARER: not denies and _lacks_acceptance(rule, question),
    }
    return next((reading for reading, is_so in passes_by.items() if is_so), None)
