"""What a request may cost: its notional, told from the request alone.

Budgets of the policy count it. An order with a limit counts at its limit: a purchase never costs
more, a sale may bring more. Where the request does not tell, there is no price: not for a field
that is not known here, nor for a number that could be read in two ways.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, TypeGuard

from privyseald.strict_json import JsonValue
from privyseald.venues.http_request import HttpRequest
from privyseald.venues.venue import Coverage, Operation, Venue

# Notional is counted in units of 10^-8 of its currency.
PLACES = 8

# No sign, no exponent, no blanks.
_DECIMAL = re.compile(r"([0-9]{1,30})(?:\.([0-9]{1,30}))?")
_MAX_AMOUNT = 2**63 - 1

# What changes nothing that money hangs on.
_FREE = frozenset({"read", "cancel", "session", "deposit"})


@dataclass(frozen=True, slots=True)
class Notional:
    """An amount in units of 10^-8 of a currency, rounded up. `currency` is in upper case, and
    empty where nothing is spent.
    """

    amount: int
    currency: str


NOTHING = Notional(0, "")


class PricingVenue(Venue, Protocol):
    """A venue whose orders tell what they may cost."""

    def price(self, operation: Operation, request: HttpRequest) -> Notional | None:
        """Return what the most is that a trade may be done for; None where that can't be told.

        Asked only for operations tagged `trade` and not `cancel`.
        """


def prices_orders(venue: Venue) -> TypeGuard[PricingVenue]:
    """Whether the venue's orders can be priced."""
    return hasattr(venue, "price")


def price(venue: Venue, operation: Operation | None, request: HttpRequest) -> Notional | None:
    """Return what one use of a normalised request may cost; None where that can't be told.

    Reads, cancels, logins and deposits cost nothing. What moves funds otherwise, what no table
    knows, and all of a venue whose signature binds no request has no price. A signature that is
    good for several operations costs what the dearest of them does: ask for each.
    """
    if operation is None or venue.coverage is Coverage.NOTHING:
        return None
    if "trade" in operation.tags and "cancel" not in operation.tags:
        return venue.price(operation, request) if prices_orders(venue) else None
    return NOTHING if _FREE.issuperset(set(operation.tags) - {"trade"}) else None


def notional(currency: str, *factors: JsonValue) -> Notional | None:
    """Return the product of decimals given as text, rounded up. None where one is none, or is
    zero, and where there is no currency, or too much of it (2^63 units).
    """
    amount, places = 1, 0
    for factor in factors:
        match = _DECIMAL.fullmatch(factor) if isinstance(factor, str) else None
        if match is None:
            return None
        fraction = match[2] or ""
        amount *= int(match[1] + fraction)
        places += len(fraction)
    if places > PLACES:
        amount = -(-amount // 10 ** (places - PLACES))
    else:
        amount *= 10 ** (PLACES - places)
    return Notional(amount, currency) if currency and 0 < amount <= _MAX_AMOUNT else None


def total(parts: Iterable[Notional | None]) -> Notional | None:
    """Return the sum. None where a part has no price, or another currency, and of nothing."""
    whole: Notional | None = None
    for part in parts:
        if part is None or (whole and part.currency != whole.currency):
            return None
        whole = Notional(part.amount + whole.amount, whole.currency) if whole else part
    return whole if whole and whole.amount <= _MAX_AMOUNT else None
