"""KIIEX's login and logout, for every kind of answer."""

import hashlib
import hmac
import json
from typing import Any

import pytest

from fakes import NOW_MS, Answer, FakeOutbound, answer, credential
from privyseald.errors import (
    PrivysealError,
    VenueAccountLocked,
    VenueCredentialRejected,
    VenueOutcomeUnknown,
    VenueRateLimited,
    VenueRefused,
    VenueTwoFactorPending,
    VenueUnreachable,
)
from privyseald.key import Algorithm
from privyseald.outbound.outbound import OutboundRequest
from privyseald.venues.registry import opens_sessions
from privyseald.venues.venue import Moment, Session, SessionVenue
from venues.desk import VENUES

MATERIAL = "canary5ec7e70123456789abcdef0123"
TOKEN = "7d0ccf3a-ae63-44f5-a409-canary80228bc"
PENDING = "pending-canary-2fa-token-0123456789"
SIGNATURE = hmac.new(MATERIAL.encode(), f"{NOW_MS}096key-1".encode(), hashlib.sha256).hexdigest()
CANARIES = (MATERIAL, TOKEN, PENDING, SIGNATURE)
KEYED = credential("kiiex", Algorithm.HMAC_SHA256, MATERIAL, {"api_key": "key-1", "user_id": "096"})
URL = "https://alphaprod.proxy.kiiex.io/ap/"
HEADERS = (
    ("Content-Type", "application/json"),
    ("APIKey", "key-1"),
    ("Signature", SIGNATURE),
    ("UserId", "096"),
    ("Nonce", str(NOW_MS)),
)
# hummingbot's fixture of a real answer, with another token.
PASCAL = {
    "Authenticated": True,
    "SessionToken": TOKEN,
    "User": {"UserId": 492, "UserName": "hbot", "AccountId": 528, "OMSId": 1, "Use2FA": True},
    "Locked": False,
    "Requires2FA": False,
    "TwoFAType": None,
    "TwoFAToken": None,
    "errormsg": None,
}
CAMEL = {"authenticated": True, "sessionToken": TOKEN, "user": {"userId": 492}}
WANTS_CODE = {
    "Authenticated": True,
    "Requires2FA": True,
    "AuthType": "Google",
    "AddtlInfo": "",
    "Pending2FaToken": PENDING,
}


def kiiex() -> SessionVenue:
    """The venue, as one that logs in."""
    venue = VENUES.get("kiiex")
    assert opens_sessions(venue)
    return venue


async def login(outbound: FakeOutbound, **options: str) -> Session:
    """Log in at production, at a fixed time."""
    venue = kiiex()
    moment = Moment(NOW_MS, NOW_MS)
    return await venue.login(KEYED, venue.environments[0], moment, options, outbound)


async def refused(script: Answer, *more: Answer, **options: str) -> PrivysealError:
    """The error of a login, after a look for secrets in it."""
    outbound = FakeOutbound(script, *more)
    with pytest.raises(PrivysealError) as caught:
        await login(outbound, **options)
    error = caught.value
    text = " ".join([error.message, repr(error.metadata), str(error), repr(error)])
    assert [canary for canary in CANARIES if canary in text] == []
    assert len(outbound.sent) <= 2
    return error


@pytest.mark.parametrize("given", [PASCAL, CAMEL], ids=["PascalCase", "camelCase"])
async def test_a_login_returns_the_token_in_either_spelling(given: dict[str, Any]) -> None:
    """Names are read without regard to case, and the session is ready to use for an hour."""
    outbound = FakeOutbound(answer(given))
    session = await login(outbound)
    assert session == Session(TOKEN, (("aptoken", TOKEN),), "492", NOW_MS, NOW_MS + 3_600_000)
    assert outbound.sent == [OutboundRequest("POST", f"{URL}AuthenticateUser", HEADERS, b"{}")]
    assert TOKEN not in repr(session)


async def test_credentials_go_in_the_body_where_asked() -> None:
    """The guide's schema is an option: then no header holds them."""
    outbound = FakeOutbound(answer(PASCAL))
    await login(outbound, credentials_in="body")
    assert outbound.sent[0].headers == HEADERS[:1]
    assert json.loads(outbound.sent[0].body) == dict(HEADERS[1:])
    assert b" " not in outbound.sent[0].body


