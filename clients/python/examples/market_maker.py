"""A market maker in small: each round places a bid and an ask around a mid price, and cancels
both.
"""

import asyncio
import os
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx

from privyseal import AsyncClient, PrivysealError, RequestRefused, Tls
from privyseal.httpx import AsyncSigningTransport

MARKET = "BTC_USDT"
MID = Decimal(40_000)
HALF_SPREAD = Decimal("12.5")


class Venue:
    """WhiteBIT, as far as it is needed here."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def place(self, side: str, price: Decimal) -> int:
        """Return the id of a new limit order."""
        order = {"market": MARKET, "side": side, "amount": "0.010", "price": str(price)}
        order_id = int((await self._post("/api/v4/order/new", order))["orderId"])
        print(f"{side} 0.010 {MARKET} at {price}: order {order_id}")
        return order_id

    async def cancel(self, order_id: int) -> None:
        """Cancel an order."""
        await self._post("/api/v4/order/cancel", {"market": MARKET, "orderId": order_id})

    async def _post(self, path: str, content: dict[str, Any]) -> dict[str, Any]:
        answer = await self._http.post(path, json=content)
        answer.raise_for_status()
        result: dict[str, Any] = answer.json()
        return result


async def main() -> int:
    """Return the exit code."""
    tls = Path(os.environ["PRIVYSEAL_TLS"])
    files = Tls(tls / "ca.pem", tls / "client.pem", tls / "client-key.pem")
    placed = cancelled = 0
    async with AsyncClient(os.environ["PRIVYSEAL_TARGET"], tls=files) as client:
        transport = AsyncSigningTransport(client, "keys/whitebit-main")
        async with httpx.AsyncClient(transport=transport, base_url=os.environ["VENUE_URL"]) as http:
            venue = Venue(http)
            try:
                for number in range(int(os.environ.get("ROUNDS", "3"))):
                    mid = MID + number
                    # One after the other: the venue wants each nonce above the one before.
                    orders = [
                        await venue.place("buy", mid - HALF_SPREAD),
                        await venue.place("sell", mid + HALF_SPREAD),
                    ]
                    placed += len(orders)
                    for order_id in orders:
                        await venue.cancel(order_id)
                        cancelled += 1
            except (PrivysealError, RequestRefused, httpx.HTTPError) as error:
                print(f"stopped: {error}", file=sys.stderr)
                return 1
    print(f"{placed} orders placed, {cancelled} cancelled")
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
