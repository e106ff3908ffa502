import base64
import hmac
import json

import pytest

from sandbox.caller import START_MS, Caller, Reply

SECRET = "test-secret"
BALANCE = "/api/v4/trade-account/balance"


def signed(body: str | bytes, *, key: str = "test-key", secret: str = SECRET) -> dict[str, str]:
    """Return the headers for a body, by the rule of WhiteBIT's documentation."""
    raw = body.encode() if isinstance(body, str) else body
    payload = base64.b64encode(raw)
    return {
        "X-TXC-APIKEY": key,
        "X-TXC-PAYLOAD": payload.decode(),
        "X-TXC-SIGNATURE": hmac.new(secret.encode(), payload, "sha512").hexdigest(),
    }


def body_of(request: str = BALANCE, **fields: object) -> str:
    """Return a compact body with a good nonce unless `fields` has another."""
    return json.dumps({"request": request, "nonce": START_MS} | fields, separators=(",", ":"))


async def post(caller: Caller, body: str, path: str = BALANCE) -> Reply:
    """Send a body, rightly signed."""
    return await caller.send("whitebit", "POST", path, signed(body), body)


def nonce_refused() -> tuple[int, object]:
    """Return what WhiteBIT answers to a nonce that is too small."""
    return 429, {"code": 0, "errors": {}, "message": "Too many requests."}


async def test_published_vector_is_accepted(caller: Caller) -> None:
    """The pair in whitebit-cli's own tests opens the account."""
    body = (
        '{"request":"/api/v4/trade-balance","nonce":1700000000000,'
        '"nonceWindow":true,"ticker":"BTC"}'
    )
    headers = {
        "X-TXC-APIKEY": "test-key",
        "X-TXC-PAYLOAD": (
            "eyJyZXF1ZXN0IjoiL2FwaS92NC90cmFkZS1iYWxhbmNlIiwibm9uY2UiOjE3MDAwMDAwMDAwMDAsIm5vbmNlV2lu"
            "ZG93Ijp0cnVlLCJ0aWNrZXIiOiJCVEMifQ=="
        ),
        "X-TXC-SIGNATURE": (
            "81d08e8576e565acb3da4ec9125fc4d87683c97a183a6034f4cf1cd2f2c2b70a"
            "f2da3aaba2241afa785d5fb7ad6e25d8dbe7049608f409487a56067703df9b92"
        ),
    }
    reply = await caller.send("whitebit", "POST", "/api/v4/trade-balance", headers, body)
    assert reply.status == 200


async def test_ccxt_order_is_accepted_with_its_own_key_order(caller: Caller) -> None:
    """The body that ccxt sends, its nonce a string, is accepted and recorded."""
    body = (
        '{"request":"/api/v4/order/new","nonce":"1700000000000","nonceWindow":false,'
        '"market":"BTC_USDT","side":"buy","amount":"0.01","price":"40000",'
        '"clientOrderId":"abc-1","postOnly":true}'
    )
    headers = signed(body)
    headers["X-TXC-SIGNATURE"] = (
        "c57e43e83ed4c656ea1e14921a092878c40e7cef489abf6b9b1f7d537af46951"
        "501561164cc75d4705a8c073014b7f50d1a784a0b0d9a94633137538404bede2"
    )
    reply = await caller.send("whitebit", "POST", "/api/v4/order/new", headers, body)
    (seen,) = caller.sandbox.requests("whitebit")
    assert reply.text("clientOrderId") == "abc-1"
    assert (seen.account, seen.nonce, seen.parameters["market"]) == (
        "test-key",
        "1700000000000",
        "BTC_USDT",
    )


async def test_no_payload_is_told_first(caller: Caller) -> None:
    """Without X-TXC-PAYLOAD nothing else is looked at."""
    reply = await caller.send("whitebit", "POST", BALANCE, {"X-TXC-APIKEY": "unknown"})
    assert (reply.status, reply.text("message")) == (400, "Payload not provided.")


@pytest.mark.parametrize("disabled", [True, False])
async def test_unknown_or_disabled_key_is_unauthorized(caller: Caller, disabled: bool) -> None:
    """A key that is off, or that nobody knows, must be enabled in the settings."""
    if disabled:
        caller.sandbox.accounts.whitebit["test-key"].enabled = False
    headers = signed(body_of(), key="test-key" if disabled else "unknown")
    reply = await caller.send("whitebit", "POST", BALANCE, headers, body_of())
    assert reply.status == 401
    assert reply.json == {
        "code": 2,
        "message": "This action is unauthorized. Enable your key in API settings",
    }


