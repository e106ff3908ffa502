"""The requests that generated ones are made of, as the venues document them."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from urllib.parse import quote

from policy.fuzz_case import Case


@dataclass(frozen=True, slots=True)
class Plain:
    """A request as a venue documents it. `in_body` says where its parameters stand."""

    method: str
    path: str
    pairs: tuple[tuple[str, object], ...] = ()
    in_body: bool = True


def _whitebit(path: str, **pairs: object) -> Plain:
    return Plain("POST", f"/api/v4/{path}", tuple(pairs.items()))


_ORDER = {"market": "BTC_USDT", "side": "buy", "amount": "0.5", "price": "9000"}
_TO = {"ticker": "USDT", "amount": "1", "address": "0xabc", "uniqueId": "24529045"}
_ASTER_ORDER = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "quantity": "1", "price": "9"}
_ASTER_OUT = {
    "chainId": "56",
    "asset": "USDT",
    "amount": "1",
    "fee": "0.3",
    "receiver": "0xabc",
    "userNonce": "1",
    "userSignature": "0xdef",
}
_BATCH = json.dumps([{**_ASTER_ORDER, "symbol": "ETHUSDT"}])


def _aster(version: str) -> tuple[Plain, ...]:
    def plain(method: str, path: str, pairs: dict[str, str], *, in_body: bool = False) -> Plain:
        return Plain(method, path.replace("#", version), tuple(pairs.items()), in_body)

    return (
        plain("POST", "/fapi/#/order", _ASTER_ORDER),
        plain("POST", "/fapi/#/order", _ASTER_ORDER, in_body=True),
        plain("POST", "/fapi/#/leverage", {"symbol": "BTCUSDT", "leverage": "5", "quantity": "1"}),
        plain("DELETE", "/fapi/#/order", {"symbol": "BTCUSDT", "orderId": "7"}),
        plain("DELETE", "/fapi/#/allOpenOrders", {"symbol": "BTCUSDT"}),
        plain("GET", "/fapi/#/openOrders", {"symbol": "BTCUSDT"}),
        plain("GET", "/fapi/#/balance", {}),
        plain("GET", "/fapi/#/account", {}),
        plain("POST", "/fapi/#/batchOrders", {"batchOrders": _BATCH}),
        plain(
            "POST",
            "/fapi/#/asset/wallet/transfer",
            {
                "asset": "USDT",
                "amount": "1",
                "clientTranId": "1",
                "kindType": "FUTURE_SPOT",
            },
        ),
        plain(
            "POST",
            "/api/#/asset/sendToAddress",
            {
                "asset": "USDT",
                "amount": "1",
                "toAddress": "0xabc",
            },
        ),
        plain(
            "POST", f"/{'fapi' if version == 'v1' else 'fapi/v3'}/aster/user-withdraw", _ASTER_OUT
        ),
        plain("POST", "/api/#/aster/user-withdraw", _ASTER_OUT, in_body=True),
        plain(
            "POST",
            "/api/#/createApiKey",
            {
                "desc": "x",
                "network": "56",
                "signature": "0x1",
                "sourceAddr": "0xabc",
            },
        ),
        plain(
            "POST",
            "/fapi/#/approveAgent",
            {
                "agentName": "a",
                "agentAddress": "0xabc",
                "canWithdraw": "true",
            },
        ),
        plain(
            "POST",
            "/fapi/#/placeStrategyOrder",
            {
                "strategyType": "OTOCO",
                "subOrderList": _BATCH,
            },
        ),
    )


PLAIN: dict[str, tuple[Plain, ...]] = {
    "whitebit": (
        _whitebit("order/new", **_ORDER),
        _whitebit("order/market", market="BTC_USDT", side="sell", amount="0.01"),
        _whitebit("order/stop_limit", **_ORDER, activation_price="1"),
        _whitebit("order/cancel", market="BTC_USDT", orderId=4180284841),
        _whitebit("order/cancel/all", market="BTC_USDT", type=["margin"]),
        _whitebit("orders", market="BTC_USDT", limit=50),
        _whitebit("trade-account/balance"),
        _whitebit("order/bulk", orders=[_ORDER, {**_ORDER, "market": "ETH_USDT"}]),
        _whitebit("convert/confirm", quoteId="4050"),
        _whitebit("main-account/withdraw", **_TO),
        _whitebit("main-account/withdraw-pay", **_TO),
        _whitebit("main-account/codes", ticker="ETH", amount="0.1"),
        _whitebit("main-account/transfer", ticker="USDT", amount="1", method="withdraw"),
        _whitebit("sub-account/transfer", id="8e6", direction="main_to_sub", amount="1"),
        _whitebit("sub-account/api-key/create", subAccountId="a", type="spot"),
    ),
    "aster": _aster("v1"),
    "aster-v3": _aster("v3"),
    "nebulaex": (
        Plain(
            "POST",
            "/api/v2/trading/market/orders",
            tuple({"market": "btcusdt", "side": "buy", "volume": "1", "price": "9"}.items()),
        ),
        Plain("GET", "/api/v2/backend/market/orders", (("market", "btcusdt"),), in_body=False),
        Plain("GET", "/api/v2/backend/account/balances"),
        Plain("POST", "/api/v2/trading/market/orders/12/cancel"),
        Plain(
            "POST",
            "/api/v2/backend/account/withdraws",
            tuple({"currency": "btc", "amount": "1", "beneficiary_id": 1, "otp": "1"}.items()),
        ),
        Plain("POST", "/api/v2/backend/account/beneficiaries", (("currency", "btc"),)),
        Plain("PATCH", "/api/v2/backend/account/beneficiaries/3/activate", (("pin", "1"),)),
        Plain("DELETE", "/api/v2/backend/account/beneficiaries/3"),
    ),
    "kiiex": (
        Plain(
            "POST",
            "/ap/SendOrder",
            tuple({"InstrumentId": 1, "OMSId": 1, "Quantity": "1", "Side": 0}.items()),
        ),
        Plain("POST", "/ap/CancelOrder", (("OrderId", 6500),)),
        Plain("POST", "/ap/GetOpenOrders", (("OMSId", 1), ("AccountId", 7))),
        Plain("GET", "/ap/GetUserInfo"),
        Plain(
            "POST",
            "/ap/CreateWithdrawTicket",
            tuple({"ProductId": 1, "Amount": "1", "AccountId": 7}.items()),
        ),
        Plain("POST", "/ap/TransferFunds", (("ProductId", 1), ("Amount", "5"))),
        Plain("POST", "/ap/AddUserAPIKey", (("Permissions", ["Withdraw"]),)),
        Plain("POST", "/ap/RemoveUserAPIKey", (("APIKey", "x"),)),
    ),
}


def straight(venue: str, policy: str, plain: Plain) -> Case:
    """Return a request as it is documented."""
    case = Case(venue, policy, plain.method, plain.path)
    texts = [(name, text_of(value)) for name, value in plain.pairs]
    if not plain.in_body or plain.method == "GET":
        return replace(case, query=tuple(texts))
    if venue.startswith("aster"):
        return replace(case, body=plain_form(texts).encode())
    return replace(case, body=json.dumps(dict(plain.pairs)).encode())


def text_of(value: object) -> str:
    """Return a parameter as a form has it."""
    return value if isinstance(value, str) else json.dumps(value)


def plain_form(pairs: Iterable[tuple[str, str]]) -> str:
    """Return a form with everything escaped once."""
    return "&".join(
        f"{quote(name, safe='')}={quote(value.encode('utf-8', 'surrogatepass'), safe='')}"
        for name, value in pairs
    )
