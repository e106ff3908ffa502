"""What NebulaEX takes: Peatio behind `backend`, order entry behind `trading`.

What is sensitive counts behind any service: where the gateway mounts Peatio and Barong beside
that is not documented.

Sources: nebulaecn/docs rest-api/account.md (2138a76), rest-api/trading.md (aa0767d) and
websocket.md; openware/barong app/api/v2/resource/*.rb (16f2959, 07c5716) for keys;
bitzlato/peatio app/api/v2/account/internal_transfers.rb (9b6b989).
"""

from privyseald.venues.venue import Operation

_ACCOUNT = "/api/v2/backend"
_TRADING = "/api/v2/trading"
_ANYWHERE = "/api/v2/{service}"


def _read(*rows: tuple[str, str]) -> tuple[Operation, ...]:
    return tuple(Operation(name, "GET", f"{_ACCOUNT}/{path}", ("read",)) for name, path in rows)


def _anywhere(tag: str, *rows: tuple[str, str, str]) -> tuple[Operation, ...]:
    return tuple(
        Operation(name, method, f"{_ANYWHERE}/{path}", (tag,)) for name, method, path in rows
    )


def _order(name: str, method: str, path: str, *more_tags: str) -> Operation:
    return Operation(f"order/{name}", method, f"{_TRADING}/market/{path}", ("trade", *more_tags))


OPERATIONS = (
    *_read(
        ("account/balances", "account/balances"),
        ("account/balance", "account/balances/{currency}"),
        ("account/pnl", "account/stats/pnl"),
        ("account/deposits", "account/deposits"),
        ("account/deposit", "account/deposits/{txid}"),
        ("account/withdraws", "account/withdraws"),
        ("account/withdraw-sums", "account/withdraws/sums"),
        ("account/transactions", "account/transactions"),
        ("account/beneficiaries", "account/beneficiaries"),
        ("account/beneficiary", "account/beneficiaries/{id}"),
        ("market/orders", "market/orders"),
        ("market/order", "market/orders/{id}"),
        ("market/trades", "market/trades"),
    ),
    Operation(
        "account/deposit-address",
        "GET",
        f"{_ACCOUNT}/account/deposit_address/{{currency}}",
        ("read", "deposit"),
    ),
    _order("new", "POST", "orders"),
    _order("bulk", "POST", "bulk/orders"),
    _order("cancel", "POST", "orders/{id}/cancel", "cancel"),
    _order("cancel-id", "POST", "orders/cancel/{id}", "cancel"),
    _order("cancel-all", "POST", "orders/cancel", "cancel"),
    _order("cancel-bulk", "DELETE", "bulk/orders", "cancel"),
    _order("cancel-bulk-id", "DELETE", "bulk/orders_by_id", "cancel"),
    Operation("stream", "GET", "/api/v2/stream/private/", ("read",)),
    *_anywhere(
        "withdrawal",
        ("account/withdraw", "POST", "account/withdraws"),
        # Where withdrawals may go to.
        ("account/beneficiary/new", "POST", "account/beneficiaries"),
        ("account/beneficiary/activate", "PATCH", "account/beneficiaries/{id}/activate"),
        ("account/beneficiary/resend-pin", "PATCH", "account/beneficiaries/{id}/resend_pin"),
        ("account/beneficiary/delete", "DELETE", "account/beneficiaries/{id}"),
    ),
    *_anywhere("transfer", ("account/internal-transfer", "POST", "account/internal_transfers")),
    *_anywhere(
        "key-management",
        ("keys/new", "POST", "resource/api_keys"),
        ("keys/change", "PATCH", "resource/api_keys/{kid}"),
        ("keys/delete", "DELETE", "resource/api_keys/{kid}"),
        ("keys/list", "GET", "resource/api_keys"),
        ("keys/service/list", "GET", "resource/service_accounts/api_keys"),
        ("keys/service/new", "POST", "resource/service_accounts/api_keys"),
        ("keys/service/change", "PUT", "resource/service_accounts/api_keys/{kid}"),
        ("keys/service/delete", "DELETE", "resource/service_accounts/api_keys/{kid}"),
        ("second-factor/enable", "POST", "resource/otp/enable"),
        ("second-factor/disable", "POST", "resource/otp/disable"),
        ("second-factor/qrcode", "POST", "resource/otp/generate_qrcode"),
        ("password", "PUT", "resource/users/password"),
    ),
)
