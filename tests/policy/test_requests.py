from collections.abc import Mapping
from typing import Any

import pytest

from fakes import FakeClock
from privyseald.caller import Caller
from privyseald.errors import PolicyDenied
from privyseald.key import Key, KeyState
from privyseald.policy.action import Action
from privyseald.policy.decision import Reading
from privyseald.policy.file import parse_policy
from privyseald.policy.policy import Policy
from privyseald.policy.question import Question, ask_of_request
from privyseald.strict_json import parse
from privyseald.venues.http_request import make_request
from privyseald.venues.registry import Venues

DESK = Caller("desk", "mtls-spiffe")
VENUES = Venues()


def policy(*rules: str) -> Policy:
    """Return a policy of rules, each given in YAML's one-line form behind callers and keys."""
    texts = [
        f'  - {{name: r{number}, callers: ["*"], keys: ["*"], {text}}}\n'
        for number, text in enumerate(rules, start=1)
    ]
    text = "version: 1\nrules:\n" + "".join(texts)
    return Policy(parse_policy(text, "p.yaml", VENUES), FakeClock())


def ask(
    venue: str = "whitebit",
    target: str = "/api/v4/order/new",
    body: bytes = b"",
    method: str = "POST",
    labels: Mapping[str, str] | None = None,
) -> Question:
    """Return the question of a request with the key `k`."""
    found = VENUES.get(venue)
    key = Key("k", venue, "production", "a", "id", KeyState.ENABLED, 1, 0, 0, labels=labels or {})
    request = make_request(method, target, (), body, "")
    if body.startswith(b"{"):
        object.__setattr__(request, "json", parse(body, "body"))
    table = VENUES.operation_table(found)
    return ask_of_request(DESK, key, request, found.coverage, table)


def decided(rules: Policy, question: Question) -> str:
    """Return the deciding rule behind + or -, or a word of why."""
    decision = rules.decide(question)
    return ("+" if decision.allowed else "-") + (decision.rule or decision.why)


@pytest.mark.parametrize(
    ("selector", "target", "expected"),
    [
        ("sign", "/api/v4/order/new", True),
        ("sign", "/api/v4/main-account/withdraw", False),
        ("sign", "/api/v4/main-account/transfer", False),
        ("sign", "/api/v4/sub-account/api-key/create", False),
        ("sign", "/api/v4/brand/new", False),
        ("sign-unlisted", "/api/v4/brand/new", True),
        ("sign-unlisted", "/api/v4/order/new", False),
        ("tag:trade", "/api/v4/order/new", True),
        ("tag:trade", "/api/v4/main-account/balance", False),
        ("tag:withdrawal", "/api/v4/main-account/withdraw", True),
        ('"@withdrawals"', "/api/v4/main-account/withdraw-pay", True),
        ("op:order/new", "/api/v4/order/new", True),
        ("op:order/new", "/api/v4/order/market", False),
        ('"POST /api/v4/order/*"', "/api/v4/order/market", True),
        ('"POST /api/v4/order/*"', "/api/v4/order/collateral/limit", False),
        ('"POST /api/v4/order/**"', "/api/v4/order/collateral/limit", True),
        ('"GET /api/v4/order/**"', "/api/v4/order/collateral/limit", False),
        ('"* /api/v4/brand/*"', "/api/v4/brand/new", True),
        ('"POST /api/v4/order/new"', "/api/v4/order/newer", False),
    ],
)
def test_a_selector_selects_what_it_says(selector: str, target: str, expected: bool) -> None:
    """Plain `sign` takes what is known and not sensitive; all else must be named."""
    assert expected == policy(f"allow: [{selector}]").decide(ask(target=target)).allowed


