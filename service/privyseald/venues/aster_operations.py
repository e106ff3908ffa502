"""What Aster's APIs take, V1 and V3, with the parameters without which each is refused.

A signature binds parameters alone, so `required` decides what else it could be used for. Of what
moves funds or makes keys, fewer are stated than documented: a parameter with a default must not
open a way. Cancels that `symbol` is enough for state none: see docs/venues.md for what remains.

Sources: asterdex/api-docs (04e31e0, 105f821) V1(Legacy)/EN and V3(Recommended)/EN, futures, spot
and prediction; demo/aster-deposit-withdrawal.md (98a180b); demo/aster-code.py (0401110);
ccxt 4.5.90 aster.
"""

from privyseald.venues.venue import Operation

_ORDER = ("symbol", "side", "type")
_TRANSFER = ("amount", "asset", "kindType")
_WITHDRAW = ("amount", "receiver")


def _requests(
    name: str, root: str, tags: str, *requests: str, required: tuple[str, ...] = ()
) -> tuple[Operation, ...]:
    return tuple(
        Operation(
            f"{name} {request}".strip().lower(),
            method,
            f"{root}/{path}",
            tuple(tags.split()),
            required,
        )
        for request in requests
        for method, path in (request.split(" "),)
    )


def _common(name: str, root: str) -> tuple[Operation, ...]:
    """Return what futures take in both versions."""
    return (
        *_requests(name, root, "trade", "POST order", required=_ORDER),
        *_requests(name, root, "trade", "POST order/test"),
        *_requests(name, root, "trade", "POST batchOrders", required=("batchOrders",)),
        *_requests(name, root, "trade", "POST leverage", required=("symbol", "leverage")),
        *_requests(name, root, "trade", "POST marginType", required=("symbol", "marginType")),
        *_requests(
            name, root, "trade", "POST positionMargin", required=("symbol", "amount", "type")
        ),
        *_requests(name, root, "trade", "POST positionSide/dual", required=("dualSidePosition",)),
        *_requests(name, root, "trade", "POST multiAssetsMargin", required=("multiAssetsMargin",)),
        *_requests(name, root, "trade cancel", "DELETE order", "DELETE allOpenOrders"),
        *_requests(name, root, "trade cancel", "DELETE batchOrders"),
        *_requests(
            name,
            root,
            "trade cancel",
            "POST countdownCancelAll",
            required=("symbol", "countdownTime"),
        ),
        *_requests(name, root, "read", "GET order", "GET openOrder", "GET openOrders"),
        *_requests(name, root, "read", "GET allOrders", "GET balance", "GET account"),
        *_requests(name, root, "read", "GET positionRisk", "GET userTrades", "GET income"),
        *_requests(name, root, "read", "GET leverageBracket", "GET commissionRate"),
        *_requests(name, root, "read", "GET positionSide/dual", "GET multiAssetsMargin"),
        *_requests(name, root, "read", "GET positionMargin/history", "GET adlQuantile"),
        *_requests(name, root, "read", "GET forceOrders", "GET historicalTrades"),
        *_requests(name, root, "read", "POST listenKey", "PUT listenKey", "DELETE listenKey"),
        *_requests(name, root, "transfer", "POST asset/wallet/transfer", required=_TRANSFER),
    )


def _spot(name: str, root: str) -> tuple[Operation, ...]:
    """Return what spot takes in both versions."""
    return (
        *_requests(name, root, "trade", "POST order", required=_ORDER),
        *_requests(name, root, "trade", "POST batchOrders", required=("batchOrders",)),
        *_requests(name, root, "trade cancel", "DELETE order", "DELETE allOpenOrders"),
        *_requests(name, root, "trade cancel", "DELETE batchOrders"),
        *_requests(name, root, "read", "GET order", "GET openOrder", "GET openOrders"),
        *_requests(name, root, "read", "GET allOrders", "GET account", "GET userTrades"),
        *_requests(name, root, "read", "GET commissionRate", "GET transactionHistory"),
        *_requests(name, root, "read", "GET historicalTrades", "GET aster/withdraw/estimateFee"),
        *_requests(name, root, "read", "POST listenKey", "PUT listenKey", "DELETE listenKey"),
        *_requests(name, root, "transfer", "POST asset/wallet/transfer", required=_TRANSFER),
        # To another user's account.
        *_requests(
            name,
            root,
            "transfer",
            "POST asset/sendToAddress",
            required=("amount", "asset", "toAddress"),
        ),
        *_withdrawals(name, root),
    )


def _withdrawals(name: str, root: str) -> tuple[Operation, ...]:
    # `userSignature` is required of EVM users only, and of Solana's not yet.
    return _requests(
        name,
        root,
        "withdrawal",
        "POST aster/user-withdraw",
        "POST aster/user-solana-withdraw",
        required=_WITHDRAW,
    )


V1 = (
    *_common("", "/fapi/v1"),
    *_requests("v2", "/fapi/v2", "read", "GET balance", "GET account", "GET positionRisk"),
    *_requests("v4", "/fapi/v4", "read", "GET account"),
    # The futures' withdrawals carry no version in V1.
    *_withdrawals("", "/fapi"),
    *_requests("", "/fapi", "read", "POST aster/user-withdraw-info"),
    *_requests("", "/fapi", "read", "POST aster/deposit-withdraw-history"),
    *_spot("spot", "/api/v1"),
    *_requests(
        "spot",
        "/api/v1",
        "key-management",
        "POST createApiKey",
        required=("userOperationType", "userSignature"),
    ),
)

_FUTURES = "/fapi/v3"
_NAME = "fapi/v3"