async def test_headers_are_the_place_of_credentials_unless_asked() -> None:
    """Naming the default changes nothing."""
    outbound = FakeOutbound(answer(PASCAL))
    await login(outbound, credentials_in="headers")
    assert outbound.sent[0].headers == HEADERS


@pytest.mark.parametrize(
    ("user", "expected"),
    [({"UserId": 57764}, "57764"), ({}, "096"), ({"User": "x"}, "096"), ({"User": {}}, "096")],
)
async def test_the_user_id_is_found_where_it_stands(user: dict[str, Any], expected: str) -> None:
    """In `User`, beside the token, or in the key's document."""
    given = {"Authenticated": True, "SessionToken": TOKEN, **user}
    assert expected == (await login(FakeOutbound(answer(given)))).user_id


async def test_a_second_factor_is_given_in_a_second_call() -> None:
    """The pending token and the code go as headers, and that answer is the session."""
    second = {"Authenticated": True, "UserId": 57764, "SessionToken": TOKEN}
    outbound = FakeOutbound(answer(WANTS_CODE), answer(second))
    session = await login(outbound, two_factor_code="123456")
    assert (session.token, session.user_id) == (TOKEN, "57764")
    assert outbound.sent[1] == OutboundRequest(
        "POST",
        f"{URL}Authenticate2FA",
        (("Content-Type", "application/json"), ("Pending2FaToken", PENDING), ("Code", "123456")),
        b"{}",
    )


async def test_a_code_that_is_not_asked_for_is_not_sent() -> None:
    """A user without a second factor is logged in at once."""
    outbound = FakeOutbound(answer(PASCAL))
    await login(outbound, two_factor_code="123456")
    assert len(outbound.sent) == 1


@pytest.mark.parametrize(
    "given",
    [WANTS_CODE, {**WANTS_CODE, "SessionToken": TOKEN}],
    ids=["pending", "pending beside a token"],
)
async def test_authenticated_is_no_session_while_a_factor_is_pending(given: dict[str, Any]) -> None:
    """`Authenticated: true` with `Requires2FA: true` opens nothing."""
    error = await refused(answer(given))
    assert (type(error), error.metadata) == (VenueTwoFactorPending, {"venue": "kiiex"})
    assert "two_factor_code" in error.message


@pytest.mark.parametrize("pending", [None, "", "a b", "a\r\nX: y", ["x y"], "x" * 5_000])
async def test_a_pending_token_that_is_none_is_not_sent_on(pending: object) -> None:
    """Nothing that can't stand in a header is put there."""
    given = {**WANTS_CODE, "Pending2FaToken": pending}
    error = await refused(answer(given), answer(PASCAL), two_factor_code="123456")
    assert isinstance(error, VenueTwoFactorPending)


async def test_a_wrong_code_is_refused() -> None:
    """The second call's refusal is told."""
    second = {"Authenticated": False, "errormsg": "Invalid code"}
    error = await refused(answer(WANTS_CODE), answer(second), two_factor_code="000000")
    assert isinstance(error, VenueCredentialRejected)
    assert error.metadata == {"venue": "kiiex", "venueMessage": "Invalid code"}


