"""What Aster's orders may cost, from their parameters alone: neither path nor method is signed.

Sources: asterdex/api-docs V3(Recommended)/EN, futures "New Order", "Modify Order" and "Place
Multiple Orders" (04e31e0), spot "New order" (105f821).
"""

import re
from collections.abc import Mapping
from urllib.parse import unquote_plus

from privyseald.errors import RequestInvalid
from privyseald.strict_json import JsonValue, parse
from privyseald.venues.http_request import HttpRequest
from privyseald.venues.pricing import NOTHING, Notional, notional, total
from privyseald.venues.venue import Operation

# A symbol has no mark between its assets, so what it is priced in is known by its end.
_SYMBOL = re.compile(r"[A-Z0-9_]+?(USDT|USDC|USD1|USDF|BTC)")
_SETTINGS = frozenset(
    {
        "leverage",
        "marginType",
        "positionMargin",
        "positionSide/dual",
        "multiAssetsMargin",
        "stpMode",
        "mmp",
        "mmpReset",
    }
)
_ORDERS = frozenset({"order", "order/test"})
_BATCH = "batchOrders"
# What has no say in what an order costs at most.
_BESIDE = frozenset(
    {
        "symbol",
        "side",
        "positionSide",
        "timeInForce",
        "reduceOnly",
        "newClientOrderId",
        "orderId",
        "origClientOrderId",
        "stopPrice",
        "workingType",
        "priceProtect",
        "newOrderRespType",
        "stpMode",
        "recvWindow",
    }
)
_LIMITED = frozenset({"LIMIT", "STOP", "TAKE_PROFIT"})
_BY_PRICE = _BESIDE | {"type", "quantity", "price"}
_BY_MONEY = _BESIDE | {"type", "quoteOrderQty"}


def price(operation: Operation, request: HttpRequest) -> Notional | None:
    """Return quantity times price, or the money of a spot purchase at the market."""
    _, _, path = operation.path.partition("/v")
    path = path.partition("/")[2]
    if path in _SETTINGS:
        return NOTHING
    parameters = _parameters(request)
    if path in _ORDERS:
        return _order(parameters, amends=operation.method == "PUT")
    if path == _BATCH and parameters.keys() <= {_BATCH, "recvWindow"}:
        return _batch(parameters.get(_BATCH, ""), amends=operation.method == "PUT")
    return None


def _order(order: Mapping[str, JsonValue], *, amends: bool) -> Notional | None:
    currency = _currency(order.get("symbol"))
    kind = order.get("type")
    if kind in _LIMITED or (kind is None and amends):
        if order.keys() <= _BY_PRICE:
            return notional(currency, order.get("quantity"), order.get("price"))
    elif kind == "MARKET" and order.get("side") == "BUY" and order.keys() <= _BY_MONEY:
        return notional(currency, order.get("quoteOrderQty"))
    return None


def _batch(text: str, *, amends: bool) -> Notional | None:
    try:
        orders = parse(text.encode(), _BATCH)
    except RequestInvalid:
        return None
    if not isinstance(orders, list):
        return None
    return total(_order(each, amends=amends) if isinstance(each, dict) else None for each in orders)


def _currency(symbol: JsonValue) -> str:
    match = _SYMBOL.fullmatch(symbol) if isinstance(symbol, str) else None
    return match[1] if match else ""


def _parameters(request: HttpRequest) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for encoded in (request.query, request.body.decode("ascii", "replace")):
        for pair in encoded.split("&") if encoded else ():
            name, _, value = pair.partition("=")
            pairs[unquote_plus(name)] = unquote_plus(value)
    return pairs
