"""Aster V3: what it takes, and the parameters that it returns to send."""

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import NOW_MS, FakeOutbound, credential
from privyseald.errors import BodyInvalid, FieldInvalid, IntentUnsupported, ParameterReserved
from privyseald.key import Algorithm
from privyseald.venues.http_request import encode_query
from privyseald.venues.likeness import likeness
from privyseald.venues.registry import opens_sessions
from privyseald.venues.venue import (
    Coverage,
    NonceOrder,
    NonceUnit,
    Session,
    SessionUse,
    SignedHttpRequest,
)
from venues.desk import NONCE_US, VENUES, ask, sign

FORM = "application/x-www-form-urlencoded"
ORDER = "/fapi/v3/order"
AGENT = "0x21cF8Ae13Bb72632562c6Fff438652Ba1a151bb0"
USER = "0x63DD5aCC6b1aa0f563956C0e534DD30B6dcF7C4e"
MATERIAL = "0x4fd0a42218f3eae43a6ce26d22544e986139a01e5b34a62db53757ffca81bae1"
KEYED = credential("aster-v3", Algorithm.SECP256K1, MATERIAL)
WITH_USER = credential("aster-v3", Algorithm.SECP256K1, MATERIAL, {"user": USER})
TESTNET = credential("aster-v3", Algorithm.SECP256K1, MATERIAL, environment="testnet")
ADDED = f"nonce={NONCE_US}&signer={AGENT}"


def proved(signed: SignedHttpRequest, chain_id: int = 1666) -> str:
    """The signed text, after recovering the agent from the signature behind it."""
    sent = signed.body.decode() or signed.url.partition("?")[2]
    text, mark, signature = sent.rpartition("&signature=")
    assert mark
    domain = {"name": "AsterSignTransaction", "version": "1", "chainId": chain_id}
    domain["verifyingContract"] = "0x" + "0" * 40
    signable = encode_typed_data(
        domain, {"Message": [{"name": "msg", "type": "string"}]}, {"msg": text}
    )
    assert Account.recover_message(signable, signature=signature) == AGENT
    assert signature == signature.lower()
    return text


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
async def test_a_query_stays_a_query(method: str) -> None:
    """Parameters of a query are followed by nonce, signer and signature, there."""
    signed = await sign(KEYED, method, f"{ORDER}?symbol=BTCUSDT&a=%5B%22x%22%5D", nonce=NONCE_US)
    assert proved(signed) == f"symbol=BTCUSDT&a=%5B%22x%22%5D&{ADDED}"
    assert (signed.method, signed.body, signed.headers) == (method, b"", ())
    assert signed.url.startswith(f"https://fapi.asterdex.com{ORDER}?")
    assert signed.expire_time_ms == NOW_MS + 10_000


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
@pytest.mark.parametrize("content_type", ["", FORM])
async def test_a_body_stays_a_body(method: str, content_type: str) -> None:
    """Parameters of a form are followed by nonce, signer and signature, in the form."""
    signed = await sign(KEYED, method, ORDER, "symbol=BTCUSDT", content_type, nonce=NONCE_US)
    assert proved(signed) == f"symbol=BTCUSDT&{ADDED}"
    assert signed.headers == (("Content-Type", FORM),)
    assert signed.url == f"https://fapi.asterdex.com{ORDER}"


@pytest.mark.parametrize(
    ("method", "in_query"), [("GET", True), ("POST", False), ("DELETE", False)]
)
async def test_a_request_without_parameters_has_them_where_its_method_does(
    method: str, *, in_query: bool
) -> None:
    """Those of a GET go in the query, those of any other in the form."""
    signed = await sign(KEYED, method, "/fapi/v3/balance", nonce=NONCE_US)
    assert proved(signed) == ADDED
    assert in_query == ("?" in signed.url)
    assert in_query == (not signed.body)


async def test_a_user_is_sent_where_the_key_names_one() -> None:
    """The main wallet stands between nonce and signer, as the key's document writes it."""
    signed = await sign(WITH_USER, "GET", "/fapi/v3/balance", nonce=NONCE_US)
    assert proved(signed) == f"nonce={NONCE_US}&user={USER}&signer={AGENT}"


async def test_the_testnet_has_its_own_chain_id_and_hosts() -> None:
    """714 and asterdex-testnet.com."""
    signed = await sign(TESTNET, "GET", "/api/v3/account", nonce=NONCE_US)
    assert proved(signed, 714) == ADDED
    assert signed.url.startswith("https://sapi.asterdex-testnet.com/api/v3/account?")