@pytest.mark.parametrize(
    "given",
    [
        {"authenticated": False, "locked": True, "errormsg": "User is locked"},
        {"Authenticated": True, "Locked": True, "SessionToken": TOKEN},
        {**WANTS_CODE, "Locked": True},
    ],
    ids=["refused", "beside a token", "while a factor is pending"],
)
async def test_a_locked_user_is_told_to_stop(given: dict[str, Any]) -> None:
    """A lock beats all else, and nothing more is sent."""
    outbound = FakeOutbound(answer(given))
    with pytest.raises(VenueAccountLocked, match="Do not log in again") as caught:
        await login(outbound, two_factor_code="123456")
    assert caught.value.metadata == {"venue": "kiiex", "key": "keys/desk-1"}
    assert len(outbound.sent) == 1


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {"authenticated": False, "locked": False, "errormsg": "Invalid username or password"},
            "Invalid username or password",
        ),
        ({"authenticated": False}, "no reason given"),
        ({}, "no reason given"),
        ({"Authenticated": "true", "SessionToken": TOKEN}, "no reason given"),
        ({"Authenticated": 1, "SessionToken": TOKEN}, "no reason given"),
        ({"SessionToken": TOKEN}, "no reason given"),
        (
            {"result": False, "errormsg": "Not Authorized", "errorcode": 20, "detail": None},
            "Not Authorized",
        ),
        ({"result": False, "errormsg": None, "errorcode": 20, "detail": "why"}, "why"),
    ],
)
async def test_a_failure_comes_with_http_200(given: dict[str, Any], words: str) -> None:
    """What is not plainly authenticated is rejected, with the venue's words."""
    error = await refused(answer(given))
    assert type(error) is VenueCredentialRejected
    assert error.metadata == {"venue": "kiiex", "venueMessage": words}
    assert "lock the user" in error.message


@pytest.mark.parametrize("status", [401, 403, 404])
@pytest.mark.parametrize(
    "body",
    [b"", b"<html>Forbidden</html>", b'{"errormsg":"Invalid credentials or token"}', b"[1]"],
    ids=["nothing", "a page", "JSON", "a list"],
)
async def test_a_refusing_status_is_a_rejection_whatever_its_body(status: int, body: bytes) -> None:
    """401, 403 and 404 say that no session was opened: nobody may take them for a time out."""
    error = await refused(answer(body, status=status, content_type="text/html"))
    assert type(error) is VenueCredentialRejected


@pytest.mark.parametrize("status", [400, 409, 422])
@pytest.mark.parametrize("body", [b"", b'{"errorcode":100,"errormsg":"Invalid Request"}'])
async def test_another_4xx_is_a_refusal(status: int, body: bytes) -> None:
    """The venue said no, to something else than the key."""
    error = await refused(answer(body, status=status))
    assert type(error) is VenueRefused
    assert error.metadata["venue"] == "kiiex"


@pytest.mark.parametrize(
    ("code", "words"), [(100, "Invalid Request"), (101, "Operation Failed"), (102, "Server Error")]
)
async def test_a_code_and_its_words_are_in_the_metadata(code: int, words: str) -> None:
    """A generic error of the venue comes with HTTP 200."""
    given = {"result": False, "errormsg": words, "errorcode": code, "detail": None}
    error = await refused(answer(given))
    assert type(error) is VenueRefused
    assert error.metadata == {"venue": "kiiex", "venueCode": str(code), "venueMessage": words}


@pytest.mark.parametrize(
    "given",
    [
        answer(b"", status=429),
        answer({"errormsg": "slow down"}, status=429),
        answer(b"TOO MANY REQUESTS", content_type="text/plain"),
        answer(b"Too Many Requests\n", status=403),
    ],
    ids=["429", "429 with JSON", "words with 200", "words with 403"],
)
async def test_a_rate_limit_says_when_to_come_back(given: Answer) -> None:
    """429 and the gateway's words are one thing."""
    error = await refused(given)
    assert type(error) is VenueRateLimited
    assert error.retry_after_ms == 60_000


