"""What WhiteBIT's orders may cost, in the money of their market.

Source: whitebit-exchange/docs snippets/signer-fields-data.jsx (2f6d304), for each path.
"""

import re
from collections.abc import Callable, Mapping

from privyseald.strict_json import JsonValue
from privyseald.venues.http_request import HttpRequest
from privyseald.venues.pricing import NOTHING, Notional, notional, total
from privyseald.venues.venue import Operation

_MARKET = re.compile(r"[A-Z0-9]{1,20}_([A-Z0-9]{1,20})")
# The money of a market such as BTC_PERP.
_PERPETUAL, _MONEY_OF_PERPETUALS = "PERP", "USDT"
_SETTINGS = frozenset({"collateral-account/leverage", "collateral-account/hedge-mode/update"})
# What has no say in what an order costs at most. `bboRole` has: it sets the price aside; so
# have `stopLoss` and `takeProfit`: they make further orders.
_BESIDE = frozenset(
    {
        "market",
        "side",
        "amount",
        "clientOrderId",
        "postOnly",
        "ioc",
        "rpi",
        "retail",
        "stp",
        "positionSide",
        "reduceOnly",
        "activation_price",
    }
)
_LIMIT_FIELDS = _BESIDE | {"price"}
_OCO_FIELDS = _LIMIT_FIELDS | {"stop_limit_price"}
_MODIFY_FIELDS = frozenset({"orderId", "clientOrderId", "market", "activationPrice"})


def _limited(order: Mapping[str, JsonValue]) -> Notional | None:
    if order.get("side") not in ("buy", "sell") or not order.keys() <= _LIMIT_FIELDS:
        return None
    return notional(_currency(order), order.get("amount"), order.get("price"))


def _bulk(bulk: Mapping[str, JsonValue]) -> Notional | None:
    orders = bulk.get("orders")
    if not isinstance(orders, list) or not bulk.keys() <= {"orders", "stopOnFail"}:
        return None
    return total(_limited(each) if isinstance(each, dict) else None for each in orders)


def _by_money(order: Mapping[str, JsonValue]) -> Notional | None:
    """Return the amount of a purchase, which is in money; that of a sale is in stock."""
    if order.get("side") != "buy" or not order.keys() <= _BESIDE:
        return None
    return notional(_currency(order), order.get("amount"))


def _modified(order: Mapping[str, JsonValue]) -> Notional | None:
    """Return what the order costs once it is modified, as if it were another."""
    changed = order.keys() - _MODIFY_FIELDS
    if changed == {"amount", "price"}:
        return notional(_currency(order), order.get("amount"), order.get("price"))
    return notional(_currency(order), order.get("total")) if changed == {"total"} else None


def _one_of_two(order: Mapping[str, JsonValue]) -> Notional | None:
    if order.get("side") not in ("buy", "sell") or not order.keys() <= _OCO_FIELDS:
        return None
    currency, amount = _currency(order), order.get("amount")
    one = notional(currency, amount, order.get("price"))
    other = notional(currency, amount, order.get("stop_limit_price"))
    return max(one, other, key=lambda each: each.amount) if one and other else None


def _currency(order: Mapping[str, JsonValue]) -> str:
    market = order.get("market")
    match = _MARKET.fullmatch(market) if isinstance(market, str) else None
    if match is None:
        return ""
    return _MONEY_OF_PERPETUALS if match[1] == _PERPETUAL else match[1]


_PRICES: dict[str, Callable[[Mapping[str, JsonValue]], Notional | None]] = {
    "order/new": _limited,
    "v1/order/new": _limited,
    "order/stop_limit": _limited,
    "order/collateral/limit": _limited,
    "order/collateral/stop-limit": _limited,
    "order/bulk": _bulk,
    "order/collateral/bulk": _bulk,
    "order/market": _by_money,
    "order/stop_market": _by_money,
    "order/modify": _modified,
    "order/collateral/oco": _one_of_two,
}


def price(operation: Operation, request: HttpRequest) -> Notional | None:
    """Return amount times price, or the money of a purchase at the market."""
    if operation.name in _SETTINGS:
        return NOTHING
    price_of, order = _PRICES.get(operation.name), request.json
    return price_of(order) if price_of and isinstance(order, dict) else None