@pytest.mark.parametrize(
    "target",
    [
        "/api/v4/main-account/withdraw",
        "/API/V4/main-account/withdraw",
        "/api/v4/main-account/Withdraw",
        "/api/v4/main-account/withdraw/",
        "/api/v4/main-account/withdraw.json",
        "/api/v4/main-account/withdraw.JSON/",
    ],
)
def test_no_spelling_of_a_path_goes_past_a_deny_rule(target: str) -> None:
    """A lenient server may take them all for the same, so a rule does."""
    rules = policy("deny: ['@withdrawals']", "allow: [sign, sign-unlisted, 'POST /**']")

    assert "-r1" == decided(rules, ask(target=target))


def test_deny_beats_allow_in_any_order() -> None:
    """Where a rule denies, no other rule helps."""
    for order in (("allow: [sign]", "deny: [tag:trade]"), ("deny: [tag:trade]", "allow: [sign]")):
        rules = policy(*order)

        assert not rules.decide(ask()).allowed
        assert rules.decide(ask(target="/api/v4/main-account/balance")).allowed


def test_sign_in_a_deny_rule_means_every_request() -> None:
    """Also what no table knows."""
    rules = policy("deny: [sign]", "allow: [sign, sign-unlisted]")

    assert ["-r1"] * 2 == [decided(rules, ask(target=t)) for t in ("/api/v4/x", "/api/v4/orders")]


@pytest.mark.parametrize(
    ("when", "body", "expected"),
    [
        ('request.body.market == "BTC_USDT"', b'{"market":"BTC_USDT"}', True),
        ('request.body.market == "BTC_USDT"', b'{"market":"ETH_USDT"}', False),
        ('request.body.market == "BTC_USDT"', b"{}", False),
        ('cmp(request.body.amount, "2.5") <= 0', b'{"amount":"2.50"}', True),
        ('cmp(request.body.amount, "2.5") <= 0', b'{"amount":2.5000000000000000001}', False),
        ('cmp(request.body.amount, "2.5") <= 0', b'{"amount":"NaN"}', False),
        ('cmp(request.body.amount, "2.5") <= 0', b'{"amount":"1e400"}', False),
        ('cmp(request.body.amount, "2.5") <= 0', b'{"amount":true}', False),
        ("request.body.amount <= 2", b'{"amount":2}', True),
        ("request.body.amount <= 2", b'{"amount":"2"}', False),
        ("request.body.amount <= 2", b'{"amount":9223372036854775808}', False),
        ('request.operation == "order/new" && "trade" in request.tags', b"", True),
        ('request.method == "POST" && request.path.startsWith("/api/")', b"", True),
        ('key.labels["desk"] == "mm"', b"", True),
        ('key.labels["team"] == "mm"', b"", False),
        ('key.venue == "whitebit" && caller.name == "desk"', b"", True),
        ('time < timestamp("2030-01-01T00:00:00Z")', b"", True),
        ("request.body.market", b'{"market":"BTC_USDT"}', False),
        ("1 / (request.body.n - 1) == 1", b'{"n":1}', False),
        ("request.body.orders.all(o, o.side == 'buy')", b'{"orders":[{"side":"buy"}]}', True),
        ("request.body.orders.all(o, o.side == 'buy')", b'{"orders":[{}]}', False),
    ],
)
def test_a_condition_allows_only_where_it_is_true(when: str, body: bytes, expected: bool) -> None:
    """A field that is missing, a type that does not fit, a division by zero: none allows. The
    same condition in a deny rule lets pass only where it is surely false.
    """
    quoted = when.replace("'", "''")
    question = ask(body=body, labels={"desk": "mm"})

    assert expected == policy(f"allow: [sign], when: '{quoted}'").decide(question).allowed
    if expected:
        denying = policy(f"deny: [sign], when: '{quoted}'", "allow: [sign]")
        assert not denying.decide(question).allowed


def test_a_condition_that_fails_denies_in_a_deny_rule() -> None:
    """Who leaves the field out does not go past the rule that looks at it."""
    rules = policy("deny: [sign], when: 'cmp(request.body.amount, \"2\") > 0'", "allow: [sign]")

    answers = [decided(rules, ask(body=b)) for b in (b'{"amount":"1"}', b'{"amount":"3"}', b"{}")]

    assert ["+r2", "-r1", "-r1"] == answers


