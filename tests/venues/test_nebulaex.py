"""NebulaEX: what it takes, and what it returns to send."""

import pytest

from fakes import NOW_MS, credential
from privyseald.errors import BodyInvalid, FieldInvalid, RequestInvalid
from privyseald.key import Algorithm
from privyseald.venues.venue import Coverage, NonceOrder, NonceUnit
from venues.desk import VENUES, ask, sign

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
ORDERS = "/api/v2/trading/market/orders"
KEYED = credential(
    "nebulaex",
    Algorithm.HMAC_SHA256,
    "2d0b4979c7fe6986daa8e21d1dc0644f",
    {"api_key": "61d025b8573501c2"},
)
HEADERS = (
    ("X-Auth-Apikey", "61d025b8573501c2"),
    ("X-Auth-Nonce", "1700000000000"),
    ("X-Auth-Signature", "d12ce287bd8aadec86968324d956b2bf7417209019be43bbc2f181178d32636a"),
)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b' {"price" : 1.10, "side":"buy"} ', ""),
        (b'{"price":1e-07,"text":"\\u00e9"}', JSON),
        (b"[1,2]", "Application/JSON; charset=utf-8"),
        (b"currency=btc&amount=0.10&list%5B%5D=1&list%5B%5D=2", FORM),
    ],
    ids=["spaced", "digits", "charset", "form"],
)
async def test_a_body_is_sent_as_it_was_given(body: bytes, content_type: str) -> None:
    """The signature covers no body, so not a byte of it is touched."""
    signed = await sign(KEYED, "POST", ORDERS, body, content_type)
    assert signed.headers == (("Content-Type", content_type or JSON), *HEADERS)
    assert body == signed.body
    assert signed.url == f"https://trade.nebulaecn.com{ORDERS}"
    assert signed.method == "POST"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH"])
async def test_the_same_headers_are_good_for_any_request(method: str) -> None:
    """Neither method, path nor query is covered: the headers are the same for all."""
    signed = await sign(KEYED, method, "/api/v2/backend/account/balances?limit=1&page=%20")
    assert signed.headers == HEADERS
    assert signed.url.endswith("/balances?limit=1&page=%20")
    assert (signed.body, signed.expire_time_ms) == (b"", NOW_MS + 5_000)


def test_json_is_read_for_policy() -> None:
    """What a body says is at hand, numbers as their text."""
    assert ask(KEYED, "POST", ORDERS, '{"price":1.10}').json == {"price": "1.10"}


@pytest.mark.parametrize(
    ("body", "content_type", "error", "field"),
    [
        ('{"a":1,"a":2}', "", BodyInvalid, "http_request.body"),
        ('{"a":1,"\\u0061":2}', f"{JSON}; charset=utf-8", BodyInvalid, "http_request.body"),
        ("a=1", "", BodyInvalid, "http_request.body"),
        ("a=1", JSON, BodyInvalid, "http_request.body"),
        ("a=1&a=2", FORM, FieldInvalid, "http_request.body"),
        ("a=1&%61=2", FORM, FieldInvalid, "http_request.body"),
        ("a=1;b=2", FORM, BodyInvalid, "http_request.body"),
        ('{"a":1}', FORM, BodyInvalid, "http_request.body"),
        ("<a/>", "text/xml", FieldInvalid, "http_request.content_type"),
        ("x", "multipart/form-data", FieldInvalid, "http_request.content_type"),
    ],
)
def test_a_body_with_two_readings_is_refused(
    body: str, content_type: str, error: type[RequestInvalid], field: str
) -> None:
    """Doubled names, and media types that nobody here reads, do not pass."""
    with pytest.raises(error) as caught:
        ask(KEYED, "POST", ORDERS, body, content_type)
    assert field == caught.value.field


@pytest.mark.parametrize("query", ["a=1&a=2", "a=1&%61=2", "a=1&&b=2", "=1", "a=1&"])
def test_a_query_with_two_readings_is_refused(query: str) -> None:
    """A name stands once, and has letters."""
    with pytest.raises(FieldInvalid) as caught:
        ask(KEYED, "GET", f"{ORDERS}?{query}")
    assert caught.value.field == "http_request.query"


def test_a_nonce_is_a_time_in_milliseconds_that_grows() -> None:
    """Barong takes less than 5 s of difference; the guide asks for a new one each time."""
    policy = VENUES.get("nebulaex").nonce_policy(KEYED, None)
    assert policy is not None
    assert (policy.unit, policy.order, policy.window_ms) == (
        NonceUnit.MS,
        NonceOrder.INCREASING,
        5_000,
    )
    assert VENUES.get("nebulaex").coverage is Coverage.NOTHING
