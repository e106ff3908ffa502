"""What is sensitive at each venue, written out from its documents: no rule reaches it by default,
and no spelling goes past a rule that denies it.
"""

import pytest

from fakes import FakeClock
from privyseald.caller import Caller
from privyseald.key import Key, KeyState
from privyseald.policy.decision import Decision
from privyseald.policy.file import parse_policy
from privyseald.policy.policy import Policy
from privyseald.policy.question import ask_of_request
from privyseald.venues.http_request import make_request
from privyseald.venues.operation_table import SENSITIVE, OperationTable, canonical_path
from privyseald.venues.venue import Operation
from venues.desk import VENUES

CALLER = Caller("desk", "mtls-spiffe")
PACKS = {
    "withdrawal": "@withdrawals",
    "transfer": "@transfers",
    "key-management": "@key-management",
}
_WITHDRAWALS = {
    "whitebit": """
        POST /api/v4/main-account/withdraw
        POST /api/v4/main-account/withdraw-pay
        POST /api/v4/main-account/codes
        POST /api/v4/main-account/refund-deposit
        POST /api/v4/mining/payout-destination/edit
        POST /api/v4/sub-account/withdraw/confirm
        POST /api/card-token
    """,
    "nebulaex": """
        POST /api/v2/backend/account/withdraws
        POST /api/v2/peatio/account/withdraws
        POST /api/v2/backend/account/beneficiaries
        PATCH /api/v2/backend/account/beneficiaries/7/activate
        PATCH /api/v2/backend/account/beneficiaries/7/resend_pin
        DELETE /api/v2/backend/account/beneficiaries/7
    """,
    "kiiex": """
        POST /ap/CreateWithdrawTicket
        GET /ap/CreateWithdrawTicket
        POST /ap/UpdateWithdrawTicket
        POST /ap/CancelWithdraw
        POST /ap/ConfirmWithdraw
        GET /ap/ConfirmWithdraw
        POST /ap/SubmitWithdrawTicketComment
        POST /ap/AddWithdrawTicketAttachment
    """,
    "aster": """
        POST /fapi/aster/user-withdraw
        POST /fapi/aster/user-solana-withdraw
        POST /api/v1/aster/user-withdraw
        POST /api/v1/aster/user-solana-withdraw
    """,
    "aster-v3": """
        POST /fapi/v3/aster/user-withdraw
        POST /fapi/v3/aster/user-solana-withdraw
        POST /api/v3/aster/user-withdraw
        POST /api/v3/aster/user-solana-withdraw
    """,
}
_TRANSFERS = {
    "whitebit": """
        POST /api/v4/main-account/transfer
        POST /api/v4/sub-account/transfer
        POST /api/v4/main-account/codes/apply
        POST /api/v4/main-account/express-withdraw/token
        POST /api/v4/main-account/smart/investment
        POST /api/v4/main-account/smart/investment/close
        POST /api/v4/main-account/smart-flex/investments/invest
        POST /api/v4/main-account/smart-flex/investments/withdraw
        POST /api/v4/main-account/smart-flex/investments/close
        POST /api/v4/main-account/smart-flex/investments/auto-invest
    """,
    "nebulaex": "POST /api/v2/backend/account/internal_transfers",
    "kiiex": "POST /ap/TransferFunds",
    "aster": """
        POST /fapi/v1/asset/wallet/transfer
        POST /api/v1/asset/wallet/transfer
        POST /api/v1/asset/sendToAddress
    """,
    "aster-v3": """
        POST /fapi/v3/asset/wallet/transfer
        POST /api/v3/asset/wallet/transfer
        POST /api/v3/asset/sendToAddress
        POST /fapi/v3/subAccountTransfer
        POST /fapi/v3/asset/migrateUser
    """,
}
_KEYS = {
    "whitebit": """
        POST /api/v4/sub-account/create
        POST /api/v4/sub-account/edit
        POST /api/v4/sub-account/delete
        POST /api/v4/sub-account/block
        POST /api/v4/sub-account/unblock
        POST /api/v4/sub-account/kyc-url
        POST /api/v4/sub-account/api-key/create
        POST /api/v4/sub-account/api-key/edit
        POST /api/v4/sub-account/api-key/delete
        POST /api/v4/sub-account/api-key/reset
        POST /api/v4/sub-account/api-key/list
        POST /api/v4/sub-account/api-key/ip-address/create
        POST /api/v4/sub-account/api-key/ip-address/delete
        POST /api/v4/jwt
        POST /api/v4/mining/watcher-links/create
    """,
    "nebulaex": """
        POST /api/v2/auth/resource/api_keys
        POST /api/v2/barong/resource/api_keys
        PATCH /api/v2/auth/resource/api_keys/61d025b8573501c2
        DELETE /api/v2/auth/resource/api_keys/61d025b8573501c2
        POST /api/v2/auth/resource/service_accounts/api_keys
        POST /api/v2/auth/resource/otp/disable
        PUT /api/v2/auth/resource/users/password
    """,
    "kiiex": """
        POST /ap/AddUserAPIKey
        POST /ap/RemoveUserAPIKey
        POST /ap/GetUserAPIKeys
        POST /ap/RegisterNewDevice
        GET /ap/GetUnredactedUserConfigByKey
        POST /ap/Activate2FA
    """,
    "aster": "POST /api/v1/createApiKey",
    "aster-v3": """
        POST /fapi/v3/approveAgent
        POST /fapi/v3/updateAgent
        DELETE /fapi/v3/agent
        POST /fapi/v3/registerAndApproveAgent
        POST /fapi/v3/approveBuilder
        POST /fapi/v3/updateBuilder
        DELETE /fapi/v3/builder
        POST /fapi/v3/createSubAccount
        POST /fapi/v3/updateSubAccount
        POST /fapi/v3/sub-accounts/bind
    """,
}
SENSITIVE_REQUESTS = [
    (venue, *line.strip().split(" "), tag)
    for tag, table in (
        ("withdrawal", _WITHDRAWALS),
        ("transfer", _TRANSFERS),
        ("key-management", _KEYS),
    )
    for venue, text in table.items()
    for line in text.strip().splitlines()
]
every_sensitive_request = pytest.mark.parametrize(
    ("venue_name", "method", "path", "tag"), SENSITIVE_REQUESTS
)


