"""What a request may cost: its notional, told from the request alone.

Budgets of the policy count it. A price is never too low: where the request does not tell how
much it may trade for, there is none.
"""

from dataclasses import dataclass
from typing import Protocol, TypeGuard

from privyseald.venues.http_request import HttpRequest
from privyseald.venues.venue import Coverage, Operation, Venue

# Notional is counted in units of 10^-8 of its currency.
PLACES = 8

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
