"""Aster V1: what it takes, and the parameters that it returns to send."""

import hashlib
import hmac
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import NOW_MS, FakeOutbound, credential
from privyseald.errors import BodyInvalid, FieldInvalid, ParameterReserved, RequestInvalid
from privyseald.key import Algorithm
from privyseald.venues.http_request import encode_query
from privyseald.venues.registry import opens_sessions
from privyseald.venues.venue import Coverage, Moment, Session, SessionUse, SignedHttpRequest
from venues.desk import VENUES, ask, sign

FORM = "application/x-www-form-urlencoded"
ORDER = "/fapi/v1/order"
HOST = "https://fapi.asterdex.com"
KEYED = credential("aster", Algorithm.HMAC_SHA256, "test-secret", {"api_key": "test-key"})
NARROW = credential(
    "aster", Algorithm.HMAC_SHA256, "test-secret", {"api_key": "test-key", "recv_window": "1000"}
)
TIMED = f"recvWindow=5000&timestamp={NOW_MS}"
METHODS = ["GET", "POST", "PUT", "DELETE"]


def mac(total: str) -> str:
    """Binance's signature of all parameters."""
    return hmac.new(b"test-secret", total.encode(), hashlib.sha256).hexdigest()


def proved(signed: SignedHttpRequest) -> tuple[str, str]:
    """Query and body without the signature, which is the last parameter and is right."""
    query = signed.url.partition("?")[2]
    body = signed.body.decode()
    last = body or query
    text, mark, signature = last.rpartition("&signature=")
    assert mark
    total = query + text if body else text
    assert signature == mac(total)
    return (query, text) if body else (text, "")


@pytest.mark.parametrize("method", METHODS)
async def test_a_query_stays_a_query(method: str) -> None:
    """Parameters of a query are followed by window, time and signature, there."""
    signed = await sign(KEYED, method, f"{ORDER}?symbol=BTCUSDT&price=0.10")
    assert proved(signed) == (f"symbol=BTCUSDT&price=0.10&{TIMED}", "")
    assert (signed.method, signed.body) == (method, b"")
    assert signed.headers == (("X-MBX-APIKEY", "test-key"),)
    assert signed.url.startswith(f"{HOST}{ORDER}?")
    assert signed.expire_time_ms == NOW_MS + 5_000


@pytest.mark.parametrize("method", METHODS[1:])
@pytest.mark.parametrize("content_type", ["", FORM])
async def test_a_body_stays_a_body(method: str, content_type: str) -> None:
    """Parameters of a form are followed by window, time and signature, in the form."""
    signed = await sign(KEYED, method, ORDER, "symbol=BTCUSDT&a=%20", content_type)
    assert proved(signed) == ("", f"symbol=BTCUSDT&a=%20&{TIMED}")
    assert signed.url == f"{HOST}{ORDER}"
    assert signed.headers == (("Content-Type", FORM), ("X-MBX-APIKEY", "test-key"))


async def test_query_and_body_are_joined_with_nothing_between() -> None:
    """A mixed request is signed as query directly followed by body; the body takes the rest."""
    signed = await sign(KEYED, "POST", f"{ORDER}?symbol=BTCUSDT", "side=BUY")
    assert proved(signed) == ("symbol=BTCUSDT", f"side=BUY&{TIMED}")


async def test_a_request_without_parameters_has_them_in_the_query() -> None:
    """Window, time and signature are then all that there is."""
    assert proved(await sign(KEYED, "GET", "/fapi/v1/account")) == (TIMED, "")


@pytest.mark.parametrize(
    ("target", "body", "expected", "lasts"),
    [
        (f"{ORDER}?recvWindow=60000", "", (f"recvWindow=60000&timestamp={NOW_MS}", ""), 60_000),
        (f"{ORDER}?%72ecvWindow=1", "", (f"%72ecvWindow=1&timestamp={NOW_MS}", ""), 1),
        (ORDER, "recvWindow=9999&a=1", ("", f"recvWindow=9999&a=1&timestamp={NOW_MS}"), 9_999),
        (f"{ORDER}?recvWindow=7", "a=1", ("recvWindow=7", f"a=1&timestamp={NOW_MS}"), 7),
    ],
)
async def test_the_callers_window_stands(
    target: str, body: str, expected: tuple[str, str], lasts: int
) -> None:
    """A recvWindow in the request is kept, beats the key's, and says how long the answer lasts."""
    signed = await sign(NARROW, "POST", target, body)
    assert expected == proved(signed)
    assert signed.expire_time_ms == NOW_MS + lasts


