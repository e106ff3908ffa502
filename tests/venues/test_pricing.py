"""What orders may cost, against decimal arithmetic, and what has no price."""

import json
from decimal import ROUND_CEILING, Decimal, localcontext
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import credential
from privyseald.key import Algorithm
from privyseald.venues.http_request import HttpRequest
from privyseald.venues.operation_table import canonical_path
from privyseald.venues.pricing import NOTHING, Notional, notional, price, prices_orders, total
from privyseald.venues.venue import Operation
from venues.desk import VENUES, ask

UNITS = 10**8
MATERIAL = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
KEYS = {
    "whitebit": credential("whitebit", Algorithm.HMAC_SHA512, "s", {"api_key": "k"}),
    "aster": credential("aster", Algorithm.HMAC_SHA256, "s", {"api_key": "k"}),
    "aster-v3": credential("aster-v3", Algorithm.SECP256K1, MATERIAL),
    "nebulaex": credential("nebulaex", Algorithm.HMAC_SHA256, "s", {"api_key": "k"}),
    "kiiex": credential("kiiex", Algorithm.HMAC_SHA256, "s", {"api_key": "k", "user_id": "9"}),
}
LIMIT = {"market": "BTC_USDT", "side": "buy", "amount": "0.5", "price": "40000"}
BATCH = [
    {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "quantity": "1", "price": "100"},
    {"symbol": "ETHUSDT", "side": "SELL", "type": "STOP", "quantity": "2", "price": "0.5"},
]
decimals = st.from_regex(r"(0|[1-9][0-9]{0,6})(\.[0-9]{1,12})?", fullmatch=True)


def priced(venue_name: str, method: str, path: str, body: bytes = b"", query: str = "") -> object:
    """Return the price of a request as it would be signed: a number and a currency, or None."""
    venue = VENUES.get(venue_name)
    request = ask(KEYS[venue_name], method, f"{path}?{query}" if query else path, body)
    operation = VENUES.operation_table(venue).find(method, canonical_path(path))
    found = price(venue, operation, request)
    return found and (f"{Decimal(found.amount) / UNITS:.8f}", found.currency)


def whitebit(path: str, order: object) -> object:
    """Return the price of a request to WhiteBIT."""
    return priced("whitebit", "POST", f"/api/v4/{path}", json.dumps(order).encode())


def aster(order: dict[str, str], path: str = "/fapi/v3/order", method: str = "POST") -> object:
    """Return the price of a request to Aster; the same in the query, in the body, and in V1."""
    text = urlencode(order, quote_via=quote)
    in_body = priced("aster-v3", method, path, text.encode())
    assert in_body == priced("aster-v3", method, path, b"", text)
    if method == "POST" and "prediction" not in path:
        assert in_body == priced("aster", method, path.replace("v3", "v1"), text.encode())
    return in_body


def aster_order(**changes: str) -> object:
    """Return the price of a limited order with changes; an empty one leaves a parameter out."""
    order = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "quantity": "2", "price": "10"}
    return aster({name: value for name, value in (order | changes).items() if value})


