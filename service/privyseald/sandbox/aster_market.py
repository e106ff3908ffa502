"""What Aster's endpoints answer once a request is let in: little, but of the right shape."""

from collections.abc import Mapping

from privyseald.sandbox.json_text import Json

_PUBLIC = frozenset(
    {
        "aggTrades",
        "depth",
        "exchangeInfo",
        "fundingInfo",
        "fundingRate",
        "indexPriceKlines",
        "klines",
        "markPriceKlines",
        "ping",
        "premiumIndex",
        "time",
        "trades",
    }
)


def is_public(endpoint: str) -> bool:
    """Whether anyone may ask."""
    return endpoint in _PUBLIC or endpoint.startswith("ticker/")


def result(endpoint: str, method: str, values: Mapping[str, str], now_us: int) -> Json:
    """Return what the endpoint answers."""
    match endpoint:
        case "time":
            return {"serverTime": now_us // 1_000}
        case "balance":
            return [{"asset": "USDT", "balance": "1000.0", "availableBalance": "1000.0"}]
        case "listenKey":
            return {"listenKey": "sandbox-listen-key"} if method == "POST" else {}
        case "order":
            return {
                "orderId": now_us,
                "symbol": values.get("symbol"),
                "side": values.get("side"),
                "type": values.get("type"),
                "origQty": values.get("quantity"),
                "price": values.get("price"),
                "status": "CANCELED" if method == "DELETE" else "NEW",
            }
        case "openOrders" | "positionRisk" | "userTrades" | "allOrders" | "batchOrders":
            return []
        case _:
            return {}
