"""Aster's wallet login and key creation, for every kind of answer."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_defunct

from fakes import NOW_MS, Answer, FakeOutbound, answer, credential
from privyseald.errors import (
    CreateKeyUnsupported,
    FieldInvalid,
    LoginUnsupported,
    PrivysealError,
    VenueAccountMissing,
    VenueCredentialRejected,
    VenueDescriptionTaken,
    VenueNonceRejected,
    VenueOutcomeUnknown,
    VenueRateLimited,
    VenueRefused,
    VenueTwoFactorPending,
    VenueUnreachable,
)
from privyseald.key import Algorithm
from privyseald.outbound.outbound import OutboundRequest
from privyseald.venues.registry import issues_keys, opens_sessions
from privyseald.venues.venue import (
    IssuedKey,
    IssuingVenue,
    KeyOrder,
    Moment,
    Session,
    SessionVenue,
)
from venues.desk import VENUES

MATERIAL = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
ADDRESS = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
WALLET = credential("aster", Algorithm.SECP256K1, MATERIAL)
API_KEY = credential("aster", Algorithm.HMAC_SHA256, "test-secret", {"api_key": "test-key"})
ROOT = "https://www.asterdex.com/bapi/futures/v1/public/future/web3/"
TOKEN = "D5M8792356G7H8J9K0L1N2B3V4C5X6Z7D5621"
ISSUED_ID = "4a2e11b243b1ad75981edf359ae02e873bf88b699196170d998d8266f5eb9f32"
ISSUED = "72911505f67b24a8efe8f246d06c324b787d2f3f7cb8b5b80ef1698ee1486e25"
# The signature of the sentence with the nonce 501182, as vectors/aster.json has it.
SIGNATURE = (
    "0x58c8e7ddd77c7c0fb89cb0162c2ccb632779e12eaecc9b93431ff19040e0c05f"
    "06fcf7428b5dd7ceea624a20f57ed3b471916b7f53324f0564063224c6d2336d1c"
)
CANARIES = (MATERIAL, TOKEN, ISSUED, ISSUED_ID, SIGNATURE, SIGNATURE[2:])
ORDER = KeyOrder("test description", (), {})


def success(data: object) -> Answer:
    """The website's way to say yes."""
    return answer(
        {"code": "000000", "message": None, "messageDetail": None, "data": data, "success": True}
    )


def failure(message: object, code: str = "100001") -> Answer:
    """The website's way to say no, with HTTP 200."""
    return answer({"code": code, "message": message, "data": None, "success": False})


NONCE = success({"nonce": "501182"})
LOGGED_IN = success({"token": TOKEN, "uid": 12345678})
CREATED = success({"apiKey": ISSUED_ID, "apiSecret": ISSUED, "keyId": 1, "apiName": "x"})


def session_venue(name: str = "aster") -> SessionVenue:
    """The venue, as one that logs in."""
    venue = VENUES.get(name)
    assert opens_sessions(venue)
    return venue


def issuing_venue() -> IssuingVenue:
    """The venue, as one that issues keys."""
    venue = VENUES.get("aster")
    assert issues_keys(venue)
    return venue


async def login(outbound: FakeOutbound, **options: str) -> Session:
    """Log the wallet in at production, at a fixed time."""
    venue = session_venue()
    return await venue.login(WALLET, venue.environments[0], Moment(NOW_MS), options, outbound)


async def create_key(outbound: FakeOutbound, order: KeyOrder = ORDER, **options: str) -> IssuedKey:
    """Have a key issued at production."""
    venue = issuing_venue()
    if options:
        order = KeyOrder(order.description, order.allowed_ips, options)
    return await venue.create_key(WALLET, venue.environments[0], order, outbound)


STEPS: dict[str, Callable[..., Any]] = {"login": login, "create_key": create_key}
each_step = pytest.mark.parametrize("step", list(STEPS))


