"""WhiteBIT: what it takes, and the body and headers that it returns to send."""

import base64
import hashlib
import hmac
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import NOW_MS, credential
from privyseald.errors import BodyInvalid, FieldInvalid, ParameterReserved, RequestInvalid
from privyseald.key import Algorithm
from privyseald.strict_json import parse
from privyseald.venues.likeness import check_keys
from privyseald.venues.venue import Coverage, NonceOrder, SignedHttpRequest
from venues.desk import VENUES, ask, sign

PATH = "/api/v4/order/new"
IN_WINDOW = credential("whitebit", Algorithm.HMAC_SHA512, "test-secret", {"api_key": "test-key"})
INCREASING = credential(
    "whitebit",
    Algorithm.HMAC_SHA512,
    "test-secret",
    {"api_key": "test-key", "nonce_window": "false"},
)
OPENING = f'{{"request":"{PATH}","nonce":{NOW_MS},"nonceWindow":true'
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


def proved(signed: SignedHttpRequest) -> bytes:
    """The body, after checking the headers against it as WhiteBIT does."""
    payload = base64.b64encode(signed.body)
    signature = hmac.new(b"test-secret", payload, hashlib.sha512).hexdigest()
    assert signed.headers == (
        ("Content-Type", "application/json"),
        ("X-TXC-APIKEY", "test-key"),
        ("X-TXC-PAYLOAD", payload.decode()),
        ("X-TXC-SIGNATURE", signature),
    )
    return signed.body


@pytest.mark.parametrize(
    ("given_body", "rest"),
    [
        (b"", "}"),
        (b"{}", "}"),
        (b" {\n} ", "}"),
        (b'{"market":"BTC_USDT"}', ',"market":"BTC_USDT"}'),
        (b'{ "b" : 1.10 , "a" : [ 1e-7 , -0 ] }', ',"b":1.10,"a":[1e-7,-0]}'),
        (b'{"url":"a\\/b","\\u0061":"\\u00fc \\\\/"}', ',"url":"a/b","\\u0061":"\\u00fc \\\\/"}'),
        ('{"memo":"Zürich 日本"}'.encode(), ',"memo":"Zürich 日本"}'),
        (b'{"a":{"nonce":1,"request":2}}', ',"a":{"nonce":1,"request":2}}'),
    ],
    ids=["nothing", "empty", "blank", "plain", "spaced", "escapes", "letters", "inner names"],
)
async def test_the_body_opens_with_request_and_nonce_and_goes_on_compact(
    given_body: bytes, rest: str
) -> None:
    """Path, nonce and window are put before the caller's members, which keep order and digits."""
    signed = await sign(IN_WINDOW, "POST", PATH, given_body)
    assert (OPENING + rest).encode() == proved(signed)
    assert signed.url == f"https://whitebit.com{PATH}"
    assert (signed.method, signed.expire_time_ms) == ("POST", NOW_MS + 5_000)


@given(
    members=st.dictionaries(st.text(max_size=6), VALUES, max_size=4),
    blank=st.sampled_from(["", " ", "\n"]),
)
async def test_any_body_keeps_its_members(members: dict[str, object], blank: str) -> None:
    """The new body is the caller's object with three members before it."""
    for name in ("request", "nonce", "nonceWindow"):
        members.pop(name, None)
    text = json.dumps(members, separators=("," + blank, ":" + blank)) + blank
    try:
        check_keys(parse(text.encode(), ""), "")
    except BodyInvalid:
        return
    body = json.loads(proved(await sign(IN_WINDOW, "POST", PATH, text)))
    assert body == {"request": PATH, "nonce": NOW_MS, "nonceWindow": True, **members}
    assert list(body) == ["request", "nonce", "nonceWindow", *members]


async def test_without_the_window_a_nonce_only_has_to_grow() -> None:
    """The key's `nonce_window: false` leaves the member out, and the answer never expires."""
    signed = await sign(INCREASING, "POST", PATH, '{"a":1}')
    assert proved(signed) == f'{{"request":"{PATH}","nonce":{NOW_MS},"a":1}}'.encode()
    assert signed.expire_time_ms is None