@pytest.mark.parametrize(
    ("path", "changes", "expected"),
    [
        ("order/new", {}, ("20000.00000000", "USDT")),
        ("order/new", {"side": "sell"}, ("20000.00000000", "USDT")),
        ("order/new", {"market": "ETH_BTC", "price": "0.03"}, ("0.01500000", "BTC")),
        ("order/new", {"postOnly": True, "stp": "cb", "rpi": False}, ("20000.00000000", "USDT")),
        ("order/collateral/limit", {"reduceOnly": True}, ("20000.00000000", "USDT")),
        ("order/collateral/limit", {"market": "BTC_PERP"}, ("20000.00000000", "USDT")),
        ("order/stop_limit", {"activation_price": "1"}, ("20000.00000000", "USDT")),
        ("order/collateral/stop-limit", {"activation_price": 1}, ("20000.00000000", "USDT")),
        ("order/new", {"amount": 0.5, "price": 40000}, ("20000.00000000", "USDT")),
        ("order/new", {"amount": "0.00000001", "price": "0.1"}, ("0.00000001", "USDT")),
        # What may cost more, or who knows what.
        ("order/new", {"bboRole": 1}, None),
        ("order/collateral/limit", {"stopLoss": "1"}, None),
        ("order/collateral/limit", {"takeProfit": "1"}, None),
        ("order/new", {"brandNew": "1"}, None),
        ("order/new", {"market": "BTCUSDT"}, None),
        ("order/new", {"market": "BTC_USDT_X"}, None),
        ("order/new", {"market": "btc_usdt"}, None),
        ("order/new", {"market": ["BTC_USDT"]}, None),
        ("order/new", {"side": "both"}, None),
        ("order/new", {"price": None}, None),
        ("order/new", {"amount": ["1"]}, None),
        ("order/new", {"amount": True}, None),
        ("order/new", {"amount": "-1"}, None),
        ("order/new", {"amount": "0"}, None),
        ("order/new", {"amount": "0.000"}, None),
        ("order/new", {"amount": "NaN"}, None),
        ("order/new", {"amount": "Infinity"}, None),
        ("order/new", {"amount": "1e3"}, None),
        ("order/new", {"amount": "1E-3"}, None),
        ("order/new", {"amount": "1e999999999"}, None),
        ("order/new", {"amount": "1_000"}, None),
        ("order/new", {"amount": "1,5"}, None),
        ("order/new", {"amount": " 1"}, None),
        ("order/new", {"amount": "1\n"}, None),
        ("order/new", {"amount": "\u0661"}, None),
        ("order/new", {"amount": "+1"}, None),
        ("order/new", {"amount": "0x10"}, None),
        ("order/new", {"amount": ""}, None),
        ("order/new", {"amount": "."}, None),
        ("order/new", {"amount": "1" * 31}, None),
        ("order/new", {"amount": "1" * 20}, None),
        ("order/collateral/trigger-market", {}, None),
        ("order/stock_market", {}, None),
    ],
)
def test_an_order_at_whitebit(path: str, changes: dict[str, object], expected: object) -> None:
    """A limited order costs amount times price; what else it says must be known to be beside it."""
    assert expected == whitebit(path, LIMIT | changes)


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("order/market", {"market": "A_B", "side": "buy", "amount": "7"}, ("7.00000000", "B")),
        ("order/market", {"market": "A_B", "side": "sell", "amount": "7"}, None),
        ("order/market", {"market": "A_B", "side": "buy", "amount": "7", "price": "1"}, None),
        ("order/stock_market", {"market": "A_B", "side": "buy", "amount": "7"}, None),
        ("order/collateral/market", {"market": "A_B", "side": "buy", "amount": "7"}, None),
        ("order/bulk", {"orders": [LIMIT, LIMIT]}, ("40000.00000000", "USDT")),
        ("order/bulk", {"orders": [LIMIT], "stopOnFail": True}, ("20000.00000000", "USDT")),
        ("order/collateral/bulk", {"orders": [LIMIT] * 3}, ("60000.00000000", "USDT")),
        ("order/bulk", {"orders": [LIMIT, LIMIT | {"market": "A_B"}]}, None),
        ("order/bulk", {"orders": [LIMIT, LIMIT | {"amount": "-1"}]}, None),
        ("order/bulk", {"orders": [LIMIT, 7]}, None),
        ("order/bulk", {"orders": []}, None),
        ("order/bulk", {"orders": LIMIT}, None),
        ("order/bulk", {"orders": [LIMIT], "more": [LIMIT]}, None),
        ("order/bulk", {}, None),
        (
            "order/modify",
            {"market": "A_B", "orderId": 7, "amount": "2", "price": "3"},
            ("6.00000000", "B"),
        ),
        ("order/modify", {"market": "A_B", "orderId": 7, "total": "3"}, ("3.00000000", "B")),
        ("order/modify", {"market": "A_B", "orderId": 7, "price": "3"}, None),
        ("order/modify", {"market": "A_B", "orderId": 7, "amount": "3"}, None),
        ("order/modify", {"market": "A_B", "total": "1", "amount": "2", "price": "3"}, None),
        (
            "order/collateral/oco",
            LIMIT | {"activation_price": "41000", "stop_limit_price": "42000"},
            ("21000.00000000", "USDT"),
        ),
        ("order/collateral/oco", LIMIT | {"activation_price": "41000"}, None),
        ("collateral-account/position/close", {"market": "A_B", "positionId": 7}, None),
        ("convert/confirm", {"quoteId": "7"}, None),
        ("profile/websocket_token", {}, None),
        ("collateral-account/leverage", {"leverage": 5}, ("0.00000000", "")),
        ("order/cancel", {"market": "A_B", "orderId": 7}, ("0.00000000", "")),
        ("order/kill-switch", {"market": "A_B", "timeout": "5"}, ("0.00000000", "")),
        ("orders", {}, ("0.00000000", "")),
        ("main-account/address", {"ticker": "BTC"}, ("0.00000000", "")),
        ("main-account/withdraw", {"ticker": "BTC", "amount": "1"}, None),
        ("main-account/transfer", {"ticker": "BTC", "amount": "1"}, None),
        ("sub-account/api-key/create", {}, None),
        ("brand/new", {}, None),
    ],
)
def test_a_request_to_whitebit(path: str, body: object, expected: object) -> None:
    """Purchases at the market are told in money; reads and cancels cost nothing; what moves funds
    otherwise, and what nobody knows, has no price.
    """
    assert expected == whitebit(path, body)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ("20.00000000", "USDT")),
        ({"side": "SELL", "reduceOnly": "true"}, ("20.00000000", "USDT")),
        ({"symbol": "BTCUSD1"}, ("20.00000000", "USD1")),
        ({"symbol": "ETHBTC"}, ("20.00000000", "BTC")),
        ({"symbol": "1000SHIBUSDC", "price": "0.000000001"}, ("0.00000001", "USDC")),
        ({"type": "STOP", "stopPrice": "9"}, ("20.00000000", "USDT")),
        ({"type": "TAKE_PROFIT", "stopPrice": "9", "workingType": "MARK_PRICE"},
         ("20.00000000", "USDT")),
        ({"timeInForce": "GTX", "newClientOrderId": "a-1", "positionSide": "LONG"},
         ("20.00000000", "USDT")),
        # At the market.
        ({"type": "MARKET", "quantity": "", "price": "", "quoteOrderQty": "7"},
         ("7.00000000", "USDT")),
        ({"type": "MARKET", "price": ""}, None),
        ({"type": "MARKET"}, None),
        ({"type": "MARKET", "side": "SELL", "quantity": "", "price": "", "quoteOrderQty": "7"},
         None),
        ({"type": "MARKET", "price": "", "quoteOrderQty": "7"}, None),
        ({"type": "STOP_MARKET", "stopPrice": "9", "price": ""}, None),
        ({"type": "STOP_MARKET", "stopPrice": "9", "closePosition": "true", "quantity": "",
          "price": ""}, None),
        ({"type": "TRAILING_STOP_MARKET", "callbackRate": "1"}, None),
        # What sets the price aside, or nobody knows.
        ({"pegPriceType": "QUEUE_1"}, None),
        ({"closePosition": "true"}, None),
        ({"quoteOrderQty": "1"}, None),
        ({"brandNew": "1"}, None),
        ({"type": "limit"}, None),
        ({"type": ""}, None),
        ({"symbol": "USDT"}, None),
        ({"symbol": "BTCEUR"}, None),
        ({"symbol": "btcusdt"}, None),
        ({"symbol": ""}, None),
        ({"quantity": ""}, None),
        ({"price": "-1"}, None),
        ({"price": "0"}, None),
        ({"price": "1e5"}, None),
        ({"price": "NaN"}, None),
        ({"price": " 1"}, None),
    ],
)  # fmt: skip
def test_an_order_at_aster(changes: dict[str, str], expected: object) -> None:
    """A limited order costs quantity times price, in what its symbol ends in."""
    assert expected == aster_order(**changes)


