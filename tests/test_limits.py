import pytest

from fakes import FakeClock, FakeState
from privyseald.caller import Caller
from privyseald.config_error import ConfigInvalid
from privyseald.errors import LimitExceeded, PolicyDenied, StateUnavailable
from privyseald.key import Key, KeyState
from privyseald.limits import Limits, told
from privyseald.policy.action import Action
from privyseald.policy.file import parse_policy
from privyseald.policy.policy import Policy
from privyseald.policy.question import Question, ask_of_request
from privyseald.policy.rule import Limit, Per
from privyseald.strict_json import parse
from privyseald.venues.http_request import make_request
from privyseald.venues.registry import Venues

VENUES = Venues()
MINUTE_MS = 60_000
ORDER = b'{"market":"BTC_USDT","side":"buy","amount":"0.5","price":"60000"}'


def policy(*rules: str) -> Policy:
    """Return a policy of rules, each given in YAML's one-line form behind its name."""
    lines = (f"  - {{name: r{number}, {text}}}\n" for number, text in enumerate(rules, start=1))
    text = "version: 1\nrules:\n" + "".join(lines)
    return Policy(parse_policy(text, "p.yaml", VENUES), FakeClock())


def of_all(limits: str, allow: str = "[sign]") -> Policy:
    """Return a policy of one rule, for all callers and keys, with these limits."""
    return policy(f'callers: ["*"], keys: ["*"], allow: {allow}, limits: [{limits}]')


def ask(
    body: bytes = ORDER,
    path: str = "/api/v4/order/new",
    *,
    caller: str = "desk",
    key_id: str = "k",
    venue: str = "whitebit",
) -> Question:
    """Return the question of an order."""
    found = VENUES.get(venue)
    key = Key(key_id, venue, "production", "a", "id", KeyState.ENABLED, 1, 0, 0)
    request = make_request("POST", path, (), body, "application/json")
    object.__setattr__(request, "json", parse(body, "body"))
    table = VENUES.operation_table(found)
    return ask_of_request(Caller(caller, "mtls-spiffe"), key, request, found.coverage, table)