async def test_the_keys_window_stands_where_the_caller_gives_none() -> None:
    """`recv_window` of the key's document is added."""
    signed = await sign(NARROW, "GET", ORDER)
    assert proved(signed) == (f"recvWindow=1000&timestamp={NOW_MS}", "")
    assert signed.expire_time_ms == NOW_MS + 1_000


@pytest.mark.parametrize(
    "window",
    ["0", "-1", "60001", "99999", "100000", "1e3", "05000", "5000.0", "", "%D9%A5", "%2B5000"],
)
def test_a_window_out_of_its_range_is_refused(window: str) -> None:
    """1 to 60000 in plain digits, in query and body alike."""
    for target, body, place in (
        (f"{ORDER}?recvWindow={window}", "", "query"),
        (ORDER, f"recvWindow={window}", "body"),
    ):
        with pytest.raises(FieldInvalid, match="recvWindow") as caught:
            ask(KEYED, "POST", target, body)
        assert caught.value.field == f"http_request.{place}"


@pytest.mark.parametrize("window", ["1", "9999", "10000", "59999", "60000", "%35000"])
def test_a_window_in_its_range_passes(window: str) -> None:
    """Both ends of the range are in it, and an escaped digit is a digit."""
    assert ask(KEYED, "GET", f"{ORDER}?recvWindow={window}").query == f"recvWindow={window}"


@pytest.mark.parametrize(
    "path",
    [
        "/fapi/v1/listenKey",
        "/api/v1/listenKey",
        "/papi/v1/listenKey",
        "/fapi/v1/historicalTrades",
        "/api/v1/historicalTrades",
    ],
)
async def test_a_request_that_wants_the_key_alone_gets_no_signature(path: str) -> None:
    """USER_STREAM and MARKET_DATA take the header and nothing more."""
    signed = await sign(KEYED, "PUT", f"{path}?listenKey=abc")
    assert signed.headers == (("X-MBX-APIKEY", "test-key"),)
    assert signed.url.endswith(f"{path}?listenKey=abc")
    assert (signed.body, signed.expire_time_ms) == (b"", None)


@pytest.mark.parametrize(
    "path", ["/fapi/v1/listenKeys", "/fapi/v1/x/listenKey", "/fapi/v3/listenKey"]
)
async def test_a_path_that_resembles_one_is_signed(path: str) -> None:
    """Only the very paths are without a signature."""
    assert "&signature=" in (await sign(KEYED, "PUT", path)).url


@pytest.mark.parametrize(
    ("path", "url"),
    [
        ("/fapi/v1/x", "https://fapi.asterdex.com/fapi/v1/x?"),
        ("/api/v1/x", "https://sapi.asterdex.com/api/v1/x?"),
        ("/papi/v1/x", "https://papi.asterdex.com/papi/v1/x?"),
    ],
)
async def test_a_path_tells_its_host(path: str, url: str) -> None:
    """Futures, spot and portfolio margin are served by hosts of their own."""
    assert (await sign(KEYED, "GET", path)).url.startswith(url)


@pytest.mark.parametrize("name", ["timestamp", "signature"])
@pytest.mark.parametrize("spelling", ["plain", "escaped"])
def test_a_parameter_that_is_added_is_refused_however_it_is_spelt(name: str, spelling: str) -> None:
    """No escape brings a second time or signature past the check."""
    written = name if spelling == "plain" else f"%{ord(name[0]):02x}{name[1:]}"
    for target, body, place in (
        (f"{ORDER}?{written}=1", "", "query"),
        (ORDER, f"{written}=1", "body"),
    ):
        with pytest.raises(ParameterReserved, match=name) as caught:
            ask(KEYED, "POST", target, body)
        assert caught.value.field == f"http_request.{place}"