async def refused(step: str, *script: Answer) -> PrivysealError:
    """The error of a step, after a look for secrets in it."""
    outbound = FakeOutbound(*script)
    with pytest.raises(PrivysealError) as caught:
        await STEPS[step](outbound)
    error = caught.value
    text = " ".join([error.message, repr(error.metadata), str(error), repr(error)])
    assert [canary for canary in CANARIES if canary in text] == []
    assert len(outbound.sent) == len(script)
    return error


def sent_json(request: OutboundRequest) -> dict[str, Any]:
    """A request's body, which is compact JSON."""
    value: dict[str, Any] = json.loads(request.body)
    assert json.dumps(value, separators=(",", ":")).encode() == request.body
    return value


async def test_a_login_asks_for_a_nonce_signs_it_and_hands_it_in() -> None:
    """Two requests, each with clientType, and a session that no request is signed by."""
    outbound = FakeOutbound(NONCE, LOGGED_IN)
    session = await login(outbound)
    assert session == Session(TOKEN, (), "12345678", NOW_MS, None)
    asked, handed = outbound.sent
    assert (asked.method, asked.url) == ("POST", f"{ROOT}get-nonce")
    assert (handed.method, handed.url) == ("POST", f"{ROOT}ae/login")
    assert sent_json(asked) == {"sourceAddr": ADDRESS, "type": "LOGIN"}
    assert sent_json(handed) == {"signature": SIGNATURE, "sourceAddr": ADDRESS, "chainId": 56}
    headers = (("Content-Type", "application/json"), ("clientType", "broker"))
    assert [asked.headers, handed.headers] == [headers, headers]


async def test_a_key_is_created_with_a_nonce_of_its_own() -> None:
    """The order goes out with a signature for CREATE_API_KEY; the secret comes back wrapped."""
    outbound = FakeOutbound(NONCE, CREATED)
    order = KeyOrder("desk 7", ("203.0.113.7", "203.0.113.8"), {})
    issued = await create_key(outbound, order)
    assert (issued.algorithm, issued.fields) == (Algorithm.HMAC_SHA256, {"api_key": ISSUED_ID})
    assert ISSUED.encode() == issued.material.reveal()
    assert ISSUED not in repr(issued)
    asked, handed = outbound.sent
    assert sent_json(asked) == {"sourceAddr": ADDRESS, "type": "CREATE_API_KEY"}
    assert handed.url == f"{ROOT}broker-create-api-key"
    assert sent_json(handed) == {
        "desc": "desk 7",
        "ip": "203.0.113.7,203.0.113.8",
        "network": "56",
        "signature": SIGNATURE,
        "sourceAddr": ADDRESS,
        "type": "CREATE_API_KEY",
        "sourceCode": "ae",
    }


async def test_a_nonce_that_grew_old_is_replaced_once() -> None:
    """Aster issued nothing for it, so the order goes out again, with another nonce; not a third
    time.
    """
    outbound = FakeOutbound(NONCE, failure("nonce expired"), success({"nonce": "000007"}), CREATED)
    issued = await create_key(outbound, ORDER)
    assert ISSUED.encode() == issued.material.reveal()
    first, second = (sent_json(outbound.sent[index])["signature"] for index in (1, 3))
    assert SIGNATURE == first != second

    outbound = FakeOutbound(
        NONCE, failure("nonce expired"), NONCE, failure("nonce expired"), CREATED
    )
    with pytest.raises(VenueNonceRejected):
        await create_key(outbound, ORDER)
    assert 4 == len(outbound.sent)


async def test_a_login_is_never_tried_again() -> None:
    """Also not for a nonce: it may have counted as a failed one."""
    outbound = FakeOutbound(NONCE, failure("nonce expired"), NONCE, LOGGED_IN)
    with pytest.raises(VenueNonceRejected):
        await login(outbound)
    assert 2 == len(outbound.sent)


async def test_options_reach_the_requests() -> None:
    """clientType, agentCode and sourceCode are the caller's where given."""
    outbound = FakeOutbound(NONCE, LOGGED_IN)
    await login(outbound, client_type="web", agent_code="56789")
    assert [dict(each.headers)["clientType"] for each in outbound.sent] == ["web", "web"]
    assert sent_json(outbound.sent[1])["agentCode"] == "56789"
    outbound = FakeOutbound(NONCE, CREATED)
    await create_key(outbound, client_type="web", source_code="desk")
    assert sent_json(outbound.sent[1])["sourceCode"] == "desk"
    assert dict(outbound.sent[1].headers)["clientType"] == "web"


