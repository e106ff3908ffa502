import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from cli.program import privyseal

DESK = "spiffe://desk.example/mm"
POLICY = """\
version: 1
rules:
  - name: nobody-withdraws
    callers: ["*"]
    keys: ["mm-*"]
    deny: ["@withdrawals"]
  - name: orders
    callers: ["spiffe://desk.example/mm"]
    keys: ["mm-*"]
    allow: [op:order/new, op:post order]
    when: 'request.body.market == "BTC_USDT" || request.query.symbol == "BTCUSDT"'
    limits:
      - {rate: 50, window: 1s, per: [caller, key]}
      - {notional: 250000 USDT, window: 1h}
  - name: office-hours
    callers: ["spiffe://desk.example/mm"]
    keys: ["mm-*"]
    allow: [login]
    when: 'time.getHours() >= 8 && time.getHours() < 18'
  - name: labelled
    callers: ["jwt:corp/*"]
    keys: ["*"]
    allow: [read-key, sign-typed-data]
    when: 'caller.method == "jwt" && caller.claims.desk == key.labels["desk"]'
  - name: bare
    callers: ["mm.desk.example"]
    keys: ["neb-*"]
    allow: [sign]
  - name: try-out
    callers: ["*"]
    keys: ["mm-*"]
    deny: [tag:trade]
    mode: shadow
"""
ORDER = '{"market":"BTC_USDT","side":"buy","amount":"0.1","price":"40000"}'


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """The policy above, in a file."""
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    return path


def explain(policy: Path, caller: str, key: str, *arguments: str, **options: Any) -> Result:
    """Run the command."""
    return privyseal(
        "policy", "explain", "--policy", str(policy), "--caller", caller, "--key", key,
        *arguments, **options,
    )  # fmt: skip


def facts(result: Result) -> list[tuple[str, str]]:
    """Return what is printed as name and value, and of the table the rows."""
    lines = [line.strip() for line in result.stdout.splitlines() if line.strip()]
    return [(line.partition("  ")[0], line.partition("  ")[2].strip()) for line in lines]


def test_an_order_that_is_allowed(policy: Path) -> None:
    """Each rule with its reading, the decision, and what it takes from which limit."""
    result = explain(
        policy, DESK, "mm-1", "--venue", "whitebit", "--request", "POST /api/v4/order/new",
        "--body", ORDER,
    )  # fmt: skip

    assert (result.exit_code, result.stderr) == (0, "")
    shown = facts(result)
    assert ("operation", "order/new (trade)") in shown
    assert ("orders", "allow             matches") in shown
    assert ("try-out", "deny, in shadow   matches") in shown
    assert ("allowed", "by rule 'orders'") in shown
    assert ("in shadow", "rule 'try-out' would have decided otherwise") in shown
    limits = [value for name, value in shown if name == "limit"]
    assert limits == [
        "rate 50 in 1s per caller, key (rule 'orders'); this takes 1",
        "notional 250000 USDT in 1h (rule 'orders'); this takes 4000 USDT",
    ]


def test_a_withdrawal_that_is_denied(policy: Path) -> None:
    """The rule that denies, and in words what else would be needed: exit code 1."""
    result = explain(
        policy, DESK, "mm-1", "--venue", "whitebit",
        "--request", "POST /api/V4/main-account/Withdraw/",
    )  # fmt: skip

    assert result.exit_code == 1
    shown = facts(result)
    assert ("operation", "main-account/withdraw (withdrawal)") in shown
    assert ("denied", "rule 'nobody-withdraws' denies it") in shown
    needed = [value for name, value in shown if name == "needed"]
    assert needed == [
        "rule 'nobody-withdraws' must not deny it: whatever allows it, deny beats allow",
        (
            "rule 'orders' must allow 'op:main-account/withdraw' or "
            "'POST /api/v4/main-account/withdraw' or '@withdrawals'"
        ),
        (
            "rule 'office-hours' must allow 'op:main-account/withdraw' or "
            "'POST /api/v4/main-account/withdraw' or '@withdrawals'"
        ),
    ]


def asked(policy: Path, caller: str, key: str, *arguments: str, **options: Any) -> dict[str, Any]:
    """Return the explanation as JSON; its exit code fits."""
    result = explain(policy, caller, key, *arguments, "--json", **options)
    assert result.stderr == ""
    explanation: dict[str, Any] = json.loads(result.stdout)
    assert result.exit_code == (0 if explanation["allowed"] else 1)
    return explanation


