"""What else a signature over Aster's parameters would be good for, and that policy asks for it.

Neither method nor path is signed: whoever holds a signature may send its parameters anywhere.
"""

import random

import pytest

from fakes import FakeClock, credential
from privyseald.caller import Caller
from privyseald.errors import FieldInvalid
from privyseald.key import Algorithm
from privyseald.policy.decision import Decision
from privyseald.policy.file import parse_policy
from privyseald.policy.policy import Policy
from privyseald.policy.question import ask_of_request
from venues.desk import VENUES, ask

MATERIAL = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
V1 = credential("aster", Algorithm.HMAC_SHA256, "test-secret", {"api_key": "test-key"})
V3 = credential("aster-v3", Algorithm.SECP256K1, MATERIAL)
ORDERS = {
    "aster": ("POST", "/fapi/v1/order"),
    "aster-v3": ("POST", "/fapi/v3/order"),
}
ORDER = "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=100"
# The fewest parameters that each documented request could do with, and more of them.
ELSEWHERE = {
    "withdraw": "chainId=56&asset=USDT&amount=31&fee=0.3&receiver=0x00&userSignature=0xde",
    "withdraw to Solana": "chainId=101&asset=USDT&amount=3&fee=0.6&receiver=4wTV",
    "withdraw, defaults": "amount=3&receiver=4wTV",
    "transfer": "amount=1&asset=USDT&clientTranId=1&kindType=SPOT_FUTURE",
    "transfer, defaults": "amount=1&asset=USDT&kindType=SPOT_FUTURE",
    "send": "amount=1&asset=USDT&toAddress=0x00",
}
V1_ELSEWHERE = {
    "create a key": "address=0x00&userOperationType=CREATE_API_KEY&userSignature=0x00&desc=x",
}
V3_ELSEWHERE = {
    "transfer to a sub-account": "toAccountAddress=0x00&asset=USDT&amount=1&kindType=SPOT_SPOT",
    "approve an agent": "agentName=x&agentAddress=0x00&canWithdraw=true&expired=1967945395040",
    "remove an agent": "agentAddress=0x00",
    "approve a builder": "builder=0x00&maxFeeRate=0.001&builderName=x",
    "make a sub-account": "subSourceAddr=0x00&subAccountName=x&childSignature=0x00",
    "freeze a sub-account": "subSourceAddr=0x00&status=FROZEN",
    "bind a sub-account": "childAddress=0x00&name=x&childSignature=0x00",
}
CASES = [
    (venue, extra)
    for venue, more in (("aster", V1_ELSEWHERE), ("aster-v3", V3_ELSEWHERE))
    for extra in (ELSEWHERE | more).values()
]
every_case = pytest.mark.parametrize(("venue", "extra"), CASES)


def policy(*rules: str) -> Policy:
    """Return a policy of rules, each given in YAML's one-line form behind callers and keys."""
    texts = [
        f'  - {{name: r{number}, callers: ["*"], keys: ["*"], {text}}}\n'
        for number, text in enumerate(rules, start=1)
    ]
    text = "version: 1\nrules:\n" + "".join(texts)
    return Policy(parse_policy(text, "p.yaml", VENUES), FakeClock())


TRADER = policy("allow: [tag:trade, tag:cancel, tag:read]")


def decide(
    rules: Policy, venue_name: str, method: str, path: str, query: str = "", body: str = ""
) -> Decision:
    """Return what the rules say to the request as it would be signed. Raises RequestInvalid."""
    keyed = V1 if venue_name == "aster" else V3
    venue = VENUES.get(venue_name)
    request = ask(keyed, method, f"{path}?{query}" if query else path, body)
    table = VENUES.operation_table(venue)
    question = ask_of_request(
        Caller("desk", "mtls-spiffe"), keyed.key, request, venue.coverage, table
    )
    return rules.decide(question)


@pytest.mark.parametrize("venue", ORDERS)
def test_an_order_is_an_order(venue: str) -> None:
    """The cases below are refused for what they add."""
    for place in ("query", "body"):
        assert decide(TRADER, venue, *ORDERS[venue], **{place: ORDER}).allowed


@every_case
def test_an_order_with_another_requests_parameters_is_refused(venue: str, extra: str) -> None:
    """In the query or in the body, in front or behind, in any order and case of names."""
    pairs = f"{ORDER}&{extra}".split("&")
    shuffled = list(pairs)
    random.Random(7).shuffle(shuffled)  # noqa: S311
    cased = [f"{name.upper()}={value}" for name, _, value in (p.partition("=") for p in pairs)]
    escaped = [f"%{ord(pair[0]):02x}{pair[1:]}" for pair in pairs]
    marked = [f"_{pair.replace('=', '%5B0%5D=', 1)}" for pair in pairs]
    for texts in (pairs, pairs[::-1], shuffled, cased, escaped, marked):
        for place in ("query", "body"):
            decision = decide(TRADER, venue, *ORDERS[venue], **{place: "&".join(texts)})
            assert not decision.allowed
            assert "could be used for another operation" in decision.why