def test_a_query_and_a_form_are_maps_of_texts() -> None:
    """Aster's parameters can be looked at wherever they stand."""
    rules = policy("allow: [tag:trade], when: 'request.query.symbol == \"BTCUSDT\"'")

    assert rules.decide(ask("aster", "/fapi/v1/order?symbol=BTCUSDT&side=BUY")).allowed
    assert not rules.decide(ask("aster", "/fapi/v1/order?symbol=ETHUSDT&side=BUY")).allowed
    rules = policy("allow: [tag:trade], when: 'request.body.symbol == \"BTC USDT\"'")
    assert rules.decide(ask("aster", "/fapi/v1/order", b"symbol=BTC+USDT")).allowed


@pytest.mark.parametrize("venue", ["nebulaex", "kiiex"])
def test_a_signature_that_binds_nothing_must_be_accepted_by_name(venue: str) -> None:
    """Of such a venue, a rule that looks at requests promises what it can't hold."""
    target = {"nebulaex": "/api/v2/trading/market/orders", "kiiex": "/ap/SendOrder"}[venue]
    for allow in ("sign", "tag:trade", "'POST /**'"):
        rules = policy(f"allow: [{allow}]")

        with pytest.raises(PolicyDenied, match="accept_bearer"):
            rules.require(ask(venue, target))
        accepting = policy(f"allow: [{allow}], accept_bearer: true")
        assert accepting.decide(ask(venue, target)).allowed
    assert policy("allow: [login]").allows(DESK, Action.LOGIN, "k")


def test_a_rule_in_shadow_decides_nothing_and_is_told() -> None:
    """What it would have denied is allowed, what it would have allowed is denied."""
    denying = policy("deny: [tag:trade], mode: shadow", "allow: [sign]")
    allowing = policy("allow: [sign], mode: shadow")

    assert (True, "r2", ("r1",)) == _told(denying.decide(ask()))
    assert (False, "", ("r1",)) == _told(allowing.decide(ask()))
    assert (True, "r2", ()) == _told(denying.decide(ask(target="/api/v4/main-account/balance")))


def _told(decision: Any) -> tuple[bool, str, tuple[str, ...]]:
    return decision.allowed, decision.rule, decision.shadow


def test_the_limits_are_those_of_the_rule_that_allows() -> None:
    """The first rule that allows decides, and no other's limits hold."""
    rules = policy(
        "allow: [op:order/new], limits: [{rate: 5, window: 1s, per: [caller]}]",
        'allow: [sign], limits: [{notional: "250.5 USDT", window: 24h}]',
    )

    ((_, rate),) = rules.decide(ask()).limits
    ((_, worth),) = rules.decide(ask(target="/api/v4/order/market")).limits

    assert (5, 1_000, "") == (rate.amount, rate.window_ms, rate.currency)
    assert (25_050_000_000, 86_400_000, "USDT") == (worth.amount, worth.window_ms, worth.currency)


def test_rules_can_be_replaced_while_others_ask() -> None:
    """What was decided before is not remembered."""
    rules = policy("allow: [sign]")
    assert rules.decide(ask()).allowed

    rules.replace(policy("deny: [sign]").rules)

    assert not rules.decide(ask()).allowed


