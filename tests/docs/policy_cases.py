"""What the example policies must say: a table for each."""

from dataclasses import dataclass

MAKER = "spiffe://trading.example.com/market-maker"
TREASURY = "spiffe://trading.example.com/treasury"
REPORTER = "jwt:cluster/system:serviceaccount:reporting:nightly"
STRANGER = "spiffe://trading.example.com/stranger"

# A Monday and a Sunday.
MONDAY, SUNDAY = "2025-06-02", "2025-06-01"
COLD = "0x52908400098527886E0F7030069857D2E4169EE7"


@dataclass(frozen=True, slots=True)
class Case:
    """A wish, and what is said to it: `+RULE` allowed by it, `-RULE` denied by it, `-` denied
    because no rule allows it. `wish` is an action, or a method and a path.
    """

    caller: str
    key: str
    venue: str
    wish: str
    expected: str
    body: str = ""
    at: str = f"{MONDAY}T10:00:00Z"
    shadow: str = ""


def order(market: str = "BTC_USDT", amount: str = '"1"', more: str = "") -> str:
    """Return a limit order of WhiteBIT."""
    return f'{{"market":"{market}","side":"buy","amount":{amount},"price":"60000"{more}}}'


def v3_order(symbol: str = "BTCUSDT", quantity: str = "1", kind: str = "LIMIT") -> str:
    """Return an order of Aster."""
    return f"symbol={symbol}&side=BUY&type={kind}&quantity={quantity}&price=60000&timeInForce=GTC"


def withdrawal(
    ticker: str = "USDT",
    amount: str = '"50000"',
    address: str = COLD,
    network: str = "ERC20",
    more: str = "",
) -> str:
    """Return a withdrawal of WhiteBIT."""
    return (
        f'{{"ticker":"{ticker}","amount":{amount},"address":"{address}",'
        f'"network":"{network}","uniqueId":"1"{more}}}'
    )


def _maker(wish: str, expected: str, body: str = "", caller: str = MAKER, shadow: str = "") -> Case:
    return Case(
        caller, "mm-whitebit", "whitebit", f"POST /api/v4/{wish}", expected, body, shadow=shadow
    )


def _v3(wish: str, expected: str, body: str = "", key: str = "mm-aster") -> Case:
    method, path = wish.split(" ")
    return Case(MAKER, key, "aster-v3", f"{method} /fapi/v3/{path}", expected, body)


_FUNDS = "-mm-keys-move-no-funds"
_ORDERS, _CANCELS = "+mm-orders-whitebit", "+mm-cancels-and-reads"

MARKET_MAKER = (
    _maker("order/new", _ORDERS, order()),
    _maker("order/new", _ORDERS, order(amount='"2.000"')),
    _maker("order/new", _ORDERS, order(amount="2")),
    _maker("order/new", _ORDERS, order("ETH_USDT", '"30"')),
    _maker("order/new", "-", order(amount='"2.0000000000000000001"')),
    _maker("order/new", "-", order(amount="2.0000000000000000001")),
    _maker("order/new", "-", order("ETH_USDT", '"31"')),
    _maker("order/new", "-", order("DOGE_USDT")),
    _maker("order/new", "-", order(amount='"NaN"')),
    _maker("order/new", "-", '{"market":"BTC_USDT","side":"buy","price":"60000"}'),
    _maker("order/new", "-", order(), caller=STRANGER),
    _maker("order/market", "-", order()),
    _maker("order/cancel", _CANCELS, '{"market":"DOGE_USDT","orderId":1}'),
    _maker("order/cancel/all", _CANCELS),
    _maker("orders", _CANCELS, '{"market":"BTC_USDT"}'),
    _maker("trade-account/balance", _CANCELS),
    _maker("trade-account/balance", "-", caller=STRANGER),
    _maker("main-account/withdraw", _FUNDS, withdrawal()),
    _maker("main-account/withdraw", _FUNDS, withdrawal(), caller=TREASURY),
    _maker("main-account/Withdraw.json/", _FUNDS, withdrawal()),
    _maker("main-account/transfer", _FUNDS),
    _maker("sub-account/api-key/create", _FUNDS),
    _maker("brand/new", "-"),
    _maker("order/bulk", "-", f'{{"orders":[{order()}]}}', shadow="mm-bulk-orders-whitebit"),
    _maker("order/bulk", "-", f'{{"orders":[{order()},{order(amount="3")}]}}'),
    _v3("POST order", "+mm-orders-aster", v3_order()),
    _v3("POST order", "+mm-orders-aster", v3_order() + "&newClientOrderId=a1"),
    _v3("POST order", "-", v3_order(quantity="2.1")),
    _v3("POST order", "-", v3_order(quantity="3") + "&newClientOrderId=a1"),
    _v3("POST order", "-", v3_order("DOGEUSDT")),
    _v3("POST order", "-", v3_order(kind="MARKET")),
    _v3("POST order?" + v3_order(), "-"),
    _v3("POST order", _FUNDS, v3_order() + "&amount=1&receiver=0xabc"),
    _v3("DELETE order?symbol=BTCUSDT&orderId=1", _CANCELS),
    _v3("GET openOrders?symbol=BTCUSDT", _CANCELS),
    _v3("POST leverage", "-", "symbol=BTCUSDT&leverage=100"),
    _v3("POST order", "-", v3_order(), key="desk-aster"),
    Case(MAKER, "mm-whitebit", "whitebit", "login", "-"),
    Case(MAKER, "mm-whitebit", "whitebit", "delete-key", "-"),
)


