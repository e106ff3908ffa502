import pytest

from fakes import credential
from privyseald.errors import BodyInvalid, FieldInvalid, ParameterReserved, RequestInvalid
from privyseald.key import Algorithm
from privyseald.strict_json import parse
from privyseald.venues.http_request import check_parameters
from privyseald.venues.likeness import check_bundle, check_keys, likeness
from venues.desk import ask

WHITEBIT = credential("whitebit", Algorithm.HMAC_SHA512, "secret", {"api_key": "key"})
ASTER = credential("aster", Algorithm.HMAC_SHA256, "secret", {"api_key": "key"})
SPELLINGS = (
    "Side",
    "SIDE",
    "s_ide",
    "side-",
    "\u017fide",
    " side",
    "side\0",
    "side[]",
    "side[0]",
    "!side",
    "\uff53ide",
    "%73ide",
)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_name_in_another_spelling_is_the_same_name(spelling: str) -> None:
    """In a query or form and in a JSON object, a second spelling is a second value."""
    assert "side" == likeness(spelling)
    with pytest.raises(FieldInvalid, match="twice"):
        check_parameters(["side", spelling], frozenset(), "http_request.query")
    with pytest.raises(BodyInvalid, match="some servers take for"):
        check_keys({"side": "buy", spelling: "sell"}, "http_request.body")
    with pytest.raises(ParameterReserved):
        check_parameters([spelling], frozenset({"side"}), "http_request.query")


def test_names_that_differ_in_letters_stand_beside_each_other() -> None:
    """Also those of marks alone, which no server takes for anything."""
    names = ["side", "sides", "side2", "id", "!", "?", "", "ß", "価格"]

    check_keys(dict.fromkeys(names), "http_request.body")
    assert len(names) == len({likeness(name) for name in names})


def test_keys_are_told_apart_at_any_depth() -> None:
    """Inside lists and objects, too; the same key in two objects is no doubt."""
    check_keys(parse(b'[{"a":1},{"A":{"a":[{"a":1}]}}]', "body"), "body")
    for text in (b'{"o":[{"a":1,"A":2}]}', b'[[{"b":{"x_y":1,"xY":2}}]]'):
        with pytest.raises(BodyInvalid):
            check_keys(parse(text, "body"), "body")


@pytest.mark.parametrize(
    "body",
    [
        '{"market":"BTC_USDT","Market":"ETH_USDT"}',
        '{"m\\u0061rket":"BTC_USDT","MARKET":"ETH_USDT"}',
        '{"orders":[{"amount":"1","Amount":"9"}]}',
        '{"Request":"/api/v4/main-account/withdraw"}',
        '{"NONCE":1}',
        '{"nonce_window":false}',
    ],
)
def test_whitebit_is_not_sent_what_could_be_read_in_two_ways(body: str) -> None:
    """What stands twice but for case, and what would replace the members that are signed in."""
    with pytest.raises(RequestInvalid) as caught:
        ask(WHITEBIT, "POST", "/api/v4/order/new", body)

    assert "http_request.body" == caught.value.field


@pytest.mark.parametrize(
    ("target", "body"),
    [
        ("/fapi/v1/order?symbol=BTCUSDT&Symbol=ETHUSDT", ""),
        ("/fapi/v1/order?symbol=BTCUSDT", "SYMBOL=ETHUSDT"),
        ("/fapi/v1/order?symbol=BTCUSDT", "symbol[]=ETHUSDT"),
        ("/fapi/v1/order?Timestamp=1", ""),
    ],
)
def test_aster_is_not_sent_what_could_be_read_in_two_ways(target: str, body: str) -> None:
    """In one place, and across query and body."""
    with pytest.raises(RequestInvalid):
        ask(ASTER, "POST", target, body)


@pytest.mark.parametrize("body", ["0=1", ".5=1", "e3=1", "USDT=1", "%30=1", "_=1"])
def test_a_body_does_not_go_on_the_querys_last_value(body: str) -> None:
    """V1 joins the two with nothing between: `quantity=1` and `0=1` are signed as
    `quantity=10=1`, which could be cut behind the 10.
    """
    with pytest.raises(FieldInvalid, match="joined with nothing between"):
        ask(ASTER, "POST", "/fapi/v1/order?symbol=BTC&quantity=1", body)

    ask(ASTER, "POST", "/fapi/v1/order?symbol=BTC&quantity=1", "price=1")


@pytest.mark.parametrize("name", ["market", "symbol", "side", "amount", "quantity", "price"])
@pytest.mark.parametrize("bundle", ["orders", "batchOrders", "subOrderList", "Batch_Orders"])
def test_a_list_of_orders_stands_alone(name: str, bundle: str) -> None:
    """Beside a single order's fields, a rule for `market` would look at what does not count."""
    with pytest.raises(FieldInvalid, match="give the list alone"):
        check_bundle([bundle, name], "http_request.body")

    check_bundle([bundle, "stopOnFail", "recvWindow"], "http_request.body")
    check_bundle([name, "orderId"], "http_request.body")


def test_bundles_are_refused_at_the_venues() -> None:
    """WhiteBIT's and Aster's lists of orders."""
    with pytest.raises(FieldInvalid):
        ask(WHITEBIT, "POST", "/api/v4/order/bulk", '{"orders":[],"market":"BTC_USDT"}')
    with pytest.raises(FieldInvalid):
        ask(ASTER, "POST", "/fapi/v1/batchOrders?batchOrders=%5B%5D&symbol=BTCUSDT")
    ask(WHITEBIT, "POST", "/api/v4/order/bulk", '{"orders":[{"market":"BTC_USDT"}]}')
