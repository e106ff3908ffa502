"""What KIIEX takes: the calls of AlphaPoint APEX, for users.

KIIEX's newer documents POST all of them; the older ones, and other operators of the same
software, GET what only reads. What no operator documents for users is not here.

Sources: KIIEX "Authenticate with API Key"; KiiChain/kiichain-docs (a00f027); alphapoint/slate
source/index.html.md (01b3360); ccxt 4.5.90 ndax.
"""

from privyseald.venues.venue import Operation


def _post(tags: str, *names: str) -> tuple[Operation, ...]:
    return tuple(Operation(name, "POST", f"/ap/{name}", tuple(tags.split())) for name in names)


def _read(*names: str) -> tuple[Operation, ...]:
    got = tuple(Operation(f"GET {name}", "GET", f"/ap/{name}", ("read",)) for name in names)
    return (*_post("read", *names), *got)


OPERATIONS = (
    *_read(
        "GetUserInfo",
        "GetUserAccounts",
        "GetUserAccountInfos",
        "GetUserConfig",
        "GetUserDevices",
        "GetUserAffiliateCount",
        "GetUserAffiliateTag",
        "GetUserReportTickets",
        "GetUserReportWriterResultRecords",
        "GetAccountInfo",
        "GetAccountPositions",
        "GetAccountTransactions",
        "GetAccountTrades",
        "GetAccountDepositTransactions",
        "GetAccountWithdrawTransactions",
        "GetAllAccountConfigs",
        "GetTreasuryProductsForAccount",
        "GetOpenTradeReports",
        "GetAllOpenTradeReports",
        "GetTradesHistory",
        "GetOpenOrders",
        "GetOpenQuotes",
        "GetOrderFee",
        "GetOrderStatus",
        "GetOrderHistory",
        "GetOrderHistoryByOrderId",
        "GetOrdersHistory",
        "GetOmsFeeTiers",
        "GetOMSWithdrawFees",
        "GetDeposits",
        "GetDepositTicket",
        "GetDepositTickets",
        "GetDepositTicketAttachment",
        "GetDepositRequestInfoTemplate",
        "GetAllDepositRequestInfoTemplates",
        "GetWithdraws",
        "GetWithdrawFee",
        "GetWithdrawTemplate",
        "GetWithdrawTemplateTypes",
        "GetWithdrawTicket",
        "GetWithdrawTickets",
        "GetWithdrawTicketAttachment",
        "GetValidate2FARequiredEndpoints",
    ),
    *_post("session", "AuthenticateUser", "Authenticate", "Authenticate2FA", "LogOut"),
    Operation("GET AuthenticateUser", "GET", "/ap/AuthenticateUser", ("session",)),
    Operation("GET Authenticate", "GET", "/ap/Authenticate", ("session",)),
    *_post("read", "SubscribeAccountEvents", "CancelUserReport"),
    *_post("read", "GenerateTradeActivityReport", "GenerateTransactionActivityReport"),
    *_post("read", "GenerateTreasuryActivityReport", "ScheduleTradeActivityReport"),
    *_post("read", "ScheduleTransactionActivityReport", "ScheduleTreasuryActivityReport"),
    *_post("trade", "SendOrder", "CancelReplaceOrder", "ModifyOrder", "SubmitBlockTrade"),
    *_post("trade", "CreateQuote", "UpdateQuote"),
    *_post("trade cancel", "CancelOrder", "CancelAllOrders", "CancelQuote"),
    *_post("deposit read", "GetDepositInfo"),
    Operation("GET GetDepositInfo", "GET", "/ap/GetDepositInfo", ("deposit", "read")),
    *_post("deposit", "CreateDepositTicket", "SubmitDepositTicketComment"),
    *_post("deposit", "AddDepositTicketAttachment"),
    # A ticket is what a withdrawal is while people look at it.
    *_post("withdrawal", "CreateWithdrawTicket", "UpdateWithdrawTicket", "CancelWithdraw"),
    *_post("withdrawal", "ConfirmWithdraw", "SubmitWithdrawTicketComment"),
    *_post("withdrawal", "AddWithdrawTicketAttachment"),
    *_post("transfer", "TransferFunds"),
    *_post("key-management", "AddUserAPIKey", "RemoveUserAPIKey", "RegisterNewDevice"),
    *_post("key-management", "Activate2FA", "EnableXP2FA"),
    *_post("key-management", "AddUserAffiliateTag", "UpdateUserAffiliateTag"),
    *_post("key-management", "GetUserAPIKeys"),
    # A user's settings as they are, secrets among them.
    *_post("key-management", "GetAllUnredactedUserConfigsForUser"),
    *_post("key-management", "GetUnredactedUserConfigByKey"),
)
