"""What a rule lets its callers have in a window of time: so many requests, so much in worth.

A limit counts signatures that were begun: it is spent right before the nonce, and not given back.
"""

import hashlib
from dataclasses import dataclass

from privyseald.errors import LimitExceeded, PolicyDenied
from privyseald.policy.decision import Decision
from privyseald.policy.question import Question
from privyseald.policy.rule import Limit, Per
from privyseald.state.state import HIGHEST, Charge, Shortage, State
from privyseald.venues.pricing import PLACES, price
from privyseald.venues.registry import Venues

_UNITS_MS = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1))


@dataclass(frozen=True, slots=True)
class _Use:
    """What a request takes from one limit of a rule, in the limit's unit."""

    rule: str
    limit: Limit
    amount: int


class Limits:
    """Spends the limits of a rule in the state, so that all replicas share them."""

    def __init__(self, state: State, venues: Venues) -> None:
        self._state = state
        self._venues = venues

    async def spend(self, question: Question, decision: Decision, *, look: bool = False) -> None:
        """Take what the request needs from all limits that hold for it, or from none of them;
        nothing is taken by who only looks.

        Raises LimitExceeded, StateUnavailable, ClockSkewed; and PolicyDenied where a budget holds
        for what can't be priced. Without limits the state is not asked.
        """
        uses: dict[str, tuple[Charge, _Use]] = {}
        for rule, limit in decision.limits:
            amount = cost_of(question, rule, limit, self._venues)
            if amount:
                use = _Use(rule, limit, amount)
                charge = _charge(use, question)
                there = uses.get(charge.name)
                if there is None or charge.limit < there[0].limit:
                    uses[charge.name] = charge, use
        if not uses:
            return
        short = await self._state.spend([charge for charge, _ in uses.values()], look=look)
        if short is not None:
            raise _exceeded(uses[short.charge.name][1], question, short)


def cost_of(question: Question, rule: str, limit: Limit, venues: Venues) -> int:
    """Return what a request takes from a limit: one, or what the dearest use of the signature
    costs, in 10^-8 of the limit's currency. Raises PolicyDenied where that can't be told.
    """
    if not limit.currency:
        return 1
    request, dearest = question.request, 0
    if request is None:
        raise _unpriced(question, rule, limit, "only requests have a price")
    venue = venues.get(question.venue)
    for operation in question.operations:
        notional = price(venue, operation, request)
        if notional is None:
            why = "what it may cost can't be told; give price and quantity in the request"
            raise _unpriced(question, rule, limit, why)
        if notional.amount and notional.currency != limit.currency:
            raise _unpriced(question, rule, limit, f"its price is in {notional.currency}")
        dearest = max(dearest, notional.amount)
    return dearest


def told(limit: Limit) -> str:
    """Return the limit in a few words, such as `rate 50 in 1s per caller, key`."""
    what = f"{'notional' if limit.currency else 'rate'} {told_amount(limit.amount, limit)}"
    per = ", ".join(each for each in Per if each in limit.per)
    return f"{what} in {_window(limit)}{f' per {per}' if per else ''}"


def _charge(use: _Use, question: Question) -> Charge:
    """Return the charge. Its name tells nothing, and is the same when the amount is changed."""
    limit, unit = use.limit, 1
    while limit.amount // unit > HIGHEST:
        unit *= 10
    parts = (
        use.rule,
        limit.currency,
        str(unit),
        str(limit.window_ms),
        *(each.value for each in Per if each in limit.per),
        question.caller.name if Per.CALLER in limit.per else "",
        question.key_id if Per.KEY in limit.per else "",
    )
    name = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]
    amount = min(-(-use.amount // unit), HIGHEST)
    return Charge(name, amount, limit.amount // unit, limit.window_ms)


def _exceeded(use: _Use, question: Question, short: Shortage) -> LimitExceeded:
    limit, rule = use.limit, use.rule
    metadata = {"rule": rule, "limit": told(limit), "key": f"keys/{question.key_id}"}
    if short.charge.amount > short.charge.limit:
        return LimitExceeded(
            f"the request alone is above the limit of rule '{rule}' ({told(limit)}), so it is "
            "refused at any time; make it smaller, or have a security officer raise the limit",
            metadata=metadata,
        )
    return LimitExceeded(
        f"the limit of rule '{rule}' ({told(limit)}) is spent, and nothing was signed; there may "
        f"be room in {short.wait_ms} ms, or a security officer can raise the limit",
        metadata=metadata,
        retry_after_ms=short.wait_ms,
    )


def _unpriced(question: Question, rule: str, limit: Limit, why: str) -> PolicyDenied:
    operation = question.operations[0] if question.operations else None
    what = f"'{operation.name}'" if operation else "this request"
    return PolicyDenied(
        f"rule '{rule}' has a budget ({told(limit)}), and {what} can't be counted in it: {why}. "
        "Orders that state price and quantity in that currency can; a security officer can give "
        "others a rule without a budget",
        metadata={
            "rule": rule,
            "limit": told(limit),
            "action": question.action.value,
            "key": f"keys/{question.key_id}",
            "caller": question.caller.name,
            **({"operation": operation.name} if operation else {}),
        },
    )


def told_amount(amount: int, limit: Limit) -> str:
    """Return an amount of a limit's unit in a few words, such as `400 USDT`."""
    if not limit.currency:
        return str(amount)
    whole, part = divmod(amount, 10**PLACES)
    digits = f"{whole}.{part:0{PLACES}}".rstrip("0").rstrip(".")
    return f"{digits} {limit.currency}"


def _window(limit: Limit) -> str:
    unit, length_ms = next(each for each in _UNITS_MS if limit.window_ms % each[1] == 0)
    return f"{limit.window_ms // length_ms}{unit}"
