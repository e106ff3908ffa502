"""Ways past the policy that were tried. Each test is one that once went through, or nearly."""

import json
import time
from collections.abc import Mapping
from contextlib import suppress

import pytest

from fakes import FakeClock, credential
from privyseald.caller import Caller
from privyseald.config_error import ConfigInvalid
from privyseald.errors import PolicyDenied
from privyseald.key import Algorithm
from privyseald.policy.action import Action
from privyseald.policy.condition import Condition, ConditionFailed, ConditionInvalid, Facts
from privyseald.policy.file import parse_policy
from privyseald.policy.policy import Policy
from privyseald.policy.question import Question, ask_of_request
from privyseald.signing.signer import Credential
from privyseald.venues.operation_table import canonical_path
from privyseald.venues.registry import Venues
from privyseald.venues.venue import Operation
from venues.desk import ask as normalised

VENUES = Venues()
DESK = Caller("desk", "mtls-spiffe")
WHITEBIT = credential("whitebit", Algorithm.HMAC_SHA512, "secret", {"api_key": "key"})
ASTER = credential("aster", Algorithm.HMAC_SHA256, "secret", {"api_key": "key"})
NEBULAEX = credential("nebulaex", Algorithm.HMAC_SHA256, "secret", {"api_key": "key"})

ORDER = "symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=1&price=9"
WITHDRAWAL = "chainId=56&asset=USDT&amount=1&fee=1&receiver=0xabc&nonce1=1&userSignature=0x1"


def policy(*rules: str) -> Policy:
    """Return a policy of rules, each given in YAML's one-line form behind callers and keys."""
    texts = [
        f'  - {{name: r{number}, callers: ["*"], keys: ["*"], {text}}}\n'
        for number, text in enumerate(rules, start=1)
    ]
    return Policy(parse_policy("version: 1\nrules:\n" + "".join(texts), "p", VENUES), FakeClock())


def ask(keyed: Credential, target: str, body: str = "", method: str = "POST") -> Question:
    """Return what policy is asked of a request, as the venue leaves it."""
    venue = VENUES.get(keyed.key.venue)
    request = normalised(keyed, method, target, body)
    table = VENUES.operation_table(venue)
    return ask_of_request(DESK, keyed.key, request, venue.coverage, table)


def allows(question: Question, *rules: str) -> bool:
    """Whether a policy of these rules allows it."""
    return policy(*rules).decide(question).allowed


def test_a_condition_sees_what_the_signature_could_be_used_for() -> None:
    """Aster's does not bind the path. Under another name and path, a withdrawal's parameters
    were signed where a condition looked at either.
    """
    question = ask(ASTER, f"/fapi/v1/order?{ORDER}&{WITHDRAWAL}")
    assert {"post order", "post aster/user-withdraw"} <= {
        each.name for each in question.operations if each
    }
    every = "allow: [tag:trade, tag:withdrawal, tag:transfer]"
    for when in (
        'request.operation != "post aster/user-withdraw"',
        '!("withdrawal" in request.tags)',
        '!request.path.contains("withdraw")',
        'request.path.endsWith("/order")',
    ):
        assert not allows(question, f"{every}, when: '{when}'"), when
        assert allows(ask(ASTER, f"/fapi/v1/order?{ORDER}"), f"{every}, when: '{when}'"), when
    for when in ('request.operation == "post aster/user-withdraw"', '"withdrawal" in request.tags'):
        assert not allows(question, f"deny: [sign, tag:withdrawal], when: '{when}'", every), when


@pytest.mark.parametrize(
    "path",
    [
        "/api/v4/main-account/withdraw",
        "/api/v4/Main-Account/WITHDRAW",
        "/api/v4/main-account/withdraw/",
        "/api/v4/main-account/withdraw.json",
        "/api/v4/main-account/withdraw.php",
        "/api/v4/main-account/withdraw.json.do/",
        "/api/v4/main-account/withdraw/.x",
        "/api/v4/main-account/withdraw.",
        "/api/v4/main-account/withdraw..",
        "/api/v4/main-account/withdraw./",
    ],
)
def test_a_condition_sees_a_path_in_its_one_spelling(path: str) -> None:
    """As the table has it: no second one goes past a deny rule's condition."""
    question = ask(WHITEBIT, path, "{}")
    deny = "deny: [sign], when: 'request.path == \"/api/v4/main-account/withdraw\"'"

    assert not allows(question, deny, "allow: ['* /**']")
    assert allows(ask(WHITEBIT, "/api/v4/orders", "{}"), deny, "allow: ['* /**']")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_another_method_is_no_way_past_a_pack(method: str) -> None:
    """A server may look at the path alone."""
    question = ask(NEBULAEX, "/api/v2/backend/account/withdraws", "{}", method)
    allow = "allow: ['* /**', sign-unlisted], accept_bearer: true"

    assert not allows(question, "deny: ['@withdrawals']", allow)