def test_the_window_chooses_the_rule_of_the_nonce() -> None:
    """Inside the window order is free; without it each nonce is above the last."""
    venue = VENUES.get("whitebit")
    within, above = (venue.nonce_policy(each, None) for each in (IN_WINDOW, INCREASING))
    assert within is not None
    assert above is not None
    assert (within.order, within.window_ms) == (NonceOrder.UNIQUE, 5_000)
    assert (above.order, above.window_ms) == (NonceOrder.INCREASING, None)
    assert {within, above} == set(venue.nonce_policies)
    assert venue.coverage is Coverage.PATH_AND_BODY


@pytest.mark.parametrize("name", ["request", "nonce", "nonceWindow"])
@pytest.mark.parametrize("spelling", ["plain", "escaped"])
def test_a_member_that_is_added_is_refused_however_it_is_spelt(name: str, spelling: str) -> None:
    """No escape brings a second nonce past the check."""
    written = name if spelling == "plain" else "".join(f"\\u{ord(letter):04x}" for letter in name)
    with pytest.raises(ParameterReserved, match=name) as caught:
        ask(IN_WINDOW, "POST", PATH, f'{{"a":1,"{written}":2}}')
    assert caught.value.field == "http_request.body"


@pytest.mark.parametrize(
    "body", ["[]", '"a"', "1", "null", "a=1", '{"a":1,"a":2}', '{"a":NaN}', "{", '{"a":"\\ud800"}']
)
def test_a_body_that_is_no_plain_object_is_refused(body: str) -> None:
    """WhiteBIT's body is a JSON object with each key once."""
    with pytest.raises(BodyInvalid) as caught:
        ask(IN_WINDOW, "POST", PATH, body)
    assert caught.value.field == "http_request.body"


@pytest.mark.parametrize(
    ("method", "target", "content_type", "field"),
    [
        ("GET", PATH, "", "http_request.method"),
        ("PUT", PATH, "", "http_request.method"),
        ("DELETE", PATH, "", "http_request.method"),
        ("POST", f"{PATH}?a=1", "", "http_request.query"),
        ("POST", PATH, "application/x-www-form-urlencoded", "http_request.content_type"),
        ("POST", PATH, "application/json; charset=utf-8", "http_request.content_type"),
        ("POST", "/api/v4/%E6%97%A5", "", "http_request.path"),
        ("POST", "/api/v4/a%20b", "", "http_request.path"),
        ("POST", '/api/v4/a","nonce":1', "", "http_request.path"),
        ("POST", "/order/new", "", "http_request.path"),
        ("POST", "/api", "", "http_request.path"),
    ],
)
def test_what_the_private_api_does_not_take_is_refused(
    method: str, target: str, content_type: str, field: str
) -> None:
    """POST to a plain path below /api/ with JSON, and nothing else."""
    with pytest.raises(FieldInvalid) as caught:
        ask(IN_WINDOW, method, target, "", content_type)
    assert field == caught.value.field


@pytest.mark.parametrize("content_type", ["", "application/json"])
def test_normalising_twice_changes_nothing(content_type: str) -> None:
    """What policy sees is what is signed: a second look finds the same."""
    once = ask(IN_WINDOW, "POST", PATH, '{ "a" : 1.0 }', content_type)
    assert once == VENUES.get("whitebit").normalise(once, IN_WINDOW)
    assert (once.body, once.json) == (b'{"a":1.0}', {"a": "1.0"})


async def test_the_eu_host_is_an_environment() -> None:
    """A key of the environment `eu` is sent to whitebit.eu."""
    keyed = credential(
        "whitebit", Algorithm.HMAC_SHA512, "test-secret", {"api_key": "k"}, environment="eu"
    )
    assert (await sign(keyed, "POST", PATH)).url == f"https://whitebit.eu{PATH}"


@given(path=st.text("abc/._-:@!$&'()*+,=~", min_size=1, max_size=12))
async def test_any_path_stands_in_the_body_as_it_stands_in_the_url(path: str) -> None:
    """The member `request` reads back as the URL's path."""
    try:
        signed = await sign(IN_WINDOW, "POST", f"/api/{path}")
    except RequestInvalid:
        return
    assert signed.url == "https://whitebit.com" + json.loads(signed.body)["request"]
