"""What WhiteBIT's private API takes. All of it is POST.

What puts funds where they earn, or out of reach, counts as a transfer. A token that opens
another door is as good as what lies behind it: the one for the WebSocket trades.

Sources: whitebit-exchange/docs openapi/private/*.yaml, api-reference/**/*.mdx and
snippets/signer-fields-data.jsx (2f6d304), asyncapi/private/order_limit_place.yaml; ccxt 4.5.90
whitebit.
"""

from privyseald.venues.venue import Operation


def _operations(tags: str, *paths: str) -> tuple[Operation, ...]:
    return tuple(Operation(path, "POST", f"/api/v4/{path}", tuple(tags.split())) for path in paths)


def _old(tags: str, *paths: str) -> tuple[Operation, ...]:
    return tuple(
        Operation(f"v1/{path}", "POST", f"/api/v1/{path}", tuple(tags.split())) for path in paths
    )


OPERATIONS = (
    *_operations(
        "read",
        "main-account/balance",
        "main-account/withdrawable-balance",
        "main-account/history",
        "main-account/refund-history",
        "main-account/transfer/history",
        "main-account/fee",
        "main-account/codes/my",
        "main-account/codes/history",
        "main-account/smart/plans",
        "main-account/smart/investments",
        "main-account/smart/interest-payment-history",
        "main-account/smart-flex/plans",
        "main-account/smart-flex/investments",
        "main-account/smart-flex/investments/history",
        "main-account/smart-flex/investments/payment-history",
        "trade-account/balance",
        "trade-account/executed-history",
        "trade-account/order",
        "trade-account/order/history",
        "trade-account/order/history/query",
        "orders",
        "order/kill-switch/status",
        "market/fee",
        "market/fee/single",
        "collateral-account/balance",
        "collateral-account/balance-summary",
        "collateral-account/summary",
        "collateral-account/positions/open",
        "collateral-account/positions/history",
        "collateral-account/positions/closed-pnl",
        "collateral-account/funding-history",
        "collateral-account/hedge-mode",
        "collateral-account/adl-quantile",
        "oco-orders",
        "conditional-orders",
        "convert/history",
        "sub-account/list",
        "sub-account/balances",
        "sub-account/transfer/history",
        "sub-account/withdraw/unconfirmed-list",
        "credit-line/loans/info",
        "mining/rewards",
        "mining/hashrate",
        "mining/payout-destination",
        "mining/miners/info",
        "mining/workers/names",
        "mining/workers/hashrate",
        "mining/watcher-links/list",
        "mining/accounts",
        "travel-rule/vasps",
        "aml/checks/assets",
        "aml/checks/result",
        "aml/checks/history",
    ),
    *_operations(
        "trade",
        "order/new",
        "order/market",
        "order/stock_market",
        "order/stop_limit",
        "order/stop_market",
        "order/bulk",
        "order/modify",
        "order/collateral/limit",
        "order/collateral/market",
        "order/collateral/bulk",
        "order/collateral/stop-limit",
        "order/collateral/trigger-market",
        "order/collateral/oco",
        "collateral-account/leverage",
        "collateral-account/hedge-mode/update",
        "convert/estimate",
        "convert/confirm",
        "convert/auto-confirm",
    ),
    # A trade at the market; `cancel` would let it be free of charge and of `@trading`.
    *_operations("trade close", "collateral-account/position/close"),
    # Its WebSocket takes orders too.
    *_operations("trade session", "profile/websocket_token"),
    *_operations(
        "trade cancel",
        "order/cancel",
        "order/cancel/all",
        "order/cancel/bulk",
        "order/conditional-cancel",
        "order/oco-cancel",
        "order/oto-cancel",
        "order/kill-switch",
    ),
    *_operations(
        "deposit read",
        "main-account/address",
        "main-account/create-new-address",
        "main-account/fiat-deposit-url",
    ),
    *_operations("deposit", "travel-rule/deposit/verification"),
    *_operations(
        "withdrawal",
        "main-account/withdraw",
        "main-account/withdraw-pay",
        "main-account/codes",
        # To an address that the request names.
        "main-account/refund-deposit",
        "mining/payout-destination/edit",
        "sub-account/withdraw/confirm",
    ),
    # Makes a card a target of withdrawals.
    Operation("card-token", "POST", "/api/card-token", ("withdrawal",)),
    *_operations(
        "transfer",
        "main-account/transfer",
        "main-account/codes/apply",
        "main-account/express-withdraw/token",
        "main-account/smart/investment",
        "main-account/smart/investment/close",
        "main-account/smart-flex/investments/invest",
        "main-account/smart-flex/investments/withdraw",
        "main-account/smart-flex/investments/close",
        "main-account/smart-flex/investments/auto-invest",
        "sub-account/transfer",
        # Paid from the main balance.
        "aml/checks/create",
    ),
    *_operations(
        "key-management",
        "sub-account/create",
        "sub-account/edit",
        "sub-account/delete",
        "sub-account/block",
        "sub-account/unblock",
        "sub-account/kyc-url",
        "sub-account/api-key/list",
        "sub-account/api-key/create",
        "sub-account/api-key/edit",
        "sub-account/api-key/delete",
        "sub-account/api-key/reset",
        "sub-account/api-key/ip-address/list",
        "sub-account/api-key/ip-address/create",
        "sub-account/api-key/ip-address/delete",
        # For WhiteBIT's other services; what it opens is not documented.
        "jwt",
        "mining/accounts/create",
        "mining/watcher-links/create",
    ),
    *_old("read", "account/balance", "account/balances", "account/order", "orders"),
    *_old("read", "account/order_history", "account/executed_history"),
    *_old("read", "account/executed_history/all"),
    *_old("trade", "order/new"),
    *_old("trade cancel", "order/cancel"),
)