WHITEBIT = ("--venue", "whitebit", "--request")


def test_a_condition_that_is_not_met_is_quoted(policy: Path) -> None:
    """It is what would have to be met."""
    explanation = asked(policy, DESK, "mm-1", "--action", "login", "--at", "2025-06-02T20:00:00Z")

    assert explanation["why"] == "the condition of rule 'office-hours' is not met"
    assert explanation["needed"] == [
        (
            "the condition of rule 'office-hours' must be met: "
            "time.getHours() >= 8 && time.getHours() < 18"
        )
    ]


def test_a_body_decides(policy: Path, tmp_path: Path) -> None:
    """From an argument, a file or standard input."""
    other = ORDER.replace("BTC", "ETH")
    (tmp_path / "body.json").write_text(other)
    order = (*WHITEBIT, "POST /api/v4/order/new")

    allowed = asked(policy, DESK, "mm-1", *order, "--body", ORDER)
    from_file = asked(policy, DESK, "mm-1", *order, "--body-file", str(tmp_path / "body.json"))
    from_stdin = asked(policy, DESK, "mm-1", *order, "--body-file", "-", text=other)

    assert (allowed["allowed"], allowed["rule"], allowed["needed"]) == (True, "orders", [])
    assert from_file == from_stdin
    reading = next(each for each in from_file["rules"] if each["name"] == "orders")
    assert reading["reading"] == "CONDITION_FAILED"
    assert "symbol" in reading["detail"]
    assert from_file["needed"] == [
        (
            "the condition of rule 'orders' must be decidable: "
            'request.body.market == "BTC_USDT" || request.query.symbol == "BTCUSDT"'
        )
    ]


def test_what_a_budget_can_not_count_is_refused(policy: Path) -> None:
    """As a server does: the rule allows, its budget does not."""
    explanation = asked(
        policy, DESK, "mm-1", *WHITEBIT, "POST /api/v4/order/new",
        "--body", '{"market":"BTC_USDT","side":"buy","amount":"1"}',
    )  # fmt: skip

    assert (explanation["allowed"], explanation["rule"]) == (False, "orders")
    assert "has a budget (notional 250000 USDT in 1h)" in explanation["why"]
    assert explanation["needed"] == [explanation["why"]]


def test_what_else_a_signature_is_good_for(policy: Path) -> None:
    """Aster signs no path: each other use is listed, and must be allowed too."""
    explanation = asked(
        policy, DESK, "mm-1", "--venue", "aster",
        "--request", "POST /fapi/v1/order?symbol=BTCUSDT&side=BUY&type=MARKET",
    )  # fmt: skip

    assert explanation["operation"] == "post order"
    (use,) = explanation["uses"]
    assert (use["operation"], use["allowed"], use["rule"]) == ("spot post order", False, "")
    assert explanation["needed"] == [
        (
            "the signature would be good for 'spot post order' too, as that one's parameters are "
            "all there (symbol, side, type): leave one of them out, or have a rule allow "
            "'op:spot post order' as well"
        )
    ]


def test_parameters_may_come_apart(policy: Path) -> None:
    """`--query` is the same as what stands behind the path's '?'."""
    whole = asked(
        policy, DESK, "mm-1", "--venue", "aster",
        "--request", "POST /fapi/v1/order?symbol=BTCUSDT&side=BUY",
    )  # fmt: skip
    apart = asked(
        policy, DESK, "mm-1", "--venue", "aster", "--request", "POST /fapi/v1/order",
        "--query", "symbol=BTCUSDT", "--query", "side=BUY",
    )  # fmt: skip

    assert whole == apart


def test_a_signature_that_binds_nothing(policy: Path) -> None:
    """What a rule for NebulaEX lacks, and why."""
    explanation = asked(
        policy, "mm.desk.example", "neb-1", "--venue", "nebulaex",
        "--request", "POST /api/v2/trading/market/orders", "--body", "{}",
    )  # fmt: skip

    assert explanation["method"] == "mtls-dns"
    assert explanation["needed"] == [
        (
            "rule 'bare' must say 'accept_bearer: true': a signature of nebulaex covers no "
            "request, so whoever holds one may send any with it"
        )
    ]