def _treasury(
    wish: str,
    expected: str,
    body: str = "",
    caller: str = TREASURY,
    at: str = f"{MONDAY}T10:00:00Z",
) -> Case:
    return Case(caller, "treasury-whitebit", "whitebit", f"POST /api/v4/{wish}", expected, body, at)


_WITHDRAW, _PAYS = "main-account/withdraw", "+treasury-withdraws-usdt"
_ALONE, _FUNDING = "-only-treasury-moves-funds", "+treasury-funds-trading"

TREASURY_DESK = (
    _treasury(_WITHDRAW, _PAYS, withdrawal()),
    _treasury(_WITHDRAW, _PAYS, withdrawal(amount="50000")),
    _treasury(_WITHDRAW, _PAYS, withdrawal(address="0x8617E340B3D01FA5F11F306F4090FD50E238070D")),
    _treasury(_WITHDRAW, "-", withdrawal(address="0x000000000000000000000000000000000000dEaD")),
    _treasury(_WITHDRAW, "-", withdrawal(address=COLD.lower())),
    _treasury(_WITHDRAW, "-", withdrawal(amount='"50000.00000001"')),
    _treasury(_WITHDRAW, "-", withdrawal(ticker="BTC")),
    _treasury(_WITHDRAW, "-", withdrawal(network="TRC20")),
    _treasury(_WITHDRAW, "-", withdrawal(more=',"memo":"7"')),
    _treasury(_WITHDRAW, "-", withdrawal(more=',"beneficiary":{}')),
    _treasury(_WITHDRAW, "-", "{}"),
    _treasury(_WITHDRAW, "-", withdrawal(), at=f"{MONDAY}T07:59:59Z"),
    _treasury(_WITHDRAW, _PAYS, withdrawal(), at=f"{MONDAY}T16:59:59Z"),
    _treasury(_WITHDRAW, "-", withdrawal(), at=f"{MONDAY}T17:00:00Z"),
    _treasury(_WITHDRAW, "-", withdrawal(), at=f"{SUNDAY}T10:00:00Z"),
    _treasury(_WITHDRAW, _ALONE, withdrawal(), caller=MAKER),
    _treasury("main-account/withdraw-pay", "-", withdrawal()),
    _treasury("main-account/codes", "-"),
    _treasury(
        "main-account/transfer",
        _FUNDING,
        '{"ticker":"USDT","amount":"1","from":"main","to":"spot"}',
    ),
    _treasury(
        "main-account/transfer", "-", '{"ticker":"USDT","amount":"1","from":"main","to":"x"}'
    ),
    _treasury("main-account/transfer", _ALONE, "{}", caller=MAKER),
    _treasury("sub-account/api-key/create", "-treasury-keys-make-no-keys"),
    _treasury("main-account/balance", "+treasury-reads"),
    _treasury("main-account/balance", "-", caller=MAKER),
    _treasury("order/new", "-", order()),
    Case(TREASURY, "mm-whitebit", "whitebit", f"POST /api/v4/{_WITHDRAW}", "-", withdrawal()),
    Case(TREASURY, "treasury-whitebit", "whitebit", "read-key", "+treasury-reads"),
)


def _reporter(venue: str, wish: str, expected: str, caller: str = REPORTER) -> Case:
    return Case(caller, f"any-{venue}", venue, wish, expected)


_NOTHING_ELSE = "-reporter-only-reads"

REPORTING_JOB = (
    _reporter("whitebit", "POST /api/v4/main-account/balance", "+reporter-reads"),
    _reporter("whitebit", "POST /api/v4/orders", "+reporter-reads"),
    _reporter("whitebit", "read-key", "+reporter-lists-keys"),
    _reporter("aster", "read-key", "+reporter-lists-keys"),
    _reporter("whitebit", "POST /api/v4/order/new", _NOTHING_ELSE),
    _reporter("whitebit", "POST /api/v4/order/cancel", _NOTHING_ELSE),
    _reporter("whitebit", "POST /api/v4/main-account/withdraw", _NOTHING_ELSE),
    _reporter("whitebit", "POST /api/v4/profile/websocket_token", _NOTHING_ELSE),
    _reporter("whitebit", "POST /api/v4/brand/new", _NOTHING_ELSE),
    _reporter("whitebit", "login", _NOTHING_ELSE),
    _reporter("whitebit", "import-key", _NOTHING_ELSE),
    _reporter("whitebit", "create-hold", "-"),
    _reporter("aster", "GET /fapi/v1/openOrders?symbol=BTCUSDT", "-"),
    _reporter("nebulaex", "GET /api/v2/backend/account/balances", "-"),
    _reporter("whitebit", "read-key", "-", caller="jwt:cluster/system:serviceaccount:other:x"),
    _reporter("whitebit", "POST /api/v4/main-account/balance", "-", caller=STRANGER),
)

CASES = {
    "market-maker.yaml": MARKET_MAKER,
    "treasury.yaml": TREASURY_DESK,
    "reporter.yaml": REPORTING_JOB,
}
