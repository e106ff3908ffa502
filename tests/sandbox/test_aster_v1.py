import hmac

import pytest

from privyseald.sandbox.accounts import AsterKey
from sandbox.caller import START_MS, Caller, Reply

KEY = "dbefbc809e3e83c283a984c3a1459732ea7db1360ca80c5c2c8867408d28cc83"
SECRET = "2b5eb11e18796d12d88f13dc27dbbd02c2cc51ff7059765ed9821957d82bb4d9"
SIGNATURE_WRONG = {"code": -1022, "msg": "Signature for this request is not valid."}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
AT = f"timestamp={START_MS}"


def sign(text: str, secret: str = SECRET) -> str:
    """Return the HMAC of the joined query and body, by the rule of the V1 documents."""
    return hmac.new(secret.encode(), text.encode(), "sha256").hexdigest()


async def get(caller: Caller, query: str, path: str = "/fapi/v1/account") -> Reply:
    """Send a query with its signature at the end."""
    target = f"{path}?{query}&signature={sign(query)}"
    return await caller.send("aster", "GET", target, {"X-MBX-APIKEY": KEY})


def missing(name: str) -> dict[str, object]:
    """Return what the venue says when a parameter is not there."""
    text = f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."
    return {"code": -1102, "msg": text}


async def test_published_vector_is_accepted_in_query_or_body(caller: Caller) -> None:
    """The order of the documents' examples 1 and 2 is accepted, whole in query or in body."""
    caller.clock.time_ms = 1_591_702_613_943
    signed = (
        "symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=1&price=9000&timeInForce=GTC"
        "&recvWindow=5000&timestamp=1591702613943"
        "&signature=3c661234138461fcc7a7d8746c6558c9842d4e10870d2ecbedf7777cad694af9"
    )
    headers = {"X-MBX-APIKEY": KEY}
    query = await caller.send("aster", "POST", f"/fapi/v1/order?{signed}", headers)
    body = await caller.send("aster", "POST", "/fapi/v1/order", headers | FORM, signed)
    assert (query.status, body.status) == (200, 200)
    assert query.text("symbol") == "BTCUSDT"


@pytest.mark.parametrize(
    ("signature", "status"),
    [
        ("30baaf0fab549bbeda7f5ef201898b34122da25fd23c646cac2c529aebe670a4", 200),
        ("3c661234138461fcc7a7d8746c6558c9842d4e10870d2ecbedf7777cad694af9", 400),
    ],
)
async def test_query_and_body_are_joined_without_ampersand(
    caller: Caller, signature: str, status: int
) -> None:
    """The mixed example is signed as query and body joined directly; the printed value is wrong."""
    caller.clock.time_ms = 1_591_702_613_943
    query = "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC"
    body = "quantity=1&price=9000&recvWindow=5000&timestamp=1591702613943&signature=" + signature
    headers = {"X-MBX-APIKEY": KEY} | FORM
    reply = await caller.send("aster", "POST", f"/fapi/v1/order?{query}", headers, body)
    assert reply.status == status


async def test_signature_may_be_the_whole_body(caller: Caller) -> None:
    """A body that is the signature alone signs the query."""
    query = AT
    body = f"signature={sign(query)}"
    headers = {"X-MBX-APIKEY": KEY} | FORM
    reply = await caller.send("aster", "POST", f"/fapi/v1/order?{query}", headers, body)
    assert reply.status == 200


async def test_signature_has_no_case(caller: Caller) -> None:
    """Upper-case hex is accepted."""
    target = f"/fapi/v1/account?{AT}&signature={sign(AT).upper()}"
    reply = await caller.send("aster", "GET", target, {"X-MBX-APIKEY": KEY})
    assert reply.status == 200