@pytest.mark.parametrize(("hour", "allowed"), [("07:59:59", False), ("08:00:00", True)])
def test_a_time_can_be_asked_about(policy: Path, hour: str, allowed: bool) -> None:
    """`--at` stands for the clock of the server."""
    explanation = asked(policy, DESK, "mm-1", "--action", "login", "--at", f"2025-06-02T{hour}Z")

    assert explanation["allowed"] == allowed


def test_facts_of_key_and_caller_count(policy: Path) -> None:
    """Labels, claims and the way a caller is proved."""
    read = ("--action", "read-key", "--venue", "aster-v3", "--label", "desk=mm")

    assert asked(policy, "jwt:corp/a", "k", *read, "--claim", "desk=mm")["allowed"]
    for change in (("--claim", "desk=other"), ("--claim", "desk=mm", "--method", "mtls-uri"), ()):
        assert not asked(policy, "jwt:corp/a", "k", *read, *change)["allowed"]
    unknown = asked(policy, "jwt:corp/a", "k", "--action", "read-key", "--claim", "desk=mm")
    assert not unknown["allowed"]


def test_nobody_speaks_of_a_stranger(policy: Path) -> None:
    """Then a rule of its own is what is needed."""
    explanation = asked(policy, "spiffe://other/x", "k-1", "--action", "login")

    assert explanation["why"] == "no rule allows this caller anything of the kind"
    assert explanation["needed"] == [
        "a rule for the caller spiffe://other/x and the key k-1 that allows 'login'"
    ]


def test_a_document_and_a_message(policy: Path, tmp_path: Path) -> None:
    """EIP-712 and EIP-191, by the key kinds that sign them."""
    document = {
        "types": {"EIP712Domain": [], "Note": [{"name": "text", "type": "string"}]},
        "primaryType": "Note",
        "domain": {},
        "message": {"text": "hello"},
    }
    (tmp_path / "document.json").write_text(json.dumps(document))
    wallet = ("--venue", "aster", "--algorithm", "secp256k1", "--label", "desk=mm")

    signed = asked(
        policy, "jwt:corp/a", "w", *wallet, "--claim", "desk=mm",
        "--typed-data", str(tmp_path / "document.json"),
    )  # fmt: skip
    message = asked(policy, "jwt:corp/a", "w", *wallet, "--message", "-", text="hello")

    assert (signed["allowed"], signed["action"]) == (True, "sign-typed-data")
    assert (message["allowed"], message["action"]) == (False, "sign-message")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--action", "fly"), "'fly' is no action; give one of login, create-key"),
        (("--action", "sign"), "give it with --request"),
        (("--action", "sign-typed-data"), "give it with --typed-data"),
        (("--request", "POST /api/v4/orders"), "name it with --venue"),
        (("--action", "login", "--label", "a=b"), "name it with --venue"),
        ((), "give one of --action, --request"),
        (("--action", "login", "--message", "-"), "give one of --action, --request"),
        ((*WHITEBIT, "POST"), "--request takes a method and a path"),
        ((*WHITEBIT, "GET /api/v4/orders"), "http_request.method: must be POST"),
        ((*WHITEBIT, "POST /elsewhere"), "is not served by this venue"),
        ((*WHITEBIT, "POST /api//v4"), "http_request.path: has '//'"),
        ((*WHITEBIT, "POST /api/v4/orders", "--body", "{"), "http_request.body"),
        (("--venue", "mtgox", "--action", "login"), "there is no such venue"),
        (("--venue", "whitebit", "--message", "-"), "can't be signed with keys/mm-1"),
        (("--action", "login", "--at", "yesterday"), "yesterday"),
    ],
)
def test_what_can_not_be_asked_is_wrong_usage(
    policy: Path, arguments: tuple[str, ...], words: str
) -> None:
    """Exit code 2, and nothing on standard output."""
    result = explain(policy, DESK, "mm-1", *arguments, text="hello")

    assert (result.exit_code, result.stdout) == (2, "")
    assert words in " ".join(result.stderr.split())


def test_a_policy_that_does_not_load_is_told(policy: Path) -> None:
    """With its line, as `policy check` does."""
    policy.write_text(POLICY.replace("login]", "logn]"))
    result = explain(policy, DESK, "mm-1", "--action", "login")

    assert result.exit_code == 2
    assert "policy.yaml, line 18: rules[2].allow[0]: 'logn' names nothing" in result.stderr