@every_case
def test_a_read_with_another_requests_parameters_is_refused(venue: str, extra: str) -> None:
    """A request that does nothing by itself lends its signature as well."""
    path = "/fapi/v1/openOrders" if venue == "aster" else "/fapi/v3/openOrders"
    reader = policy("allow: ['@reads']")

    assert decide(reader, venue, "GET", path, "symbol=BTCUSDT").allowed
    assert not decide(reader, venue, "GET", path, extra).allowed
    assert not decide(reader, venue, "GET", path, ORDER).allowed


@every_case
def test_a_pack_denies_what_the_signature_is_good_for(venue: str, extra: str) -> None:
    """Where one rule allows everything, a rule that denies still sees it."""
    rules = policy(
        "deny: ['@withdrawals', '@transfers', '@key-management']",
        "allow: [sign, sign-unlisted, '* /**', '@withdrawals', '@transfers', '@key-management']",
    )

    assert decide(rules, venue, *ORDERS[venue], ORDER).allowed
    assert "r1" == decide(rules, venue, *ORDERS[venue], f"{ORDER}&{extra}").rule
    assert "r1" == decide(rules, venue, "POST", "/fapi/v9/new", extra).rule


@pytest.mark.parametrize("venue", ORDERS)
@pytest.mark.parametrize("name", ["amount", "receiver"])
def test_a_name_may_be_cut_out_of_a_longer_one(venue: str, name: str) -> None:
    """Query and body are signed as one text: `xamount=3` is also a query that ends in `x`, and a
    body that begins with `amount=3`.
    """
    hidden = ELSEWHERE["withdraw"].replace(f"{name}=", f"x{name}=")

    assert not decide(TRADER, venue, *ORDERS[venue], f"{ORDER}&{hidden}").allowed


@pytest.mark.parametrize("venue", ORDERS)
@pytest.mark.parametrize("place", ["query", "body"])
def test_no_name_hides_in_a_value(venue: str, place: str) -> None:
    """Cut behind the `z`, the rest would be a parameter of its own."""
    text = f"{ORDER}&newClientOrderId=zreceiver=0x00&amount=1"

    with pytest.raises(FieldInvalid, match="%3D"):
        decide(TRADER, venue, *ORDERS[venue], **{place: text})


@pytest.mark.parametrize(
    ("path", "parameters"),
    [
        ("order", ORDER),
        ("order", "symbol=BTCUSDT&side=BUY&type=STOP_MARKET&stopPrice=1&closePosition=true"),
        ("batchOrders", "batchOrders=%5B%5D"),
        ("leverage", "symbol=BTCUSDT&leverage=100"),
        ("marginType", "symbol=BTCUSDT&marginType=ISOLATED"),
        ("positionMargin", "symbol=BTCUSDT&amount=100&type=1"),
        ("positionSide/dual", "dualSidePosition=true"),
        ("multiAssetsMargin", "multiAssetsMargin=true"),
        ("countdownCancelAll", "symbol=BTCUSDT&countdownTime=0"),
    ],
)
@pytest.mark.parametrize("version", [1, 3])
def test_who_may_only_read_signs_nothing_that_trades(
    path: str, parameters: str, version: int
) -> None:
    """Not by the parameters of a trade under the path of a read."""
    venue = "aster" if version == 1 else "aster-v3"
    reader = policy("allow: ['@reads']")

    read = decide(reader, venue, "GET", f"/fapi/v{version}/account", parameters)
    trade = decide(
        policy("allow: ['@trading']"), venue, "POST", f"/fapi/v{version}/{path}", "", parameters
    )

    assert (False, True) == (read.allowed, trade.allowed)


@pytest.mark.parametrize("venue", ORDERS)
def test_a_path_is_no_bound(venue: str) -> None:
    """An order for futures is one for spot as well: a rule for one path allows neither."""
    method, path = ORDERS[venue]
    spot = path.replace("/fapi/", "/api/")
    one = policy(f"allow: ['{method} {path}']")
    two = policy(f"allow: ['{method} {path}', '{method} {spot}']")

    assert not decide(one, venue, method, path, ORDER).allowed
    assert decide(two, venue, method, path, ORDER).allowed


def test_who_may_withdraw_may_not_transfer_by_it() -> None:
    """Each is asked for; a withdrawal has no `kindType`, so it is not good for the other."""
    rules = policy("allow: ['@withdrawals']")
    path = "/fapi/v3/aster/user-withdraw"

    assert decide(rules, "aster-v3", "POST", path, "", ELSEWHERE["withdraw"]).allowed
    both = ELSEWHERE["withdraw"] + "&kindType=SPOT_FUTURE"
    assert not decide(rules, "aster-v3", "POST", path, "", both).allowed


def test_requests_without_parameters_stay_usable() -> None:
    """Nothing sensitive does without any, but for what the main wallet signs in another form."""
    for venue in ("aster", "aster-v3"):
        sensitive = [
            each
            for each in VENUES.get(venue).operations
            if {"withdrawal", "transfer", "key-management"} & set(each.tags) and not each.required
        ]
        names = {each.path.removeprefix("/fapi/v3/") for each in sensitive}
        assert names <= {"asset/migrateUser", "builder"}