@each_step
@pytest.mark.parametrize("nonce", ["1", "000501", "0", "a-B_9", "9" * 64])
async def test_a_nonce_is_signed_as_the_text_that_it_is(step: str, nonce: str) -> None:
    """Leading zeros are part of the sentence that the wallet signs."""
    outbound = FakeOutbound(success({"nonce": nonce}), LOGGED_IN if step == "login" else CREATED)
    await STEPS[step](outbound)
    sentence = encode_defunct(text=f"You are signing into Astherus {nonce}")
    signature = sent_json(outbound.sent[1])["signature"]
    assert Account.recover_message(sentence, signature=signature) == ADDRESS


@each_step
@pytest.mark.parametrize(
    "data",
    [
        {},
        {"nonce": None},
        {"nonce": ""},
        {"nonce": 501182},
        {"nonce": ["501182"]},
        {"nonce": "5 01182"},
        {"nonce": "501182\nI also agree to pay"},
        {"nonce": "9" * 65},
        {"nonce": "\u0665"},
    ],
)
async def test_what_is_no_nonce_is_not_signed(step: str, data: dict[str, Any]) -> None:
    """A wallet signs no sentence that the other side chose."""
    error = await refused(step, success(data))
    assert (type(error), error.metadata) == (VenueUnreachable, {"venue": "aster"})
    assert error.retry_after_ms == 1_000


@each_step
@pytest.mark.parametrize(
    "given",
    [
        answer(b""),
        answer(b"<html>", content_type="text/html"),
        answer({}, status=503),
        answer(b"", status=302),
        answer(b'{"code":"000000"'),
        success(None),
        success(["501182"]),
        VenueOutcomeUnknown("timed out", metadata={"venue": "aster"}),
    ],
    ids=["nothing", "a page", "503", "a redirect", "half a body", "no data", "a list", "time out"],
)
async def test_without_a_nonce_nothing_happened(step: str, given: Answer) -> None:
    """Before anything was asked of Aster, no outcome is unknown: it can be tried again."""
    error = await refused(step, given)
    assert type(error) is VenueUnreachable
    assert "try again" in error.message
    assert error.metadata["venue"] == "aster"
    assert error.retry_after_ms == 1_000


@each_step
@pytest.mark.parametrize(
    ("given", "status"),
    [
        (answer(b""), "200"),
        (answer(b"<html>", content_type="text/html"), "200"),
        (answer(b'{"code":"000000","success":true,"da'), "200"),
        (answer([1]), "200"),
        (answer(b"[" * 60_000), "200"),
        (answer(b"<html>", status=500), "500"),
        (answer({"code": "000000", "success": True}, status=503), "503"),
        (answer(b"", status=302), "302"),
        (success(None), "200"),
        (success("x"), "200"),
    ],
)
async def test_an_answer_without_sense_leaves_the_outcome_unknown(
    step: str, given: Answer, status: str
) -> None:
    """503 is a status UNKNOWN and no failure; neither is a page or half a body."""
    error = await refused(step, NONCE, given)
    assert type(error) is VenueOutcomeUnknown
    assert error.metadata == {"venue": "aster", "httpStatus": status}