def policy(*rules: str) -> Policy:
    """Return a policy of rules, each given in YAML's one-line form behind callers and keys."""
    texts = [
        f'  - {{name: r{number}, callers: ["*"], keys: ["*"], {text}}}\n'
        for number, text in enumerate(rules, start=1)
    ]
    text = "version: 1\nrules:\n" + "".join(texts)
    return Policy(parse_policy(text, "p.yaml", VENUES), FakeClock())


def decide(rules: Policy, venue_name: str, method: str, path: str) -> Decision:
    """Return what the rules say to a request without parameters."""
    venue = VENUES.get(venue_name)
    key = Key("k", venue_name, "production", "a", "id", KeyState.ENABLED, 1, 0, 0)
    request = make_request(method, path, (), b"", "")
    table = VENUES.operation_table(venue)
    return rules.decide(ask_of_request(CALLER, key, request, venue.coverage, table))


def spellings(path: str) -> list[str]:
    """The path as a lenient server may take it, too."""
    return [
        path,
        path + "/",
        path.upper(),
        path.lower(),
        path + ".json",
        path + ".JSON/",
        path + "/.json",
        path + ".json.xml",
        path + "%20",
        path.swapcase() + ".html/",
    ]


@every_sensitive_request
def test_the_default_rule_reaches_nothing_sensitive(
    venue_name: str, method: str, path: str, tag: str
) -> None:
    """Plain `sign`, also beside all that is not sensitive, and beside the other packs."""
    others = ", ".join(f'"{pack}"' for name, pack in PACKS.items() if name != tag)
    rules = policy(
        "accept_bearer: true, allow: [sign, login, sign-message, sign-typed-data]",
        "accept_bearer: true, allow: [tag:read, tag:trade, tag:cancel, tag:session, tag:deposit]",
        f"accept_bearer: true, allow: [{others}]",
    )

    assert not [each for each in spellings(path) if decide(rules, venue_name, method, each).allowed]