@pytest.mark.parametrize(
    ("given", "status"),
    [
        (answer(b"<html>503</html>", status=503, content_type="text/html"), "503"),
        (answer({"Authenticated": True, "SessionToken": TOKEN}, status=500), "500"),
        (answer(b""), "200"),
        (answer(b"  \n"), "200"),
        (answer(b"<html>welcome</html>", content_type="text/html"), "200"),
        (answer(json.dumps(PASCAL).encode()[:-20]), "200"),
        (answer(b"\xff\xfe{"), "200"),
        (answer([PASCAL]), "200"),
        (answer("a text"), "200"),
        (answer(None), "200"),
        (answer(b"[" * 50_000), "200"),
        (answer(b'{"a":' * 50_000 + b"1" + b"}" * 50_000), "200"),
        (answer(b'{"errorcode":' + b"9" * 5_000 + b"}"), "200"),
        (answer(PASCAL, status=302), "302"),
        (answer(b"", status=301), "301"),
    ],
    ids=[
        "503 page",
        "500 JSON",
        "nothing",
        "blanks",
        "a page",
        "half a body",
        "no UTF-8",
        "a list",
        "a text",
        "null",
        "deep lists",
        "deep objects",
        "a long number",
        "a redirect",
        "an empty redirect",
    ],
)
async def test_an_answer_without_sense_leaves_the_outcome_unknown(
    given: Answer, status: str
) -> None:
    """What says nothing of a login is no refusal, and tells its status."""
    error = await refused(given)
    assert type(error) is VenueOutcomeUnknown
    assert error.metadata == {"venue": "kiiex", "httpStatus": status}


@pytest.mark.parametrize(
    "token", [None, "", 5, True, ["x"], {"x": 1}, "a b", "a\r\nX: y", "\u00e9", "x" * 4_097]
)
async def test_authenticated_without_a_token_is_no_session(token: object) -> None:
    """A token is a text that can stand in a header."""
    error = await refused(answer({"Authenticated": True, "SessionToken": token}))
    assert (type(error), error.metadata) == (VenueRefused, {"venue": "kiiex"})


async def test_a_long_token_is_a_token() -> None:
    """4,096 characters pass."""
    given = {"Authenticated": True, "SessionToken": "x" * 4_096}
    assert (await login(FakeOutbound(answer(given)))).token == "x" * 4_096


@pytest.mark.parametrize("kind", [VenueUnreachable, VenueOutcomeUnknown])
async def test_a_failure_below_is_passed_on(kind: type[PrivysealError]) -> None:
    """What the network says of the outcome is not changed."""
    error = await refused(kind("away"))
    assert type(error) is kind


@pytest.mark.parametrize("canary", CANARIES)
async def test_a_venue_that_repeats_a_secret_is_not_quoted(canary: str) -> None:
    """A long token in the venue's words is left out of message and metadata."""
    words = f"bad signature {canary} \x1b[31m\nfor user"
    for given in (
        {"authenticated": False, "errormsg": words},
        {"result": False, "errormsg": words},
    ):
        error = await refused(answer(given))
        assert "[...]" in error.metadata["venueMessage"]
        assert "\n" not in error.message
        assert "\x1b" not in error.message


async def test_a_logout_sends_the_token() -> None:
    """LogOut is called with the session's header."""
    outbound = FakeOutbound(answer({"result": True, "errormsg": None, "errorcode": 0}))
    venue = kiiex()
    session = Session(TOKEN, (("aptoken", TOKEN),), "492", NOW_MS, NOW_MS + 1)
    await venue.logout(KEYED, venue.environments[1], session, outbound)
    headers = (("Content-Type", "application/json"), ("aptoken", TOKEN))
    staging = "https://apstage.proxy.kiiex.io/ap/LogOut"
    assert outbound.sent == [OutboundRequest("POST", staging, headers, b"{}")]


async def test_a_refused_logout_is_told() -> None:
    """A session that the venue does not know any more is an error of the venue's."""
    venue = kiiex()
    outbound = FakeOutbound(
        answer({"result": False, "errormsg": "Not Authorized", "errorcode": 20})
    )
    session = Session(TOKEN, (("aptoken", TOKEN),), "492", NOW_MS, NOW_MS + 1)
    with pytest.raises(VenueCredentialRejected) as caught:
        await venue.logout(KEYED, venue.environments[0], session, outbound)
    assert TOKEN not in caught.value.message


def test_a_login_reserves_a_nonce_as_a_request_does() -> None:
    """The login's nonce is the key's, unless the document fixes it."""
    fields = {"api_key": "key-1", "user_id": "096", "nonce": "1"}
    fixed = credential("kiiex", Algorithm.HMAC_SHA256, MATERIAL, fields)
    assert kiiex().login_nonce_policy(fixed) is None
    assert kiiex().login_nonce_policy(KEYED) == kiiex().nonce_policy(KEYED, None)
