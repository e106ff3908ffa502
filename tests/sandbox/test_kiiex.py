import hmac
import json
from collections.abc import Mapping

import pytest

from privyseald.sandbox.accounts import KiiexUser
from sandbox.caller import Caller, Reply

LOGIN = "/ap/AuthenticateUser"
POSITIONS = "/ap/GetAccountPositions"
NOT_AUTHORIZED = {
    "result": False,
    "errormsg": "Not Authorized",
    "errorcode": 20,
    "detail": None,
}
INVALID_LOGIN = {
    "authenticated": False,
    "locked": False,
    "errormsg": "Invalid username or password",
}
TEST_SECRET = "test-secret"


def signed(
    user_id: str = "149",
    *,
    nonce: str = "1700000000000",
    key: str = "test-key",
    secret: str = TEST_SECRET,
) -> dict[str, str]:
    """Return the four fields, by the rule of KIIEX's guide."""
    text = nonce + user_id + key
    signature = hmac.new(secret.encode(), text.encode(), "sha256").hexdigest()
    return {"APIKey": key, "Signature": signature, "UserId": user_id, "Nonce": nonce}


async def log_in(caller: Caller, fields: Mapping[str, str] | None = None) -> Reply:
    """Log in by headers."""
    return await caller.send("kiiex", "POST", LOGIN, signed() if fields is None else fields)


async def token_of(caller: Caller) -> str:
    """Log in and return the session's token."""
    return (await log_in(caller)).text("SessionToken")


async def test_ccxt_vector_is_accepted_statelessly(caller: Caller) -> None:
    """The four headers that ccxt makes for AlphaPoint open an endpoint without a login."""
    headers = signed() | {
        "Signature": "50d48869dedc51a0afdfe932700ade6b15ff5fcb7feda2d3a84f376fdb9b1586"
    }
    reply = await caller.send("kiiex", "GET", POSITIONS + "?OMSId=1&AccountId=449", headers)
    assert (reply.status, reply.json) == (
        200,
        [{"OMSId": 1, "AccountId": 449, "ProductSymbol": "BTC", "Amount": 1}],
    )


async def test_leading_zeros_of_the_user_count(caller: Caller) -> None:
    """UserId is text: user 001 logs in as 001, with ccxt's vector, and not as 1."""
    caller.sandbox.accounts.add(KiiexUser("001", "test-key", "test-secret"))
    headers = signed("001") | {
        "Signature": "406d58af486e06c013a0f854235d382e3935419629596630bb36ee58d9e4e666"
    }
    right = await log_in(caller, headers)
    wrong = await log_in(caller, signed("1"))
    assert right.text("SessionToken")
    assert wrong.json == INVALID_LOGIN


async def test_login_by_headers_opens_a_session(caller: Caller) -> None:
    """The four headers are answered with a token, which as `aptoken` opens other endpoints."""
    token = await token_of(caller)
    reply = await caller.send("kiiex", "POST", POSITIONS, {"aptoken": token}, b"{}")
    assert reply.status == 200
    assert isinstance(reply.json, list)


async def test_names_of_headers_have_no_case(caller: Caller) -> None:
    """Headers are found whatever the case of their names, and so is the root path."""
    login = {name.lower(): value for name, value in signed().items()}
    token = (await caller.send("kiiex", "POST", "/AP/AuthenticateUser", login)).text("SessionToken")
    reply = await caller.send("kiiex", "POST", POSITIONS, {"APTOKEN": token})
    assert isinstance(reply.json, list)


async def test_login_by_json_body_opens_a_session(caller: Caller) -> None:
    """The same fields in a JSON body are answered the same way."""
    reply = await caller.send("kiiex", "POST", LOGIN, body=json.dumps(signed()))
    assert reply.text("SessionToken")


async def test_login_form_can_be_narrowed(caller: Caller) -> None:
    """With a form turned off by its knob, the login by it fails and the other works."""
    caller.sandbox.knobs.kiiex.by_headers = False
    headers = await log_in(caller)
    body = await caller.send("kiiex", "POST", LOGIN, body=json.dumps(signed()))
    caller.sandbox.knobs.kiiex.by_headers = True
    caller.sandbox.knobs.kiiex.by_body = False
    no_body = await caller.send("kiiex", "POST", LOGIN, body=json.dumps(signed()))
    assert headers.json == no_body.json == INVALID_LOGIN
    assert body.text("SessionToken")