def test_what_was_decided_of_one_path_is_not_said_of_another() -> None:
    """Decisions are remembered; two paths that no table knows are two all the same."""
    rules = policy("allow: ['POST /api/v4/brand/new']")

    for target, expected in (("new", True), ("newer", False), ("NEW/", True), ("new/er", False)):
        question = ask(WHITEBIT, f"/api/v4/brand/{target}", "{}")
        assert expected == rules.decide(question).allowed, target


def test_an_endless_ending_is_found_in_a_moment() -> None:
    """Dots, slashes and blanks in any number are taken off in linear time, or near it."""
    began = time.process_time()
    for ending in (".", "/", ".a", "/.a", " ", " .", ". /"):
        path = "/api/v4/orders" + ending * (2_000 // len(ending))
        assert "/api/v4/orders" == canonical_path(path)
        canonical_path(path + "!/b")
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize(
    "text",
    ["1_0", " 2", "2 ", "+2", "\uff12", "\u0662", "1e", "0x2", "1,5", "", "-", "2\0", "2\n", "NaN",
     "Infinity", "9" * 401, "1e1234567", "--1", ".", "e5"],
)  # fmt: skip
def test_what_is_no_plain_number_can_not_be_compared(text: str) -> None:
    """Python would read some of them as numbers, and a venue perhaps as others."""
    with pytest.raises(ConditionFailed):
        _holds('cmp(request.body.amount, "10") <= 0', amount=text)


@pytest.mark.parametrize("text", ["2", "2.0", "-2", "0.2e1", "2e0", ".5", "2.", "00002"])
def test_a_plain_number_is_compared_by_its_worth(text: str) -> None:
    """However many digits it has."""
    assert _holds('cmp(request.body.amount, "2") <= 0', amount=text)
    assert not _holds(f'cmp(request.body.amount, "{text}") > 0', amount=text)


@pytest.mark.parametrize(
    "when",
    [
        "-request.body.low > 0",
        "request.body.high + 1 > 0",
        "request.body.high * 2 > 0",
        "request.body.low / -1 > 0",
        "request.body.one / 0 > 0",
        "request.body.big > 0",
        "request.body.big < 0",
        "request.body.one > 'a'",
        "request.body.nothing > 0",
        "request.body.text.matches('(a{1000}){1000}')",
        "request.body.text.matches('[')",
        "request.body.text.size()",
        "request.body.list[7] == 1",
        "'x' in request.body.text",
        "'x' in request.body.one",
        "request.body.one ? true : 1",
        "request.body",
        "int(request.body.digits) > 0",
        "duration(request.body.text) > duration('1s')",
        "timestamp(request.body.text) > time",
        "cmp(request.body.list, '1') < 0",
        "cmp(request.body.text, '1') < 0",
        "cmp('1') < 0",
    ],
)
def test_what_can_not_be_decided_never_allows(when: str) -> None:
    """Overflow, division by zero, missing fields, wrong types, hopeless patterns."""
    try:
        held = _holds(
            when,
            low=-(2**63),
            high=2**63 - 1,
            big=2**63,
            one=1,
            text="aaa",
            digits="9" * 30,
            list=[1],
        )
    except ConditionFailed:
        return
    assert not held


def test_a_name_with_a_null_is_another_name() -> None:
    """Nothing is cut off at it, and case counts."""
    assert _holds('request.body.market == "BTC"', market="BTC")
    for market in ("BTC\0", "btc", "BTC ", ["BTC"], {"BTC": 1}):
        assert not _holds('request.body.market == "BTC"', market=market)
        assert not _holds('request.body.market in ["BTC"]', market=market)


def test_no_pattern_and_no_body_stalls_a_decision() -> None:
    """The library's patterns take linear time, however they are nested."""
    began = time.process_time()
    for pattern in ("(a+)+$", "(a|a)*b", "(.*)*x", "^(([a-z])+.)+[A-Z]([a-z])+$"):
        assert not _holds(f'request.body.text.matches("{pattern}")', text="a" * 200_000 + "!")
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    "text",
    [
        "(" * 2_000 + "1" + ")" * 2_000,
        "[" * 2_000 + "]" * 2_000,
        "!" * 4_000 + "true",
        "-" * 4_000 + "1 == 1",
        "true ? true : " * 290 + "true",
        "request" + ".a" * 2_000,
        "size(" * 600 + "request" + ")" * 600,
        "[1].all(x, " * 300 + "true" + ")" * 300,
        "true" + " || true" * 500,
        "1" + "+1" * 2_000 + " == 1",
    ],
)
def test_an_expression_however_deep_neither_crashes_nor_stalls(text: str) -> None:
    """It loads, or it is refused with a reason."""
    began = time.process_time()
    with suppress(ConditionInvalid):
        Condition(text)
    assert time.process_time() - began < 1