@pytest.mark.parametrize(
    ("batch", "expected"),
    [
        (BATCH, ("101.00000000", "USDT")),
        (BATCH[:1], ("100.00000000", "USDT")),
        ([*BATCH, BATCH[0] | {"type": "MARKET"}], None),
        ([*BATCH, BATCH[0] | {"symbol": "BTCUSDC"}], None),
        ([*BATCH, None], None),
        ([], None),
        ({}, None),
        ("", None),
    ],
)
def test_a_batch_at_aster(batch: object, expected: object) -> None:
    """The sum of its orders, where all of them have a price in one currency."""
    order = {"batchOrders": json.dumps(batch)}
    assert expected == aster(order, "/fapi/v3/batchOrders")
    assert aster(order | {"more": "1"}, "/fapi/v3/batchOrders") is None


@pytest.mark.parametrize("text", ["[{'symbol':'BTCUSDT'}]", "[", '[{"a":1,"a":2}]', "[" * 99])
def test_a_batch_that_is_no_json_has_no_price(text: str) -> None:
    """Aster's own samples write single quotes; what Aster makes of them is not documented."""
    assert aster({"batchOrders": text}, "/fapi/v3/batchOrders") is None


@pytest.mark.parametrize(
    ("method", "path", "parameters", "expected"),
    [
        (
            "PUT",
            "/fapi/v3/order",
            {"symbol": "BTCUSDT", "orderId": "7", "quantity": "2", "price": "3"},
            ("6.00000000", "USDT"),
        ),
        ("PUT", "/fapi/v3/order", {"symbol": "BTCUSDT", "orderId": "7", "price": "3"}, None),
        (
            "PUT",
            "/fapi/v3/batchOrders",
            {"batchOrders": '[{"symbol":"AUSDT","orderId":"7","quantity":"2","price":"3"}]'},
            ("6.00000000", "USDT"),
        ),
        ("POST", "/fapi/v3/chase", {"symbol": "BTCUSDT", "quantityUnit": "QUOTE"}, None),
        ("POST", "/fapi/v3/placeStrategyOrder", {"strategyType": "OCO"}, None),
        ("POST", "/api/v3/prediction/mint", {"symbol": "AUSDT", "quantity": "1"}, None),
        ("POST", "/fapi/v3/leverage", {"symbol": "BTCUSDT"}, ("0.00000000", "")),
        ("POST", "/fapi/v3/stpMode", {"stpMode": "EXPIRE_BOTH"}, ("0.00000000", "")),
        ("DELETE", "/fapi/v3/order", {"symbol": "BTCUSDT"}, ("0.00000000", "")),
        ("POST", "/fapi/v3/noop", {}, ("0.00000000", "")),
        ("POST", "/fapi/v3/asset/wallet/transfer", {"amount": "1"}, None),
        ("POST", "/fapi/v3/brandNew", {}, None),
    ],
)
def test_a_request_to_aster(
    method: str, path: str, parameters: dict[str, str], expected: object
) -> None:
    """What is amended costs as if it were new."""
    text = urlencode(parameters, quote_via=quote)
    assert expected == priced("aster-v3", method, path, text.encode())