@settings(max_examples=60, deadline=None)
@given(
    parameters=st.dictionaries(
        st.text(min_size=1, max_size=8).filter(lambda name: name not in {"user", "nonce"}),
        st.text(max_size=20),
        max_size=4,
    ).filter(lambda parameters: len(parameters) == len(set(map(likeness, parameters))))
)
async def test_the_signed_text_is_the_sent_text(parameters: dict[str, str]) -> None:
    """Whatever the parameters are, the text is signed as it is sent, escapes included."""
    encoded = encode_query(parameters.items())
    signed = await sign(KEYED, "POST", ORDER, encoded, nonce=NONCE_US)
    assert proved(signed) == (f"{encoded}&{ADDED}" if encoded else ADDED)


@pytest.mark.parametrize("name", ["nonce", "user", "signer", "signature"])
@pytest.mark.parametrize("spelling", ["plain", "escaped"])
def test_a_parameter_that_is_added_is_refused_however_it_is_spelt(name: str, spelling: str) -> None:
    """No escape brings a second nonce or signer past the check."""
    written = name if spelling == "plain" else f"%{ord(name[0]):02x}{name[1:]}"
    for target, body, place in (
        (f"{ORDER}?{written}=1", "", "query"),
        (ORDER, f"{written}=1", "body"),
    ):
        with pytest.raises(ParameterReserved, match=name) as caught:
            ask(KEYED, "POST", target, body)
        assert caught.value.field == f"http_request.{place}"


@pytest.mark.parametrize(
    ("method", "target", "body", "content_type", "field"),
    [
        ("POST", f"{ORDER}?a=1", "b=1", "", "http_request.query"),
        ("POST", f"{ORDER}?a=1&a=2", "", "", "http_request.query"),
        ("POST", ORDER, "a=1&a=2", "", "http_request.body"),
        ("PATCH", ORDER, "", "", "http_request.method"),
        ("POST", ORDER, "", "application/json", "http_request.content_type"),
        ("POST", "/bapi/futures/v1/x", "", "", "http_request.path"),
        ("POST", "/x", "", "", "http_request.path"),
    ],
)
def test_what_aster_does_not_take_is_refused(
    method: str, target: str, body: str, content_type: str, field: str
) -> None:
    """Parameters in two places, doubled ones, other methods, types and paths."""
    with pytest.raises(FieldInvalid) as caught:
        ask(KEYED, method, target, body, content_type)
    assert field == caught.value.field


def test_a_body_that_is_no_form_is_refused() -> None:
    """Aster takes forms, percent-encoded."""
    with pytest.raises(BodyInvalid):
        ask(KEYED, "POST", ORDER, '{"a":1}')


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/fapi/v3/approveAgent"),
        ("POST", "/fapi/v3/updateAgent"),
        ("DELETE", "/fapi/v3/agent"),
        ("POST", "/fapi/v3/approveBuilder"),
        ("POST", "/fapi/v3/registerAndApproveAgent"),
    ],
)
def test_what_only_the_main_wallet_signs_is_refused_as_a_request(method: str, path: str) -> None:
    """Management is typed data of its own on chain 56: nothing that Aster refuses is returned."""
    with pytest.raises(IntentUnsupported, match="typed_data") as caught:
        ask(KEYED, method, path, "agentName=a")
    assert caught.value.field == "http_request.path"


async def test_looking_at_agents_is_a_plain_request() -> None:
    """GET of the same path is signed as any other."""
    assert proved(await sign(KEYED, "GET", "/fapi/v3/agent", nonce=NONCE_US)) == ADDED


async def test_a_nonce_is_unique_in_microseconds_and_no_login_signs() -> None:
    """The narrower of the two windows in Aster's documents; sessions sign nothing, end nothing."""
    venue = VENUES.get("aster-v3")
    assert opens_sessions(venue)
    policy = venue.nonce_policy(KEYED, None)
    assert policy is not None
    assert (policy.unit, policy.order, policy.window_ms) == (
        NonceUnit.US,
        NonceOrder.UNIQUE,
        10_000,
    )
    assert venue.coverage is Coverage.PARAMETERS
    assert venue.session_use(KEYED) is SessionUse.NEVER
    assert venue.login_nonce_policy(KEYED) is None
    outbound = FakeOutbound()
    await venue.logout(KEYED, venue.environments[0], Session("t", (), "1", NOW_MS, None), outbound)
    assert outbound.sent == []