def test_a_failing_function_writes_nothing_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """The library would write a line for each, as often as a caller asks."""
    with pytest.raises(ConditionFailed):
        _holds("cmp(request.body.amount, '1') < 0", amount="x")

    assert [] == caplog.records


def test_a_rule_that_denies_all_denies_before_the_key_is_looked_at() -> None:
    """Whoever is denied every signature does not find out what keys there are."""
    rules = policy("deny: [sign]", "allow: [sign, login]")

    with pytest.raises(PolicyDenied) as caught:
        rules.admit(DESK, Action.SIGN, "k")

    assert "r1" == caught.value.metadata["rule"]
    assert "r2" == rules.admit(DESK, Action.LOGIN, "k")
    for narrower in ("deny: [tag:trade]", "deny: [sign], mode: shadow", "deny: [sign-unlisted]",
                     "deny: [sign], when: 'false'", "deny: [login]"):  # fmt: skip
        assert "r2" == policy(narrower, "allow: [sign]").admit(DESK, Action.SIGN, "k")


def test_a_rule_for_operations_opens_no_key_for_documents() -> None:
    """It may deny one by its tag; to allow it, it must name the action as well."""
    rules = policy("allow: [tag:trade, op:order/new]", "allow: [sign-message]")

    for action in (Action.SIGN_TYPED_DATA, Action.LOGIN):
        with pytest.raises(PolicyDenied):
            rules.admit(DESK, action, "k")


def test_a_document_is_named_by_one_rule_whole() -> None:
    """The action by one rule and the tag by another do not add up; a message has no tag."""
    approve = Operation("approve", "POST", "/fapi/v3/approveAgent", ("key-management",))
    harmless = Operation("look", "GET", "/fapi/v3/agent", ("read",))
    key = ASTER.key

    def ask_of(*operations: Operation) -> Question:
        action, typed_data = Action.SIGN_TYPED_DATA, {"message": None}
        return Question(
            DESK, action, key.key_id, key, "aster", operations=operations, typed_data=typed_data
        )

    apart = ("allow: [sign-typed-data]", "allow: [sign, tag:key-management, sign-message]")
    together = "allow: [sign-typed-data, tag:key-management]"
    assert not allows(ask_of(approve), *apart)
    assert allows(ask_of(approve), together)
    assert not allows(ask_of(approve), together, "deny: ['@key-management']")
    assert allows(ask_of(harmless), *apart)
    assert allows(ask_of(), *apart)
    assert not allows(ask_of(), "deny: [sign-typed-data]", *apart)
    assert not allows(ask_of(), apart[1])


def test_a_venues_deny_counts_once_the_venue_is_known() -> None:
    """And another venue's allow does not."""
    denied = policy("deny: [sign], venues: [aster]", "allow: [sign]")
    other = policy("allow: [sign], venues: [aster]")

    assert "r2" == denied.admit(DESK, Action.SIGN, "k")
    assert "r2" == denied.admit(DESK, Action.SIGN, "k", "whitebit")
    assert "r1" == other.admit(DESK, Action.SIGN, "k")
    for rules, venue in ((denied, "aster"), (other, "whitebit")):
        with pytest.raises(PolicyDenied):
            rules.admit(DESK, Action.SIGN, "k", venue)


def test_a_rule_in_shadow_lets_nobody_in() -> None:
    """It counts for who goes on to decide, so that what it would have said is told."""
    rules = policy("allow: [sign], mode: shadow")

    with pytest.raises(PolicyDenied):
        rules.admit(DESK, Action.SIGN, "k")
    assert "r1" == rules.admit(DESK, Action.SIGN, "k", in_shadow=True)