@pytest.mark.parametrize(
    "body",
    [
        '{"request": "/api/v4/trade-account/balance", "nonce": 1700000000000}',
        '{\n"request":"/api/v4/trade-account/balance","nonce":1700000000000}',
        '{"request":"\\/api\\/v4\\/trade-account\\/balance","nonce":1700000000000}',
        '{"request":"/api/v4/trade-account/balance","nonce":1,"nonce":1700000000000}',
        '{"request":"/api/v4/trade-account/balance","nonce":NaN}',
        '["/api/v4/trade-account/balance"]',
        "request=/api/v4/trade-account/balance",
        "[" * 4_000,
    ],
)
async def test_body_that_is_not_canonical_is_an_invalid_payload(caller: Caller, body: str) -> None:
    """Blanks, escaped slashes, repeated keys and what is no object are refused though signed."""
    reply = await post(caller, body)
    assert (reply.status, reply.json) == (400, {"code": 9, "message": "Invalid payload."})


async def test_payload_of_another_body_is_invalid(caller: Caller) -> None:
    """The payload must be the base64 of exactly the bytes sent."""
    reply = await caller.send("whitebit", "POST", BALANCE, signed(body_of()), body_of(ticker="B"))
    assert reply.json == {"code": 9, "message": "Invalid payload."}


async def test_body_that_is_not_utf8_is_invalid(caller: Caller) -> None:
    """Bytes that are no UTF-8 are an invalid payload."""
    body = b'{"request":"\xff"}'
    reply = await caller.send("whitebit", "POST", BALANCE, signed(body), body)
    assert reply.json == {"code": 9, "message": "Invalid payload."}


@pytest.mark.parametrize("memo", ["Zürich é 日本 a b", 'a \\ "/ b', "two  spaces"])
@pytest.mark.parametrize("ascii_only", [True, False])
async def test_text_inside_a_string_is_free(caller: Caller, memo: str, ascii_only: bool) -> None:
    """Blanks, slashes after an escaped backslash and either form of Unicode pass in a string."""
    value = {"request": BALANCE, "nonce": START_MS, "memo": memo}
    body = json.dumps(value, separators=(",", ":"), ensure_ascii=ascii_only)
    assert (await post(caller, body)).status == 200


@pytest.mark.parametrize("wrong", ["secret", "upper", "raw-body"])
async def test_wrong_signature_is_unauthorized(caller: Caller, wrong: str) -> None:
    """A signature by another secret, in upper case, or over the body itself, is refused."""
    body = body_of()
    headers = signed(body, secret="other" if wrong == "secret" else "test-secret")
    if wrong == "upper":
        headers["X-TXC-SIGNATURE"] = headers["X-TXC-SIGNATURE"].upper()
    if wrong == "raw-body":
        digest = hmac.new(b"test-secret", body.encode(), "sha512").hexdigest()
        headers["X-TXC-SIGNATURE"] = digest
    reply = await caller.send("whitebit", "POST", BALANCE, headers, body)
    assert (reply.status, reply.json) == (401, {"code": 10, "message": "Unauthorized request."})


async def test_request_must_be_the_path(caller: Caller) -> None:
    """A body signed for one path is refused at another."""
    reply = await post(caller, body_of("/api/v4/order/new"))
    assert (reply.status, reply.text("message")) == (400, "Request not provided.")


@pytest.mark.parametrize("nonce", [None, True, 1.5, "12a", "", [1]])
async def test_nonce_must_be_an_integer(caller: Caller, nonce: object) -> None:
    """A nonce that is neither an integer nor a string of digits counts as not given."""
    reply = await post(caller, body_of(nonce=nonce))
    assert (reply.status, reply.text("message")) == (400, "Nonce not provided.")


async def test_nonce_must_grow(caller: Caller) -> None:
    """By default each nonce is greater than the last accepted, as number or as string."""
    first = await post(caller, body_of(nonce=5))
    same = await post(caller, body_of(nonce=5))
    smaller = await post(caller, body_of(nonce="4"))
    greater = await post(caller, body_of(nonce="6"))
    assert (first.status, greater.status) == (200, 200)
    assert (same.status, same.json) == nonce_refused()
    assert (smaller.status, smaller.json) == nonce_refused()