class Desk:
    """Spends at one state, whose time stands still."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.state = FakeState(self.clock)
        self.limits = Limits(self.state, VENUES)

    async def spend(self, rules: Policy, question: Question, *, look: bool = False) -> None:
        """Decide and spend."""
        decision = rules.decide(question)
        assert decision.allowed, decision.why
        await self.limits.spend(question, decision, look=look)

    async def room(self, rules: Policy, question: Question) -> int:
        """Spend until there is no more room, and return how often that was."""
        for count in range(100):
            try:
                await self.spend(rules, question)
            except LimitExceeded:
                return count
        return 100


@pytest.fixture
def desk() -> Desk:
    """A desk at which nothing is spent."""
    return Desk()


async def test_a_rate_counts_requests(desk: Desk) -> None:
    """As many as it says, whatever they are; and again when the window is over."""
    rules = of_all("{rate: 3, window: 1m}")

    assert 3 == await desk.room(rules, ask())
    assert 0 == await desk.room(rules, ask(b"{}", "/api/v4/main-account/balance"))
    desk.clock.advance(MINUTE_MS + 2_000)
    assert 3 == await desk.room(rules, ask())


@pytest.mark.parametrize(
    ("per", "others"),
    [("", [0, 0, 0]), ("caller", [2, 0, 2]), ("key", [0, 2, 2]), ("caller, key", [2, 2, 2])],
)
async def test_a_limit_is_shared_as_it_says(desk: Desk, per: str, others: list[int]) -> None:
    """By all, or by those of one caller, one key, or both."""
    rules = of_all(f"{{rate: 2, window: 1m, per: [{per}]}}")
    questions = [ask(caller="other"), ask(key_id="other"), ask(caller="o", key_id="o")]

    assert 2 == await desk.room(rules, ask())
    assert others == [await desk.room(rules, each) for each in questions]


async def test_rules_have_limits_of_their_own(desk: Desk) -> None:
    """The same limit of two rules is two limits."""
    limit = "limits: [{rate: 2, window: 1m}]"
    rules = policy(
        f'callers: [a], keys: ["*"], allow: [sign], {limit}',
        f'callers: [b], keys: ["*"], allow: [sign], {limit}',
    )

    assert [2, 2] == [await desk.room(rules, ask(caller=name)) for name in ("a", "b")]


async def test_a_budget_counts_what_orders_cost(desk: Desk) -> None:
    """To the last hundred-millionth; what is free costs nothing even when all is spent."""
    rules = of_all('{notional: "60000.00000001 USDT", window: 1h}')

    assert 2 == await desk.room(rules, ask())
    tiny = ORDER.replace(b"0.5", b"0.00000001").replace(b"60000", b"1")
    assert 1 == await desk.room(rules, ask(tiny))
    await desk.spend(rules, ask(b'{"market":"BTC_USDT","orderId":1}', "/api/v4/order/cancel"))
    await desk.spend(rules, ask(b"{}", "/api/v4/main-account/balance"))


async def test_all_limits_hold_and_none_is_spent_where_one_refuses(desk: Desk) -> None:
    """A budget that is spent costs no place in the rate; the one that refused is named."""
    rules = of_all('{rate: 3, window: 1m}, {notional: "30000 USDT", window: 1h, per: [key]}')

    await desk.spend(rules, ask())
    for _ in range(3):
        with pytest.raises(LimitExceeded) as caught:
            await desk.spend(rules, ask())
        assert "notional 30000 USDT in 1h per key" == caught.value.metadata["limit"]
    assert 2 == await desk.room(rules, ask(b"{}", "/api/v4/main-account/balance"))


async def test_a_refusal_says_which_limit_and_when_to_come_back(desk: Desk) -> None:
    """In the message and in the metadata, with a time that suffices."""
    rules = of_all("{rate: 1, window: 1m, per: [key, caller]}")
    await desk.spend(rules, ask())

    with pytest.raises(LimitExceeded) as caught:
        await desk.spend(rules, ask())

    error = caught.value
    limit = "rate 1 in 1m per caller, key"
    assert {"rule": "r1", "limit": limit, "key": "keys/k"} == error.metadata
    assert f"the limit of rule 'r1' ({limit}) is spent" in error.message
    assert error.retry_after_ms is not None
    assert 0 < error.retry_after_ms <= MINUTE_MS
    desk.clock.advance(error.retry_after_ms + 2_000)
    await desk.spend(rules, ask())


async def test_an_order_above_the_whole_budget_is_told_so(desk: Desk) -> None:
    """No time to come back: it never fits."""
    rules = of_all('{notional: "29999 USDT", window: 1h}')

    with pytest.raises(LimitExceeded) as caught:
        await desk.spend(rules, ask())

    assert None is caught.value.retry_after_ms
    assert "the request alone is above the limit" in caught.value.message


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        (ask(b'{"market":"BTC_USDT","side":"buy"}'), "what it may cost can't be told"),
        (ask(path="/api/v4/order/unheard-of"), "what it may cost can't be told"),
        (ask(ORDER.replace(b"USDT", b"EUR")), "its price is in EUR"),
        (
            Question(Caller("desk", "m"), Action.SIGN_MESSAGE, "k", venue="whitebit"),
            "only requests have a price",
        ),
    ],
    ids=["no price", "unlisted", "other currency", "message"],
)
async def test_what_a_budget_cant_count_is_refused(
    desk: Desk, question: Question, expected: str
) -> None:
    """Nothing passes a budget uncounted; the reason and the way out are told."""
    rules = of_all('{notional: "1000000 USDT", window: 1h}', "[sign, sign-unlisted, sign-message]")

    with pytest.raises(PolicyDenied) as caught:
        await desk.spend(rules, question)

    assert expected in caught.value.message
    assert ("r1", "notional 1000000 USDT in 1h") == (
        caught.value.metadata["rule"],
        caught.value.metadata["limit"],
    )
    assert 100 == await desk.room(of_all("{rate: 1000, window: 1h}"), ask())


async def test_a_budget_may_be_larger_than_the_state_counts(desk: Desk) -> None:
    """A hundred billion of a currency: counted in a coarser unit, and never too little."""
    rules = of_all('{notional: "100000000000 USDT", window: 1h}')
    half = ORDER.replace(b'"0.5"', b'"1"').replace(b"60000", b"50000000000.00000001")

    await desk.spend(rules, ask(half))
    with pytest.raises(LimitExceeded):
        await desk.spend(rules, ask(half))
    await desk.spend(rules, ask(half.replace(b"50000000000.00000001", b"49999999999.9")))


async def test_a_higher_amount_goes_on_from_what_was_spent(desk: Desk) -> None:
    """An officer who raises a limit gives what is above, not all of it anew."""
    assert 2 == await desk.room(of_all("{rate: 2, window: 1h}"), ask())
    assert 3 == await desk.room(of_all("{rate: 5, window: 1h}"), ask())
    assert 0 == await desk.room(of_all("{rate: 4, window: 1h}"), ask())


async def test_of_two_like_limits_the_lower_one_holds(desk: Desk) -> None:
    """They share a counter, which is not counted twice."""
    rules = of_all("{rate: 9, window: 1h}, {rate: 4, window: 1h}, {rate: 7, window: 1h}")
    assert 4 == await desk.room(rules, ask())


async def test_who_only_looks_spends_nothing(desk: Desk) -> None:
    """It hears what spending would say."""
    rules = of_all("{rate: 1, window: 1h}")

    for _ in range(3):
        await desk.spend(rules, ask(), look=True)
    await desk.spend(rules, ask())
    with pytest.raises(LimitExceeded):
        await desk.spend(rules, ask(), look=True)


async def test_without_limits_the_state_is_not_asked(desk: Desk) -> None:
    """A state that is away stops only what has limits, and what costs something."""

    async def away(_method: str, _name: str) -> None:
        raise StateUnavailable("away")

    desk.state.before = away
    await desk.spend(policy('callers: ["*"], keys: ["*"], allow: [sign]'), ask())
    await desk.spend(of_all('{notional: "1 USDT", window: 1h}'), ask(b"{}", "/api/v4/orders"))
    with pytest.raises(StateUnavailable):
        await desk.spend(of_all("{rate: 1, window: 1h}"), ask())


async def test_a_rule_in_shadow_spends_nothing(desk: Desk) -> None:
    """Its limits hold for nobody."""
    everybody = 'callers: ["*"], keys: ["*"], allow: [sign]'
    rules = policy(f"{everybody}, mode: shadow, limits: [{{rate: 1, window: 1h}}]", everybody)

    assert 100 == await desk.room(rules, ask())


async def test_a_signature_for_several_operations_is_limited_as_each_is(desk: Desk) -> None:
    """Where only parameters are signed, the limits of all rules that were needed hold."""
    question = ask(b"{}", "/fapi/v1/order", venue="aster")
    (order,) = question.operations[:1]
    cancel = next(
        each for each in VENUES.get("aster").operations if "cancel" in each.tags and each != order
    )
    object.__setattr__(question, "operations", (cancel, order))
    assert order is not None
    rules = policy(
        f'callers: ["*"], keys: ["*"], allow: ["op:{cancel.name}"], '
        "limits: [{rate: 50, window: 1h}]",
        'callers: ["*"], keys: ["*"], allow: [sign], limits: [{rate: 7, window: 1h}]',
    )

    assert 7 == await desk.room(rules, question)
    assert {"r1", "r2"} == {rule for rule, _ in rules.decide(question).limits}


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (Limit(50, 1_000), "rate 50 in 1s"),
        (Limit(1, 1_500, frozenset({Per.KEY})), "rate 1 in 1500ms per key"),
        (Limit(1, 90_000, frozenset(Per)), "rate 1 in 90s per caller, key"),
        (Limit(2, 86_400_000 * 2), "rate 2 in 2d"),
        (Limit(25_000_000_000_000, 3_600_000, currency="USDT"), "notional 250000 USDT in 1h"),
        (Limit(1, 3_600_000, currency="BTC"), "notional 0.00000001 BTC in 1h"),
        (Limit(150_000_000, 60_000, currency="BTC"), "notional 1.5 BTC in 1m"),
    ],
)
def test_a_limit_is_told_as_it_is_written(limit: Limit, expected: str) -> None:
    """With the largest unit of time that is exact, and no digit lost."""
    assert expected == told(limit)


@pytest.mark.parametrize("allow", ["[login]", "[create-key, read-key]"])
def test_a_rule_that_signs_nothing_has_no_limits(allow: str) -> None:
    """They would hold for nothing, so the file does not load, and says where and why."""
    with pytest.raises(ConfigInvalid, match=r"line 3: rules\[0\]\.limits: limits count signatures"):
        of_all("{rate: 1, window: 1s}", allow)


@pytest.mark.parametrize("allow", ["[sign-message]", "[login, sign]", "['tag:trade']"])
def test_a_rule_that_signs_something_has_limits(allow: str) -> None:
    """Whatever else it allows."""
    assert of_all("{rate: 1, window: 1s}", allow).rules[0].limits