@pytest.mark.parametrize(
    ("target", "body", "field"),
    [
        (f"{ORDER}?a=1&a=2", "", "http_request.query"),
        (f"{ORDER}?a=1&%61=2", "", "http_request.query"),
        (ORDER, "a=1&a=2", "http_request.body"),
        (f"{ORDER}?a=1", "a=1", "http_request.query"),
        (f"{ORDER}?a=1", "%61=2", "http_request.query"),
        (f"{ORDER}?a=1&&b=1", "", "http_request.query"),
        (ORDER, "a=1&", "http_request.body"),
    ],
)
def test_a_parameter_stands_once_in_query_and_body_together(
    target: str, body: str, field: str
) -> None:
    """Which of two values the server would take is nobody's guess."""
    with pytest.raises(FieldInvalid) as caught:
        ask(KEYED, "POST", target, body)
    assert field == caught.value.field


@pytest.mark.parametrize("body", ['{"symbol":"BTCUSDT"}', "a=b c", "a=é", "a=1\n", "a=1;b=2"])
def test_a_body_that_is_no_form_is_refused(body: str) -> None:
    """Aster takes forms, percent-encoded."""
    with pytest.raises(BodyInvalid) as caught:
        ask(KEYED, "POST", ORDER, body)
    assert caught.value.field == "http_request.body"


@pytest.mark.parametrize(
    ("method", "target", "content_type", "field"),
    [
        ("PATCH", ORDER, "", "http_request.method"),
        ("POST", ORDER, "application/json", "http_request.content_type"),
        ("POST", "/bapi/futures/v1/x", "", "http_request.path"),
        ("POST", "/eapi/v1/x", "", "http_request.path"),
        ("POST", "/", "", "http_request.path"),
    ],
)
def test_what_aster_does_not_take_is_refused(
    method: str, target: str, content_type: str, field: str
) -> None:
    """Other methods, media types and paths, the website's own among them."""
    with pytest.raises(FieldInvalid) as caught:
        ask(KEYED, method, target, "", content_type)
    assert field == caught.value.field


@given(
    query=st.dictionaries(st.text(max_size=6), st.text(max_size=8), max_size=4),
    body=st.dictionaries(st.text(max_size=6), st.text(max_size=8), max_size=4),
)
async def test_what_passes_is_sent_as_given_and_signed_last(
    query: dict[str, str], body: dict[str, str]
) -> None:
    """The server reads the caller's parameters in order, then ours, and the signature last."""
    given_query, given_body = encode_query(query.items()), encode_query(body.items())
    try:
        signed = await sign(KEYED, "POST", f"{ORDER}?{given_query}", given_body)
    except RequestInvalid:
        return
    sent_query, sent_body = proved(signed)
    read = parse_qsl(sent_query, keep_blank_values=True) + parse_qsl(
        sent_body, keep_blank_values=True
    )
    added = [("recvWindow", "5000"), ("timestamp", str(NOW_MS))]
    assert [*query.items(), *body.items(), *added] == read


async def test_v1_wants_no_nonce_and_has_no_session_to_sign_by() -> None:
    """A time is enough, and no request of a key is signed by a login; a logout sends nothing."""
    venue = VENUES.get("aster")
    assert opens_sessions(venue)
    assert venue.nonce_policy(KEYED, None) is None
    assert venue.session_use(KEYED) is SessionUse.NEVER
    assert venue.coverage is Coverage.PARAMETERS
    outbound = FakeOutbound()
    session = Session("t", (), "1", NOW_MS, None)
    await venue.logout(KEYED, venue.environments[0], session, outbound)
    assert outbound.sent == []


async def test_the_time_is_the_one_that_is_handed_in() -> None:
    """A venue has no clock of its own."""
    venue = VENUES.get("aster")
    request = ask(KEYED, "GET", ORDER)
    signed = await venue.sign(request, KEYED, venue.environments[0], Moment(42), None)
    assert proved(signed) == ("recvWindow=5000&timestamp=42", "")