@each_step
@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("The account does not exist, please open a futures account", VenueAccountMissing),
        ("desc already exists", VenueDescriptionTaken),
        ("Duplicate: the description is taken", VenueDescriptionTaken),
        ("API name must be unique", VenueDescriptionTaken),
        ("nonce expired", VenueNonceRejected),
        ("Invalid signature. Please sign again.", VenueCredentialRejected),
        ("You are not authorized to execute this request", VenueCredentialRejected),
        ("Too many requests", VenueRateLimited),
        ("operation too frequent", VenueRateLimited),
        ("system busy", VenueRefused),
        ("", VenueRefused),
        (None, VenueRefused),
    ],
)
async def test_the_websites_words_tell_the_refusal(
    step: str, message: str | None, kind: type[VenueRefused]
) -> None:
    """A refusal comes with HTTP 200, its code and words are in the metadata."""
    again = kind is VenueNonceRejected and step == "create_key"
    error = await refused(step, NONCE, *[failure(message)] * (1 + again))
    assert type(error) is kind
    assert error.metadata == {
        "venue": "aster",
        "venueCode": "100001",
        "venueMessage": message or "no reason given",
    }
    assert (error.retry_after_ms is not None) == (kind is VenueRateLimited)


@each_step
async def test_a_refused_nonce_is_told_in_the_same_way(step: str) -> None:
    """The first step's refusal is the venue's own."""
    error = await refused(step, failure("account is frozen", "403001"))
    assert type(error) is VenueRefused
    assert error.metadata["venueCode"] == "403001"


@each_step
@pytest.mark.parametrize(
    "given",
    [
        {"code": "000000", "data": {"token": TOKEN}},
        {"code": "000000", "success": False, "data": {"token": TOKEN}},
        {"code": "000000", "success": "true", "data": {"token": TOKEN}},
        {"code": 0, "success": True, "data": {"token": TOKEN}},
        {"success": True, "data": {"token": TOKEN}},
    ],
)
async def test_only_a_whole_yes_is_a_yes(step: str, given: dict[str, Any]) -> None:
    """Code and success must both say so."""
    assert type(await refused(step, NONCE, answer(given))) is VenueRefused


@each_step
@pytest.mark.parametrize("status", [400, 401, 403, 404])
@pytest.mark.parametrize("body", [b"", b"<html>WAF</html>", b'{"code":-1,"msg":"no"}'])
async def test_a_refusing_status_is_a_refusal_whatever_its_body(
    step: str, status: int, body: bytes
) -> None:
    """A 4xx says that no key was issued and no session opened."""
    error = await refused(step, NONCE, answer(body, status=status, content_type="text/html"))
    assert type(error) is VenueRefused


@each_step
@pytest.mark.parametrize("status", [418, 429])
async def test_a_rate_limit_or_a_ban_says_when_to_come_back(step: str, status: int) -> None:
    """429, and 418 for who went on after it."""
    for script in ([answer(b"", status=status)], [NONCE, answer({}, status=status)]):
        error = await refused(step, *script)
        assert type(error) is VenueRateLimited
        assert error.retry_after_ms == 60_000


@each_step
async def test_a_venue_out_of_reach_is_told(step: str) -> None:
    """Neither step changes what the network says."""
    away = VenueUnreachable("away")
    assert await refused(step, away) is away
    assert await refused(step, NONCE, away) is away


@pytest.mark.parametrize(
    "token", [None, "", "short", 5, ["x" * 20], "a b c d e f", "\u00e9" * 20, "x" * 4_097]
)
async def test_a_login_without_a_token_has_no_known_outcome(token: object) -> None:
    """Aster said yes, so a session may be open."""
    error = await refused("login", NONCE, success({"token": token, "uid": 1}))
    assert (type(error), error.metadata) == (VenueOutcomeUnknown, {"venue": "aster"})


async def test_a_token_may_be_as_long_as_a_jwt() -> None:
    """4,096 characters pass, and the user is found by either name."""
    data = {"token": "x" * 4_096, "userId": "u-1"}
    session = await login(FakeOutbound(NONCE, success(data)))
    assert (session.token, session.user_id) == ("x" * 4_096, "u-1")