@pytest.mark.parametrize(
    "pattern",
    ["spiffe://*", "spiffe://desk*", "spiffe://*.example/mm", "spiffe://de*k.example/mm",
     "https://desk*/x", "SPIFFE://*"],
)  # fmt: skip
def test_a_star_in_a_trust_domain_is_refused_where_it_allows(pattern: str) -> None:
    """`*` stands for '/' as well: `spiffe://*.example/mm` is also evil.org/a.example/mm."""
    text = "version: 1\nrules:\n  - {{name: r, callers: ['{}'], keys: ['*'], {}: [login]}}\n"

    with pytest.raises(ConfigInvalid, match=r"line 3: rules\[0\]\.callers\[0\]: has '\*' in the"):
        parse_policy(text.format(pattern, "allow"), "p", VENUES)
    assert parse_policy(text.format(pattern, "deny"), "p", VENUES)


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("spiffe://a/*", "spiffe://a/b", True),
        ("spiffe://a/*", "spiffe://a@evil/b", False),
        ("spiffe://a/*", "spiffe://a:1/b", False),
        ("spiffe://a/*", "spiffe://a.evil/b", False),
        ("spiffe://a/*", "SPIFFE://a/b", False),
        ("spiffe://a/*", "https://x/spiffe://a/b", False),
        ("spiffe://a/mm", "spiffe://a/*", False),
        ("spiffe://a/mm", "spiffe://a/mm\n", False),
        ("spiffe://a/m?", "spiffe://a/mm", False),
        ("spiffe://a/[m]", "spiffe://a/m", False),
        ("spiffe://a/mm", "*", False),
        ("*", "*", True),
    ],
)
def test_a_callers_name_is_never_a_pattern(pattern: str, name: str, expected: bool) -> None:
    """Only rules have patterns, and their one mark is `*`."""
    text = (
        f"version: 1\nrules:\n  - {{name: r, callers: ['{pattern}'], keys: ['*'], allow: [login]}}"
    )
    rules = Policy(parse_policy(text, "p", VENUES), FakeClock())

    assert expected == rules.allows(Caller(name, "mtls-spiffe"), Action.LOGIN, "k")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rules: [{name: a, name: b, callers: ['*'], keys: ['*'], allow: [login]}]", "duplicate"),
        ("rules: [{name: a, callers: ['*'], keys: ['*'], allow: [on]}]", "valid string|names"),
        ("rules: [{name: yes, callers: ['*'], keys: ['*'], allow: [login]}]", ""),
        ("rules: [{name: a, callers: ['*'], keys: ['*'], allow: [l\u043egin]}]", "names nothing"),
        (
            "rules: [{name: a, callers: ['*'], keys: ['*'], \u0430llow: [login]}]",
            "Extra|not permitted",
        ),
        ("rules: [{name: a, callers: ['*'], keys: ['*'], Deny: [login]}]", "Extra|not permitted"),
        ("rules: [{name: a, callers: ['*'], keys: [0o17], allow: [login]}]", "valid string"),
        ("rules: [{name: a, callers: ['*'], keys: ['*'], allow: [login, null]}]", "valid string"),
        ("rules: [{name: a, callers: [~], keys: ['*'], allow: [login]}]", "valid string"),
        ("rules: [{name: 017, callers: ['*'], keys: ['*'], allow: [login]}]", "valid string"),
        ("rules: [{name: a, callers: ['*'], keys: ['*'], allow: [login], accept_bearer: 2}]", "oo"),
        ("rules: [{name: a, callers: ['*'], keys: ['*'], deny: [login], mode: Shadow}]", "enforce"),
        ("rules: [{name: a, callers: ['*'], keys: ['*'], allow: [], deny: []}]", "one of"),
        ("rules: [{name: a, callers: ['*\u200b'], keys: ['*'], allow: [login]}]", "pattern"),
        ("rules: [{name: a, callers: ['*'], keys: ['*'], allow: ['@Withdrawals']}]", "names"),
        ("rules: [{name: a, callers: ['*'], keys: ['*'], allow: ['tag:Trade']}]", "has the tag"),
        ("rules: [{name: a, callers: ['*'], keys: ['*'], allow: ['tag: trade']}]", "has the tag"),
        ("rules: [{name: a, callers: ['*'], keys: ['*'], allow: [!!str login]}]", "valid string"),
        ("rules: [{name: a, callers: ['*'], keys: ['*'], allow: [login], when: true}]", "string"),
        ("rules: [{name: a, callers: ['*'], keys: ['*'], allow: [login], when: ''}]", "when"),
    ],
)
def test_what_yaml_makes_of_a_word_is_not_guessed(text: str, message: str) -> None:
    """Booleans, octals, nulls, look-alike letters and doubled keys: refused, or plain text."""
    if not message:
        assert parse_policy("version: 1\n" + text, "p", VENUES)
        return
    with pytest.raises(ConfigInvalid, match=message):
        parse_policy("version: 1\n" + text, "p", VENUES)


def test_a_merged_rule_is_the_whole_rule() -> None:
    """Anchors and merge keys give what they say, and an own key beats a merged one."""
    text = """\
version: 1
rules:
  - &base {name: base, callers: ["a"], keys: ["*"], allow: [login]}
  - {<<: *base, name: other, callers: ["b"], keys: ["k"]}
"""
    rules = Policy(parse_policy(text, "p", VENUES), FakeClock())

    told = [
        [rules.allows(Caller(name, ""), Action.LOGIN, key) for key in ("k", "j")]
        for name in ("a", "b", "c")
    ]
    assert [[True, True], [True, False], [False, False]] == told


def _holds(when: str, **body: object) -> bool:
    """Whether a condition holds for a request with this body."""
    return Condition(when).holds(Facts(_question(body), 0))


def _question(body: Mapping[str, object]) -> Question:
    return ask(WHITEBIT, "/api/v4/order/new", json.dumps(body))