async def test_refused_request_spends_no_nonce(caller: Caller) -> None:
    """A wrongly signed request leaves the last nonce where it was."""
    body = body_of(nonce=9)
    await caller.send("whitebit", "POST", BALANCE, signed(body, secret="other"), body)
    assert (await post(caller, body_of(nonce=5))).status == 200


async def test_nonces_are_counted_by_key(caller: Caller) -> None:
    """One key's nonce says nothing of another's."""
    caller.sandbox.accounts.add(
        type(caller.sandbox.accounts.whitebit["test-key"])("second", "second-secret")
    )
    await post(caller, body_of(nonce=9))
    body = body_of(nonce=5)
    headers = signed(body, key="second", secret="second-secret")
    assert (await caller.send("whitebit", "POST", BALANCE, headers, body)).status == 200


@pytest.mark.parametrize(
    ("offset", "status"), [(-5001, 400), (-5000, 200), (5000, 200), (5001, 400)]
)
async def test_nonce_window_is_five_seconds_both_ways(
    caller: Caller, offset: int, status: int
) -> None:
    """Under nonceWindow a nonce is a time in ms at most five seconds from the venue's."""
    reply = await post(caller, body_of(nonce=START_MS + offset, nonceWindow=True))
    assert reply.status == status
    if status == 400:
        text = "Your nonce is more than 5 seconds lesser than the current nonce"
        assert reply.text("message") == text


async def test_nonce_window_takes_any_order_but_no_repetition(caller: Caller) -> None:
    """Under nonceWindow an earlier nonce is good, the same one is not."""
    later = await post(caller, body_of(nonce=START_MS + 2, nonceWindow=True))
    earlier = await post(caller, body_of(nonce=START_MS + 1, nonceWindow=True))
    again = await post(caller, body_of(nonce=START_MS + 2, nonceWindow=True))
    assert (later.status, earlier.status) == (200, 200)
    assert (again.status, again.json) == nonce_refused()


@pytest.mark.parametrize("window", [1, "true", None])
async def test_nonce_window_must_be_a_boolean(caller: Caller, window: object) -> None:
    """Anything but true or false is an invalid nonceWindow."""
    reply = await post(caller, body_of(nonceWindow=window))
    assert (reply.status, reply.text("message")) == (400, "Invalid nonceWindow.")


async def test_key_without_the_right_is_refused(caller: Caller) -> None:
    """A key that is bound to some endpoints is refused at others."""
    caller.sandbox.accounts.whitebit["test-key"].endpoints = ("/api/v4/trade-account/*",)
    path = "/api/v4/main-account/withdraw"
    allowed = await post(caller, body_of(nonce=1))
    refused = await post(caller, body_of(path, nonce=2), path)
    assert allowed.status == 200
    assert refused.status == 403
    assert refused.json == {
        "code": 4,
        "message": "This API Key is not authorized to perform this action.",
    }


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", BALANCE, 405),
        ("POST", "/api/v4/public/time", 405),
        ("POST", "/other", 404),
    ],
)
async def test_method_and_path_are_checked(
    caller: Caller, method: str, path: str, status: int
) -> None:
    """Private endpoints take POST alone, public ones GET, and nothing else is there."""
    assert (await caller.send("whitebit", method, path)).status == status


async def test_public_endpoints_need_no_key(caller: Caller) -> None:
    """The public clock gives seconds, ping answers, and the rest is empty."""
    time = await caller.send("whitebit", "GET", "/api/v4/public/time")
    ping = await caller.send("whitebit", "GET", "/api/v4/public/ping")
    rest = await caller.send("whitebit", "GET", "/api/v4/public/markets")
    assert (time.json, ping.json, rest.json) == ({"time": START_MS // 1000}, ["pong"], {})


async def test_answers_have_the_shape_of_the_endpoint(caller: Caller) -> None:
    """A websocket token is a text; a balance of all tickers names them."""
    path = "/api/v4/profile/websocket_token"
    token = await post(caller, body_of(path, nonce=1), path)
    balances = await post(caller, body_of(nonce=2))
    assert token.text("websocket_token")
    assert isinstance(balances.json, dict)
    assert set(balances.json) == {"BTC", "USDT"}