def test_every_rule_says_how_it_read_the_question() -> None:
    """For the officer who asks why."""
    text = """\
version: 1
rules:
  - {name: a, callers: [other], keys: ["*"], allow: [sign]}
  - {name: b, callers: ["*"], keys: [other], allow: [sign]}
  - {name: c, callers: ["*"], keys: ["*"], venues: [aster], allow: [sign]}
  - {name: d, callers: ["*"], keys: ["*"], allow: [tag:read]}
  - {name: e, callers: ["*"], keys: ["*"], allow: [sign], when: "request.body.n == 1"}
  - {name: f, callers: ["*"], keys: ["*"], allow: [sign], when: "request.body.x == 1"}
  - {name: g, callers: ["*"], keys: ["*"], allow: [sign]}
"""
    rules = Policy(parse_policy(text, "p.yaml", VENUES), FakeClock())

    readings = [each.reading for each in rules.explain(ask(body=b'{"n":2}'))]

    assert readings == [each for each in Reading if each is not Reading.BEARER]


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("allow: [tag:nothing]", r"line 3: rules\[0\]\.allow\[0\]: no operation has the tag"),
        ("allow: [op:nothing]", r"no venue has an operation of this name"),
        ("allow: [sing]", r"'sing' names nothing: give an action"),
        ("allow: ['FETCH /a']", r"must begin with one of \*"),
        ("allow: ['GET /a//b']", r"has no path that could be asked for"),
        ("allow: [sign], deny: [sign]", r"rules\[0\]: a rule has one of 'allow' and 'deny'"),
        ("allow: [sign], when: '1 +'", r"rules\[0\]\.when: is not CEL"),
        ("allow: [sign], when: 'foo(1)'", r"when: uses a name that does not exist"),
        ("allow: [sign], when: 'wish.body.a == 1'", r"when: uses a name that does not exist"),
        ("allow: [sign], venues: [nowhere]", r"venues\[0\]: there is no such venue"),
        ("allow: [sign], venues: [kiiex]", r"a signature of kiiex does not cover the request"),
        ("allow: [sign], limits: [{rate: 1}]", r"limits\[0\]\.window"),
        ("allow: [sign], limits: [{window: 1s}]", r"a limit has one of 'rate' and 'notional'"),
        ("allow: [sign], limits: [{rate: 1, window: 90d}]", r"at most 31 days"),
        ("deny: [sign], limits: [{rate: 1, window: 1s}]", r"a rule that denies has no limits"),
        ("deny: [sign], accept_bearer: true", r"accept_bearer is for rules that allow"),
        ("allow: [sign], mode: off", r"rules\[0\]\.mode"),
    ],
)
def test_a_mistake_in_a_rule_is_named_with_its_line(rule: str, message: str) -> None:
    """The loader says where and what would be right."""
    with pytest.raises(Exception, match=message) as caught:
        policy(rule)

    assert "ConfigInvalid" == type(caught.value).__name__


def test_what_is_not_known_of_a_key_never_helps() -> None:
    """Before the key is read, a rule that allows by its facts does not, and one that denies
    does.
    """
    by_venue = "venues: [aster]"
    by_label = 'when: \'key.labels["desk"] == "mm"\''
    for look in (by_venue, by_label):
        allowing = policy(f"allow: [login], {look}")
        denying = policy(f"deny: [login], {look}", "allow: [login]")

        assert not allowing.allows(DESK, Action.LOGIN, "k")
        assert not denying.allows(DESK, Action.LOGIN, "k")
        assert allowing.looks_at_keys(DESK, Action.LOGIN, "k")

    key = Key(
        "k", "aster", "production", "a", "id", KeyState.ENABLED, 1, 0, 0, labels={"desk": "x"}
    )
    assert policy(f"allow: [login], {by_venue}").allows(DESK, Action.LOGIN, "k", key)
    assert policy(f"deny: [login], {by_label}", "allow: [login]").allows(
        DESK, Action.LOGIN, "k", key
    )
    assert not policy("allow: [login]").looks_at_keys(DESK, Action.LOGIN, "k")


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("/api/v4/main-account/withdraw", "a rule must name 'tag:withdrawal' or the operation"),
        ("/api/v4/brand/new", "is in no table of the venue's operations"),
    ],
)
def test_a_refusal_says_what_a_rule_would_have_to_name(target: str, words: str) -> None:
    """Who granted `sign` and wonders is told why it was not enough."""
    with pytest.raises(PolicyDenied, match=words):
        policy("allow: [sign]").require(ask(target=target))