V3 = (
    *_common(_NAME, _FUTURES),
    # Either `orderId` or `origClientOrderId` must be sent: both end in the same letters.
    *_requests(
        _NAME, _FUTURES, "trade", "PUT order", required=("symbol", "quantity", "price", "orderId")
    ),
    *_requests(_NAME, _FUTURES, "trade", "PUT batchOrders", required=("batchOrders",)),
    *_requests(_NAME, _FUTURES, "trade", "POST chase", required=("symbol", "side", "quantityUnit")),
    *_requests(
        _NAME,
        _FUTURES,
        "trade",
        "POST placeStrategyOrder",
        required=("strategyType", "subOrderList"),
    ),
    *_requests(
        _NAME,
        _FUTURES,
        "trade",
        "POST updateStrategyOrder",
        required=("strategyId", "subOrderList"),
    ),
    *_requests(_NAME, _FUTURES, "trade", "POST stpMode", required=("stpMode",)),
    *_requests(
        _NAME, _FUTURES, "trade", "POST mmp", required=("symbol", "windowTimeInMilliseconds")
    ),
    *_requests(_NAME, _FUTURES, "trade", "DELETE mmp", "POST mmpReset"),
    *_requests(_NAME, _FUTURES, "trade cancel", "DELETE guardedCancelOrder"),
    *_requests(_NAME, _FUTURES, "trade cancel", "DELETE guardedBatchOrders"),
    *_requests(_NAME, _FUTURES, "cancel", "POST noop"),
    *_requests(_NAME, _FUTURES, "read", "GET accountWithJoinMargin", "GET stpMode", "GET mmp"),
    *_requests(_NAME, _FUTURES, "read", "GET strategyOpenOrder", "GET strategyHistoryOrder"),
    *_requests(_NAME, _FUTURES, "read", "GET agent", "GET builder", "GET getSubAccountList"),
    *_requests(_NAME, _FUTURES, "read", "GET asset/migrateUser/history"),
    *_requests(_NAME, _FUTURES, "read", "GET announcement/direct", "GET announcement/directById"),
    *_requests(_NAME, _FUTURES, "read", "GET builder/userAccounts", "GET builder/userOpenOrders"),
    *_requests(_NAME, _FUTURES, "read", "GET builder/userBalances", "GET builder/userTrades"),
    *_requests(_NAME, _FUTURES, "read", "GET builder/userPositionRisk"),
    *_requests(_NAME, _FUTURES, "read", "GET builder/userCommissionRates"),
    *_requests(_NAME, _FUTURES, "read", "GET builder/userAllOrders"),
    *_requests(_NAME, _FUTURES, "read", "GET builder/approvedUserList"),
    *_requests(_NAME, _FUTURES, "read", "POST aster/user-withdraw-info"),
    *_requests(_NAME, _FUTURES, "read", "POST aster/deposit-withdraw-history"),
    *_withdrawals(_NAME, _FUTURES),
    *_requests(
        _NAME,
        _FUTURES,
        "transfer",
        "POST subAccountTransfer",
        required=("amount", "asset", "toAccountAddress"),
    ),
    # Takes all of an account's assets to another; `user` and `nonce` are all that it needs.
    *_requests(_NAME, _FUTURES, "transfer", "POST asset/migrateUser"),
    *_requests(
        _NAME,
        _FUTURES,
        "key-management",
        "POST approveAgent",
        "POST updateAgent",
        "DELETE agent",
        "POST registerAndApproveAgent",
        required=("agentAddress",),
    ),
    # Orders name a builder, too; but these are documents of another form, on chain 56.
    *_requests(
        _NAME,
        _FUTURES,
        "key-management",
        "POST approveBuilder",
        "POST updateBuilder",
        required=("builder", "maxFeeRate"),
    ),
    *_requests(_NAME, _FUTURES, "key-management", "DELETE builder"),
    *_requests(
        _NAME,
        _FUTURES,
        "key-management",
        "POST createSubAccount",
        "POST updateSubAccount",
        required=("subSourceAddr",),
    ),
    *_requests(
        _NAME, _FUTURES, "key-management", "POST sub-accounts/bind", required=("childAddress",)
    ),
    *_spot("api/v3", "/api/v3"),
    # On a SUI address of the account's own.
    *_requests("api/v3", "/api/v3", "deposit read", "GET aster/user-deposit-address"),
    *_requests("api/v3", "/api/v3", "trade", "POST prediction/mint", "POST prediction/burn"),
    *_requests("api/v3", "/api/v3", "read", "GET prediction/positions"),
    *_requests("api/v3", "/api/v3", "read", "GET prediction/positionHistories"),
    *_requests("api/v3", "/api/v3", "read", "GET prediction/settlementHistories"),
)


def _of_v3(method: str, path: str) -> Operation:
    return next(each for each in V3 if (each.method, each.path) == (method, f"{_FUTURES}/{path}"))


# By the primary type of the document that the main wallet signs for each.
DOCUMENTS = {
    "approveagent": _of_v3("POST", "approveAgent"),
    "updateagent": _of_v3("POST", "updateAgent"),
    "delagent": _of_v3("DELETE", "agent"),
    "approvebuilder": _of_v3("POST", "approveBuilder"),
    "updatebuilder": _of_v3("POST", "updateBuilder"),
    "delbuilder": _of_v3("DELETE", "builder"),
    "userassetmigrate": _of_v3("POST", "asset/migrateUser"),
}
REGISTER_AGENT = _of_v3("POST", "registerAndApproveAgent")
WITHDRAW = _of_v3("POST", "aster/user-withdraw")