@pytest.mark.parametrize(
    ("target", "body"),
    [
        (f"/fapi/v1/account?{AT}&signature={'0' * 64}", ""),
        (f"/fapi/v1/account?signature={sign(AT)}&{AT}", ""),
        (f"/fapi/v1/account?{AT}&signature={sign(AT)}&a=1", ""),
        (f"/fapi/v1/account?{AT}&signature={sign(AT + 'a=1')}", "a=1"),
        (f"/fapi/v1/account?signature={sign(AT)}", AT),
        (f"/fapi/v1/account?a=%20b&{AT}&signature={sign('a=+b&' + AT)}", ""),
        (f"/fapi/v1/account?{AT}&signature={sign(AT, SECRET.upper())}", ""),
    ],
)
async def test_wrong_or_misplaced_signature_is_1022(caller: Caller, target: str, body: str) -> None:
    """Another key's, another encoding's, or a signature that is not last is refused."""
    headers = {"X-MBX-APIKEY": KEY} | FORM
    reply = await caller.send("aster", "POST", target, headers, body)
    assert (reply.status, reply.json) == (400, SIGNATURE_WRONG)


async def test_replay_inside_the_window_is_accepted(caller: Caller) -> None:
    """V1 has no nonce: the same request passes twice."""
    assert [(await get(caller, AT)).status for _ in range(2)] == [200, 200]


@pytest.mark.parametrize(
    ("offset", "window", "status"),
    [
        (999, "", 200),
        (1000, "", 400),
        (-5000, "", 200),
        (-5001, "", 400),
        (-60_000, "60000", 200),
        (-60_001, "60000", 400),
        (-1, "0", 400),
    ],
)
async def test_timestamp_is_judged_by_recv_window(
    caller: Caller, offset: int, window: str, status: int
) -> None:
    """A time is good up to 999 ms ahead and recvWindow (5000 by default) behind."""
    query = f"timestamp={START_MS + offset}" + (f"&recvWindow={window}" if window else "")
    reply = await get(caller, query)
    assert reply.status == status
    if status == 400:
        assert isinstance(reply.json, dict)
        assert reply.json["code"] == -1021
        assert ("1000ms ahead of the server's time" in reply.text("msg")) is (offset > 0)


async def test_recv_window_has_a_maximum(caller: Caller) -> None:
    """A recvWindow above 60,000 is refused."""
    reply = await get(caller, f"{AT}&recvWindow=60001")
    assert reply.json == {"code": -1131, "msg": "recvWindow must be less than 60000"}


@pytest.mark.parametrize(
    ("api_key", "code"), [("", -2014), ("short", -2014), ("a" * 64, -2015), (KEY.upper(), -2015)]
)
async def test_key_must_be_well_formed_and_known(caller: Caller, api_key: str, code: int) -> None:
    """A key that is missing or malformed is -2014, one that nobody has -2015, both HTTP 401."""
    headers = {"X-MBX-APIKEY": api_key} if api_key else {}
    reply = await caller.send("aster", "GET", f"/fapi/v1/account?{AT}", headers)
    assert isinstance(reply.json, dict)
    assert (reply.status, reply.json["code"]) == (401, code)


async def test_time_and_signature_are_mandatory(caller: Caller) -> None:
    """Each is named when it is absent or empty."""
    headers = {"X-MBX-APIKEY": KEY}
    no_time = await get(caller, "symbol=BTCUSDT")
    bare = await caller.send("aster", "GET", f"/fapi/v1/account?{AT}", headers)
    empty = await caller.send("aster", "GET", f"/fapi/v1/account?{AT}&signature=", headers)
    other = await caller.send("aster", "GET", f"/fapi/v1/account?{AT}&xsignature=0", headers)
    assert (no_time.status, no_time.json) == (400, missing("timestamp"))
    assert bare.json == empty.json == other.json == missing("signature")


@pytest.mark.parametrize("content_type", ["application/json", ""])
async def test_body_counts_only_as_a_form(caller: Caller, content_type: str) -> None:
    """Parameters in a body of another content type are not seen."""
    headers = {"X-MBX-APIKEY": KEY} | ({"Content-Type": content_type} if content_type else {})
    body = f"{AT}&signature={sign(AT)}"
    reply = await caller.send("aster", "POST", "/fapi/v1/order", headers, body)
    assert reply.json == missing("timestamp")


@pytest.mark.parametrize(
    "query",
    [f"quantity=1e-05&{AT}", f"price=-1&{AT}", "timestamp=1.5", f"{AT}&recvWindow=5s"],
)
async def test_numbers_have_a_legal_range_of_characters(caller: Caller, query: str) -> None:
    """Scientific notation, signs and letters in numbers are -1100."""
    reply = await get(caller, query)
    assert isinstance(reply.json, dict)
    assert (reply.status, reply.json["code"]) == (400, -1100)


