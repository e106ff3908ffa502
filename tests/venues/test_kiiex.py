"""KIIEX: what it takes, and by what a request is signed."""

import hashlib
import hmac

import pytest

from fakes import NOW_MS, credential
from privyseald.errors import BodyInvalid, FieldInvalid, SessionMissing
from privyseald.key import Algorithm
from privyseald.signing.signer import Credential
from privyseald.venues.registry import opens_sessions
from privyseald.venues.venue import Coverage, NonceOrder, NonceUnit, Session, SessionUse
from venues.desk import VENUES, ask, sign

MATERIAL = "canary-kiiex-secret-0123456789abcdef"
PATH = "/ap/GetAccountPositions"
URL = f"https://alphaprod.proxy.kiiex.io{PATH}"
SESSION = Session("token-1", (("aptoken", "token-1"),), "96", NOW_MS, NOW_MS + 3_600_000)


def keyed(**fields: str) -> Credential:
    """A key with the fields that KIIEX needs, and more where given."""
    return credential(
        "kiiex", Algorithm.HMAC_SHA256, MATERIAL, {"api_key": "key-1", "user_id": "096", **fields}
    )


def stateless(nonce: str) -> tuple[tuple[str, str], ...]:
    """The four headers for a nonce."""
    message = f"{nonce}096key-1".encode()
    return (
        ("APIKey", "key-1"),
        ("Signature", hmac.new(MATERIAL.encode(), message, hashlib.sha256).hexdigest()),
        ("UserId", "096"),
        ("Nonce", nonce),
    )


async def test_a_request_is_signed_by_four_headers() -> None:
    """Without a session the headers hold key, signature, user and nonce; leading zeros stay."""
    signed = await sign(keyed(), "GET", f"{PATH}?OMSId=1")
    assert signed.headers == stateless(str(NOW_MS))
    assert (signed.method, signed.url, signed.body) == ("GET", f"{URL}?OMSId=1", b"")
    assert signed.expire_time_ms is None


async def test_a_body_is_sent_as_it_was_given() -> None:
    """No signature covers a body, so not a byte of it is touched."""
    body = b' {"Price" : 1.10, "Text":"\\u00e9"} '
    signed = await sign(keyed(), "POST", PATH, body)
    assert signed.headers == (("Content-Type", "application/json"), *stateless(str(NOW_MS)))
    assert body == signed.body
    assert ask(keyed(), "POST", PATH, body).json == {"Price": "1.10", "Text": "é"}


async def test_a_nonce_of_the_document_is_sent_as_it_is() -> None:
    """The NONCE that KIIEX showed with the key replaces one of ours, and none is reserved."""
    fixed = keyed(nonce="0002247733562")
    signed = await sign(fixed, "GET", PATH, nonce=None)
    assert signed.headers == stateless("0002247733562")
    assert VENUES.get("kiiex").nonce_policy(fixed, None) is None


def test_a_new_nonce_is_a_unique_time_without_a_window() -> None:
    """Nothing is known of a window, so none is claimed."""
    policy = VENUES.get("kiiex").nonce_policy(keyed(), None)
    assert policy is not None
    assert (policy.unit, policy.order, policy.window_ms) == (NonceUnit.MS, NonceOrder.UNIQUE, None)
    assert VENUES.get("kiiex").coverage is Coverage.NOTHING


@pytest.mark.parametrize("fields", [{}, {"sign_with": "session-or-stateless"}])
async def test_a_session_is_used_where_there_is_one(fields: dict[str, str]) -> None:
    """The token's header replaces the four, and the answer lasts as long as the session."""
    signed = await sign(keyed(**fields), "GET", PATH, session=SESSION, nonce=None)
    assert signed.headers == (("aptoken", "token-1"),)
    assert signed.expire_time_ms == NOW_MS + 3_600_000
    assert VENUES.get("kiiex").nonce_policy(keyed(**fields), SESSION) is None
    assert (await sign(keyed(**fields), "GET", PATH)).headers == stateless(str(NOW_MS))


async def test_a_key_that_wants_a_session_signs_by_nothing_else() -> None:
    """`sign_with: session` uses the token, and refuses without one."""
    strict = keyed(sign_with="session")
    assert (await sign(strict, "GET", PATH, session=SESSION)).headers == SESSION.headers
    with pytest.raises(SessionMissing, match="call Login") as caught:
        await sign(strict, "GET", PATH)
    assert caught.value.metadata == {"key": "keys/desk-1"}


async def test_a_stateless_key_ignores_a_session() -> None:
    """`sign_with: stateless` signs by the four headers even beside a session."""
    signed = await sign(keyed(sign_with="stateless"), "GET", PATH, session=SESSION)
    assert signed.headers == stateless(str(NOW_MS))


@pytest.mark.parametrize("use", list(SessionUse))
def test_the_document_says_whether_a_session_is_wanted(use: SessionUse) -> None:
    """Each value of `sign_with` is read, and leaving it out prefers a session."""
    venue = VENUES.get("kiiex")
    assert opens_sessions(venue)
    assert use is venue.session_use(keyed(sign_with=use.value))
    assert venue.session_use(keyed()) is SessionUse.PREFERRED


async def test_staging_has_its_own_host() -> None:
    """A key of the environment `staging` goes there."""
    fields = {"api_key": "k", "user_id": "1"}
    staged = credential("kiiex", Algorithm.HMAC_SHA256, MATERIAL, fields, environment="staging")
    assert (await sign(staged, "GET", PATH)).url == f"https://apstage.proxy.kiiex.io{PATH}"


@pytest.mark.parametrize(
    ("method", "target", "body", "content_type", "field"),
    [
        ("PUT", PATH, "", "", "http_request.method"),
        ("DELETE", PATH, "", "", "http_request.method"),
        ("POST", f"{PATH}?a=1&a=2", "", "", "http_request.query"),
        ("POST", PATH, "{}", "application/x-www-form-urlencoded", "http_request.content_type"),
        ("POST", PATH, "{}", "application/json; charset=utf-8", "http_request.content_type"),
        ("POST", "/AP/SendOrder", "", "", "http_request.path"),
        ("POST", "/ap", "", "", "http_request.path"),
        ("POST", "/ap/../SendOrder", "", "", "http_request.path"),
    ],
)
def test_what_kiiex_does_not_take_is_refused(
    method: str, target: str, body: str, content_type: str, field: str
) -> None:
    """Other methods, doubled parameters, other types and other paths."""
    with pytest.raises(FieldInvalid) as caught:
        ask(keyed(), method, target, body, content_type)
    assert field == caught.value.field


@pytest.mark.parametrize("body", ['{"a":1,"a":2}', "a=1", "{", '{"a":NaN}'])
def test_a_body_that_is_no_plain_json_is_refused(body: str) -> None:
    """A body is JSON with each key once."""
    with pytest.raises(BodyInvalid) as caught:
        ask(keyed(), "POST", PATH, body)
    assert caught.value.field == "http_request.body"