@pytest.mark.parametrize(
    ("venue", "method", "path"),
    [
        ("nebulaex", "GET", "/api/v2/backend/account/balances"),
        ("nebulaex", "POST", "/api/v2/trading/market/orders"),
        ("kiiex", "POST", "/ap/GetOpenOrders"),
        ("kiiex", "POST", "/ap/SendOrder"),
    ],
)
def test_a_signature_that_binds_no_request_has_no_price(venue: str, method: str, path: str) -> None:
    """Whoever holds it may send any order."""
    assert priced(venue, method, path) is None
    assert not prices_orders(VENUES.get(venue))


def test_a_venue_without_prices_has_none() -> None:
    """Its reads cost nothing, its trades are not known to."""

    class Plain:
        coverage = VENUES.get("whitebit").coverage

    read, trade = (Operation(tag, "GET", "/x", (tag,)) for tag in ("read", "trade"))
    request = HttpRequest("GET", "/x")
    assert price(Plain(), read, request) == NOTHING  # type: ignore[arg-type]
    assert price(Plain(), trade, request) is None  # type: ignore[arg-type]


def test_every_trade_is_priced_or_refused_without_a_parameter() -> None:
    """No request of a table is cheap because it says nothing: only settings cost nothing."""
    free = set()
    for venue in VENUES:
        if not prices_orders(venue):
            continue
        for each in venue.operations:
            request = HttpRequest(each.method, each.path, json={})
            found = price(venue, each, request)
            assert found in (None, NOTHING)
            if found == NOTHING and "trade" in each.tags and "cancel" not in each.tags:
                free.add(each.path.partition("/v")[2].partition("/")[2])
    assert free == {
        "leverage",
        "marginType",
        "positionMargin",
        "positionSide/dual",
        "multiAssetsMargin",
        "stpMode",
        "mmp",
        "mmpReset",
        "collateral-account/leverage",
        "collateral-account/hedge-mode/update",
    }


@given(decimals, decimals)
def test_a_product_is_exact_and_rounded_up(one: str, other: str) -> None:
    """As decimals have it, whatever the digits; in units of 10^-8."""
    with localcontext() as context:
        context.prec = 100
        exact = Decimal(one) * Decimal(other) * UNITS
        expected = int(exact.to_integral_value(ROUND_CEILING))
    found = notional("USDT", one, other)
    if expected == 0 or expected >= 2**63:
        assert found is None
    else:
        assert found == Notional(expected, "USDT")


@given(st.lists(st.tuples(decimals, decimals), min_size=1, max_size=6))
def test_a_sum_is_that_of_its_parts(orders: list[tuple[str, str]]) -> None:
    """Each part rounded up; None where one has no price."""
    parts = [notional("USDT", *each) for each in orders]
    found = total(parts)
    if None in parts:
        assert found is None
    else:
        assert found == Notional(sum(each.amount for each in parts if each), "USDT")


@given(st.text(max_size=12) | st.none() | st.booleans() | st.lists(st.text(), max_size=2))
def test_a_text_that_is_no_plain_decimal_has_no_price(text: object) -> None:
    """What Python's Decimal takes and a venue may not is no number here."""
    found = notional("USDT", text)  # type: ignore[arg-type]
    if found is not None:
        assert isinstance(text, str)
        assert set(text) <= set("0123456789.")
        assert Decimal(text) > 0


def test_no_price_without_a_currency() -> None:
    """A number of what, else?"""
    assert notional("", "1", "1") is None


def test_a_price_has_an_upper_bound() -> None:
    """2^63 units; above, limits could not count it."""
    most = str(Decimal(2**63 - 1) / UNITS)
    assert notional("USDT", most) == Notional(2**63 - 1, "USDT")
    assert notional("USDT", most, "1.00000001") is None
    assert total([notional("USDT", most), notional("USDT", "0.00000001")]) is None