async def test_text_that_is_not_utf8_is_refused(caller: Caller) -> None:
    """Raw bytes that are no UTF-8 are illegal characters."""
    headers = {"X-MBX-APIKEY": KEY} | FORM
    reply = await caller.send("aster", "POST", "/fapi/v1/order", headers, b"a=\xff")
    assert reply.json == {"code": -1100, "msg": "Illegal characters found in a parameter."}


async def test_parameter_twice_in_one_place_is_refused(caller: Caller) -> None:
    """A name may not stand twice in the query."""
    reply = await get(caller, f"symbol=A&symbol=B&{AT}")
    assert isinstance(reply.json, dict)
    assert reply.json["code"] == -1101


async def test_query_wins_over_body(caller: Caller) -> None:
    """A name in both counts as the query has it; the signature covers both."""
    query, body = "symbol=QUERY", f"symbol=BODY&{AT}"
    headers = {"X-MBX-APIKEY": KEY} | FORM
    signed = f"{body}&signature={sign(query + body)}"
    reply = await caller.send("aster", "POST", f"/fapi/v1/order?{query}", headers, signed)
    (seen,) = caller.sandbox.requests("aster")
    assert reply.text("symbol") == "QUERY"
    assert dict(seen.parameters) == {"symbol": "QUERY", "timestamp": str(START_MS)}
    assert (seen.account, seen.nonce, seen.path) == (KEY, str(START_MS), "/fapi/v1/order")


async def test_streams_and_history_need_the_key_alone(caller: Caller) -> None:
    """A listenKey is given for the key without a signature, and not without the key."""
    headers = {"X-MBX-APIKEY": KEY}
    given = await caller.send("aster", "POST", "/fapi/v1/listenKey", headers)
    kept = await caller.send("aster", "PUT", "/fapi/v1/listenKey", headers)
    refused = await caller.send("aster", "POST", "/fapi/v1/listenKey")
    assert given.text("listenKey")
    assert (kept.status, kept.json, refused.status) == (200, {}, 401)


@pytest.mark.parametrize("root", ["/fapi", "/api"])
@pytest.mark.parametrize("version", ["v1", "v3"])
async def test_market_data_is_public(caller: Caller, root: str, version: str) -> None:
    """Time in ms, and market data, need nothing on either API."""
    time = await caller.send("aster", "GET", f"{root}/{version}/time")
    ticker = await caller.send("aster", "GET", f"{root}/{version}/ticker/price?symbol=BTCUSDT")
    assert time.json == {"serverTime": START_MS}
    assert (ticker.status, ticker.json) == (200, {})


@pytest.mark.parametrize("path", ["/", "/fapi/v9/order", "/fapi/v1/", "/fapi/v1/../order"])
async def test_unknown_path_is_not_found(caller: Caller, path: str) -> None:
    """Only the documented roots and versions are served."""
    assert (await caller.send("aster", "GET", path)).status == 404


@pytest.mark.parametrize("path", ["/fapi/v2/balance", "/fapi/v4/account", "/fapi/v1/openOrders"])
async def test_v1_covers_the_later_numbers_of_its_documents(caller: Caller, path: str) -> None:
    """V1's documents put balance under /v2 and account under /v4, signed alike."""
    assert (await get(caller, AT, path)).status == 200


async def test_cancel_says_so(caller: Caller) -> None:
    """A deleted order is CANCELED."""
    target = f"/fapi/v1/order?{AT}&signature={sign(AT)}"
    reply = await caller.send("aster", "DELETE", target, {"X-MBX-APIKEY": KEY})
    assert reply.text("status") == "CANCELED"


async def test_key_of_any_form_can_be_added(caller: Caller) -> None:
    """A key that the tests add is good whatever it looks like."""
    caller.sandbox.accounts.add(AsterKey("k", "s"))
    target = f"/fapi/v1/account?{AT}&signature={sign(AT, 's')}"
    assert (await caller.send("aster", "GET", target, {"X-MBX-APIKEY": "k"})).status == 200