async def test_a_second_factor_opens_no_session() -> None:
    """need2FA beats a token."""
    error = await refused("login", NONCE, success({"token": TOKEN, "need2FA": True}))
    assert (type(error), error.metadata) == (VenueTwoFactorPending, {"venue": "aster"})


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"apiKey": ISSUED_ID},
        {"apiSecret": ISSUED},
        {"apiKey": ISSUED_ID, "apiSecret": None},
        {"apiKey": ISSUED_ID, "apiSecret": 5},
        {"apiKey": ISSUED_ID, "apiSecret": "short"},
        {"apiKey": "a b c d e f", "apiSecret": ISSUED},
        {"apiKey": ISSUED_ID + " x", "apiSecret": ISSUED},
        {"apiKey": ISSUED_ID, "apiSecret": ISSUED + "\n"},
        {"apiKey": ISSUED_ID, "apiSecret": "x" * 257},
    ],
)
async def test_a_yes_without_a_key_has_no_known_outcome(data: dict[str, Any]) -> None:
    """Aster says that a key exists, and the message says where to look for it."""
    error = await refused("create_key", NONCE, success(data))
    assert (type(error), error.metadata) == (VenueOutcomeUnknown, {"venue": "aster"})
    assert "description" in error.message


@each_step
@pytest.mark.parametrize("canary", CANARIES)
async def test_a_venue_that_repeats_a_secret_is_not_quoted(step: str, canary: str) -> None:
    """A long token in the venue's words or code is left out of message and metadata."""
    error = await refused(step, NONCE, failure(f"bad {canary}", code=canary))
    assert error.metadata["venueMessage"] == "bad [...]"
    assert error.metadata["venueCode"] == "[...]"


def test_only_a_wallet_logs_in_or_orders_a_key() -> None:
    """An API key is refused before anything is reserved or sent."""
    with pytest.raises(LoginUnsupported) as login_refused:
        session_venue().login_nonce_policy(API_KEY)
    with pytest.raises(CreateKeyUnsupported) as order_refused:
        issuing_venue().check_order(API_KEY, ORDER)
    metadata = {"venue": "aster", "key": "keys/desk-1"}
    assert [login_refused.value.metadata, order_refused.value.metadata] == [metadata, metadata]


def test_a_wallet_needs_no_nonce_of_ours() -> None:
    """Aster gives the nonce itself, to V1 and V3 alike."""
    assert session_venue().login_nonce_policy(WALLET) is None
    assert session_venue("aster-v3").login_nonce_policy(WALLET) is None


async def test_a_wallet_of_aster_v3_logs_in_the_same_way() -> None:
    """Both venues share the login."""
    venue = session_venue("aster-v3")
    wallet = credential("aster-v3", Algorithm.SECP256K1, MATERIAL)
    outbound = FakeOutbound(NONCE, LOGGED_IN)
    session = await venue.login(wallet, venue.environments[0], Moment(NOW_MS), {}, outbound)
    assert (session.token, len(outbound.sent)) == (TOKEN, 2)


@pytest.mark.parametrize("description", ["", "x" * 65, "a\n", "<b>", "\u00e9", '"', "a,b"])
def test_a_description_that_aster_would_not_take_is_refused(description: str) -> None:
    """A description is a short plain text."""
    with pytest.raises(FieldInvalid) as caught:
        issuing_venue().check_order(WALLET, KeyOrder(description, (), {}))
    assert caught.value.field == "venue_issued.description"


def test_a_description_of_64_plain_characters_passes() -> None:
    """The bounds of a description are in it."""
    for description in ("a", "Desk 7: a_b.c-d", "x" * 64):
        issuing_venue().check_order(WALLET, KeyOrder(description, (), {}))


def test_every_option_has_an_example_that_is_taken() -> None:
    """What GetVenue shows of options can be copied."""
    for option in (*session_venue().login_options, *issuing_venue().create_key_options):
        assert re.fullmatch(option.pattern, option.example)


async def test_the_testnet_is_asked_nothing_as_its_login_is_not_known() -> None:
    """No wallet's signature goes to a host that nobody documents."""
    venue, outbound = session_venue(), FakeOutbound(NONCE)
    testnet = venue.environments[1]

    with pytest.raises(VenueUnreachable, match=r"base_urls\.testnet") as caught:
        await venue.login(WALLET, testnet, Moment(NOW_MS), {}, outbound)

    assert [] == outbound.sent
    assert {"venue": "aster"} == caught.value.metadata