@every_sensitive_request
def test_a_pack_denies_what_is_sensitive_in_every_spelling(
    venue_name: str, method: str, path: str, tag: str
) -> None:
    """Also to who may sign what no table knows, and whose rule names the path itself."""
    rules = policy(
        f"deny: ['{PACKS[tag]}']",
        "accept_bearer: true, allow: [sign, sign-unlisted, '* /**', tag:read]",
        "accept_bearer: true, allow: [" + ", ".join(f'"{pack}"' for pack in PACKS.values()) + "]",
    )

    denied = [decide(rules, venue_name, method, each).rule for each in spellings(path)]

    assert denied == ["r1"] * len(denied)


@every_sensitive_request
def test_what_is_sensitive_is_so_with_any_method(
    venue_name: str, method: str, path: str, tag: str
) -> None:
    """A server may look at the path alone; what another method is known to do, it does."""
    table = VENUES.operation_table(VENUES.get(venue_name))
    named = table.find(method, canonical_path(path))
    assert named is not None
    assert tag in named.tags
    for other in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        found = table.find(other, canonical_path(path))
        assert found is not None
        assert SENSITIVE.intersection(found.tags) or other == found.method


def test_a_rule_that_names_them_reaches_them() -> None:
    """The table above is no list of what is refused for another reason."""
    rules = policy(
        "accept_bearer: true, allow: [" + ", ".join(f'"{pack}"' for pack in PACKS.values()) + "]"
    )

    reached = [decide(rules, venue, method, path) for venue, method, path, _ in SENSITIVE_REQUESTS]

    assert not [each for each in reached if not each.allowed]


@pytest.mark.parametrize(
    ("venue_name", "method", "path"),
    [
        # Whoever may only read must not trade through another door.
        ("whitebit", "POST", "/api/v4/profile/websocket_token"),
        ("whitebit", "POST", "/api/v4/collateral-account/position/close"),
        ("whitebit", "POST", "/api/v4/convert/auto-confirm"),
        ("kiiex", "POST", "/ap/SubmitBlockTrade"),
        ("aster-v3", "POST", "/fapi/v3/chase"),
        ("aster-v3", "POST", "/fapi/v3/mmpReset"),
    ],
)
def test_what_trades_is_neither_read_nor_cancelled(venue_name: str, method: str, path: str) -> None:
    """The packs for readers and for cancels leave it out."""
    rules = policy("accept_bearer: true, allow: ['@reads', '@cancels']")
    trader = policy("accept_bearer: true, allow: ['@trading']")

    assert not decide(rules, venue_name, method, path).allowed
    assert decide(trader, venue_name, method, path).allowed


def test_what_is_sensitive_has_no_other_tag() -> None:
    """Or a rule that names the other one, such as `@reads`, would reach it."""
    tags = [set(each.tags) for venue in VENUES for each in venue.operations]

    assert not [each for each in tags if SENSITIVE & each and len(each) > 1]


def test_another_method_on_a_path_that_only_reads_is_unknown() -> None:
    """Only what is sensitive counts with any method."""
    table = VENUES.operation_table(VENUES.get("nebulaex"))
    assert table.find("PUT", "/api/v2/backend/account/balances") is None
    found = table.find("GET", "/api/v2/backend/account/withdraws")
    assert found
    assert found.tags == ("read",)


def test_a_pattern_takes_one_segment() -> None:
    """`{id}` is neither empty nor two."""
    table = OperationTable([Operation("one", "GET", "/a/{id}/b", ("read",))])
    assert table.find("GET", "/a/7/b")
    assert not table.find("GET", "/a//b")
    assert not table.find("GET", "/a/7/8/b")
    assert not table.find("GET", "/a/b")


@pytest.mark.parametrize(
    ("path", "canonical"),
    [
        ("/A/b", "/a/b"),
        ("/a/b//", "/a/b"),
        ("/a/b.json/.xml", "/a/b"),
        ("/a/b%20", "/a/b"),
        ("/", "/"),
        ("/.json", "/"),
        ("/a.json.b", "/a"),
    ],
)
def test_a_path_has_one_spelling(path: str, canonical: str) -> None:
    """Whatever stands behind it."""
    assert canonical_path(path) == canonical