async def test_success_has_the_fields_seen_on_real_servers(caller: Caller) -> None:
    """The answer has PascalCase names, the user, and no error."""
    reply = await log_in(caller)
    assert isinstance(reply.json, dict)
    body = dict(reply.json)
    assert body.pop("SessionToken")
    assert body == {
        "Authenticated": True,
        "User": {
            "UserId": 149,
            "UserName": "sandbox",
            "Email": "sandbox@sandbox.invalid",
            "EmailVerified": True,
            "AccountId": 449,
            "OMSId": 1,
            "Use2FA": False,
        },
        "Locked": False,
        "Requires2FA": False,
        "EnforceEnable2FA": False,
        "TwoFAType": None,
        "TwoFAToken": None,
        "errormsg": None,
    }


async def test_camel_case_is_a_knob(caller: Caller) -> None:
    """With the knob the names are those of the guide's schema."""
    caller.sandbox.knobs.kiiex.camel_case = True
    reply = await log_in(caller)
    assert isinstance(reply.json, dict)
    user = reply.json["user"]
    assert isinstance(user, dict)
    assert reply.text("sessionToken")
    assert {"userId", "userName", "email", "accountId", "omsId", "use2FA"} <= user.keys()


@pytest.mark.parametrize(
    "fields",
    [
        signed(secret="other"),
        signed(key="other"),
        signed("7"),
        signed() | {"Signature": signed()["Signature"].upper()},
        {**signed(), "Nonce": ""},
        {},
    ],
)
async def test_failed_login_is_http_200(caller: Caller, fields: dict[str, str]) -> None:
    """A wrong secret, key, user, case or an absent field is refused in the body of a 200."""
    reply = await log_in(caller, fields)
    assert (reply.status, reply.json) == (200, INVALID_LOGIN)


@pytest.mark.parametrize("body", ["", "[]", "{", "[" * 100_000, '{"UserId": 149}'])
async def test_login_without_fields_fails(caller: Caller, body: str) -> None:
    """A body that is no object of texts is a failed login, and nothing worse."""
    reply = await caller.send("kiiex", "POST", LOGIN, body=body)
    assert (reply.status, reply.json) == (200, INVALID_LOGIN)


async def test_rapid_failures_lock_the_user_until_unlocked(caller: Caller) -> None:
    """The fifth failure in a row locks; a right login then fails, until an administrator helps."""
    token = await token_of(caller)
    for _ in range(5):
        assert (await log_in(caller, signed(secret="other"))).json == INVALID_LOGIN
    locked = await log_in(caller)
    session = await caller.send("kiiex", "POST", POSITIONS, {"aptoken": token})
    unlocked = await caller.send("control", "POST", "/unlock", body='{"user_id":"149"}')
    assert locked.status == 200
    assert locked.json == {
        "authenticated": False,
        "locked": True,
        "errormsg": "User is locked",
    }
    assert session.json == NOT_AUTHORIZED
    assert unlocked.status == 200
    assert (await log_in(caller)).text("SessionToken")


@pytest.mark.parametrize(("apart_ms", "locked"), [(60_000, True), (60_001, False)])
async def test_slow_failures_do_not_lock(caller: Caller, apart_ms: int, locked: bool) -> None:
    """Failures more than a minute apart are not rapid."""
    for _ in range(6):
        await log_in(caller, signed(secret="other"))
        caller.clock.time_ms += apart_ms
    assert caller.sandbox.accounts.kiiex["149"].locked is locked


async def test_good_login_starts_the_count_again(caller: Caller) -> None:
    """Four failures, a good login and four more failures lock nobody."""
    for _ in range(2):
        for _ in range(4):
            await log_in(caller, signed(secret="other"))
        assert (await log_in(caller)).text("SessionToken")


async def test_lock_after_is_a_knob(caller: Caller) -> None:
    """With the knob at one the first failure locks."""
    caller.sandbox.knobs.kiiex.lock_after = 1
    await log_in(caller, signed(secret="other"))
    assert caller.sandbox.accounts.kiiex["149"].locked


async def test_second_factor_comes_before_the_session(caller: Caller) -> None:
    """With 2FA the login is authenticated yet has no session; the code then gives one."""
    caller.sandbox.accounts.kiiex["149"].code_2fa = "123456"
    pending = await log_in(caller)
    assert isinstance(pending.json, dict)
    token = pending.text("Pending2FaToken")
    assert pending.json == {
        "Authenticated": True,
        "Requires2FA": True,
        "AuthType": "Google",
        "AddtlInfo": "",
        "Pending2FaToken": token,
    }
    wrong = {"Pending2FaToken": token, "Code": "000000"}
    right = {"Pending2FaToken": token, "Code": "123456"}
    refused = await caller.send("kiiex", "POST", "/ap/Authenticate2FA", wrong)
    opened = await caller.send("kiiex", "POST", "/ap/Authenticate2FA", right)
    again = await caller.send("kiiex", "POST", "/ap/Authenticate2FA", right)
    assert refused.json == again.json == INVALID_LOGIN
    headers = {"aptoken": opened.text("SessionToken")}
    assert isinstance((await caller.send("kiiex", "POST", POSITIONS, headers)).json, list)


