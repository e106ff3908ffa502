import pytest

from privyseald.policy.condition import Condition, ConditionInvalid


@pytest.mark.parametrize(
    "text",
    [
        'request.body.market == "X" && cmp(request.body.amount, "2") <= 0',
        'request["content"].x == 1',
        "request.body.anything.at.all == 1",
        "request.body.all(f, f in ['a']) && request.query.exists(q, q == 'a')",
        "request.body.orders.filter(o, o.side == 'buy').map(o, o.amount).size() < 3",
        "request.body.all(key, key.size() < 9 && key.startsWith('a'))",
        "request.path == 'request.content' || request.path == \"it's key.marks\"",
        r"request.path == 'it\'s key.marks'",
        "has(request.body.memo) ? request.body.memo == '' : true",
        'caller.claims.namespace == "trading" && key.labels["desk"] == "mm"',
        "typed_data.message.amount == 1 && typed_data.domain.chainId == 56",
        'time < timestamp("2030-01-01T00:00:00Z") && time.getDayOfWeek() in [1, 2]',
        "int(request.body.n) + 1 > -3 && type(request.body) == type({})",
    ],
)
def test_what_exists_may_be_named(text: str) -> None:
    """Whatever a request may hold; texts and loops are no names of ours."""
    assert Condition(text).text == text


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        ("wish.body.a == 1", "wish"),
        ("request.body.a == 1 && wish.body.b == 1", "wish"),
        ("request.body.a == 1 && foo(1)", "foo"),
        ("request.path.lower() == 'a'", "lower"),
        ("request.content.a == 1", "request.content"),
        ("key.marks.a == 'b'", "key.marks"),
        ("caller . title == 'b'", "caller.title"),
        ("typed_data.primaryType == 'Mail'", "typed_data.primaryType"),
        ("request.body.all(f, g == 1)", "g"),
        ("'request.content' == request.content", "request.content"),
        ("amount < 2", "amount"),
    ],
)
def test_what_does_not_exist_is_found_when_it_is_read(text: str, unknown: str) -> None:
    """Wherever in the condition it stands: it would fail for each request, and a rule that
    allows would never do so.
    """
    with pytest.raises(ConditionInvalid) as caught:
        Condition(text)

    assert f"uses a name that does not exist: {unknown}; there are caller.claims" in str(
        caught.value
    )