async def test_session_ends_an_hour_after_the_last_use(caller: Caller) -> None:
    """Each use gives the session another hour; an hour without one ends it."""
    headers = {"aptoken": await token_of(caller)}
    for _ in range(3):
        caller.clock.time_ms += 3_599_999
        assert isinstance((await caller.send("kiiex", "POST", POSITIONS, headers)).json, list)
    caller.clock.time_ms += 3_600_000
    assert (await caller.send("kiiex", "POST", POSITIONS, headers)).json == NOT_AUTHORIZED
    caller.clock.time_ms -= 3_600_000
    assert (await caller.send("kiiex", "POST", POSITIONS, headers)).json == NOT_AUTHORIZED


async def test_log_out_ends_the_session(caller: Caller) -> None:
    """LogOut answers that it is done, and the token is worth nothing."""
    headers = {"aptoken": await token_of(caller)}
    done = await caller.send("kiiex", "POST", "/ap/LogOut", headers, b"{}")
    after = await caller.send("kiiex", "POST", POSITIONS, headers)
    assert done.json == {"result": True, "errormsg": None, "errorcode": 0, "detail": None}
    assert after.json == NOT_AUTHORIZED


@pytest.mark.parametrize(
    "headers",
    [{}, {"aptoken": "unknown"}, signed(secret="other"), signed("7"), {"APIKey": "test-key"}],
)
async def test_other_endpoints_need_a_session_or_a_signature(
    caller: Caller, headers: dict[str, str]
) -> None:
    """Without a token and four right headers the answer is errorcode 20, in a 200."""
    reply = await caller.send("kiiex", "POST", POSITIONS, headers)
    assert (reply.status, reply.json) == (200, NOT_AUTHORIZED)


@pytest.mark.parametrize("bound", [True, False])
async def test_session_may_be_bound_to_its_address(caller: Caller, bound: bool) -> None:
    """With the knob a token works from the address that logged in, and from no other."""
    caller.sandbox.knobs.kiiex.bind_ip = bound
    headers = {"aptoken": await token_of(caller)}
    same = await caller.send("kiiex", "POST", POSITIONS, headers)
    other = await caller.send("kiiex", "POST", POSITIONS, headers, local="127.0.0.2")
    assert isinstance(same.json, list)
    assert (other.json == NOT_AUTHORIZED) is bound


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("GetOpenOrders", []),
        ("GetOrderStatus", {"OrderId": 0, "OrderState": "Working"}),
        ("GetUserInfo", {"UserId": 149, "UserName": "sandbox"}),
        ("SendOrder", {"status": "Accepted", "errormsg": "", "OrderId": 1}),
        ("CancelOrder", {"result": True, "errormsg": None, "errorcode": 0, "detail": None}),
    ],
)
async def test_endpoints_answer_plausibly(caller: Caller, endpoint: str, expected: object) -> None:
    """Each endpoint has an answer of the venue's shape."""
    reply = await caller.send("kiiex", "POST", f"/ap/{endpoint}", signed(), b"{}")
    assert (reply.status, reply.json) == (200, expected)


async def test_withdrawal_is_recorded_without_tokens(caller: Caller) -> None:
    """The ledger holds key and parameters of a withdrawal, but no session token."""
    body = '{"ProductId":1,"Amount":"2","SessionToken":"t","Code":"123456"}'
    reply = await caller.send("kiiex", "POST", "/ap/CreateWithdrawTicket", signed(), body)
    (seen,) = caller.sandbox.requests("kiiex")
    assert isinstance(reply.json, dict)
    assert reply.json["TicketNumber"] == 1
    assert seen.account == "test-key"
    assert dict(seen.parameters) == {"ProductId": "1", "Amount": "2"}


@pytest.mark.parametrize("path", ["/other", "/api/AuthenticateUser", "/ap/Unknown"])
async def test_unknown_path_is_not_found(caller: Caller, path: str) -> None:
    """A path outside /ap, or an endpoint that is not there, is a 404 with code 104."""
    reply = await caller.send("kiiex", "POST", path, signed())
    assert reply.status == 404
    assert reply.text("errormsg") == "Resource Not Found"


async def test_unlock_knows_its_users(caller: Caller) -> None:
    """Unlocking a user that is not there says so."""
    assert caller.sandbox.unlock("149")
    assert not caller.sandbox.unlock("7")


async def test_user_id_is_digits() -> None:
    """A user whose id is no number can't be made."""
    with pytest.raises(ValueError, match="user_id must be digits"):
        KiiexUser("abc", "key", "secret")
