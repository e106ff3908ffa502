import asyncio
import json
import uuid
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_defunct, encode_typed_data

from privyseal.v1 import key_service_pb2
from privyseal.v1 import signing_service_pb2 as pb
from service import (
    ASTER,
    ASTER_AGENT,
    ASTER_WALLET,
    KIIEX,
    NEBULAEX,
    OPERATOR,
    STRANGER,
    TRADER,
    WHITEBIT,
    Failure,
    SandboxKey,
    Service,
    Stubs,
    failure_in,
    failure_of,
    import_key,
    import_sandbox_key,
    send,
    sign_request,
)

_ORDER = b'{"market": "BTC_USDT", "side": "buy", "amount": "0.010", "price": "40000"}'
_FORM = b"symbol=BTCUSDT&side=BUY&type=MARKET"
_WALLET = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"

# One request a venue: key, method, path, body.
_REQUESTS = [
    (NEBULAEX, "GET", "/api/v2/backend/account/balances", b""),
    (NEBULAEX, "POST", "/api/v2/trading/market/orders", b'{"market":"btcusdt","side":"buy"}'),
    (KIIEX, "POST", "/ap/SendOrder", b'{"OMSId":1,"AccountId":449}'),
    (WHITEBIT, "POST", "/api/v4/order/new", _ORDER),
    (WHITEBIT, "POST", "/api/v4/orders", b""),
    (ASTER, "POST", "/fapi/v1/order", _FORM),
    (ASTER, "GET", "/fapi/v1/openOrders?symbol=BTCUSDT", b""),
    (ASTER_AGENT, "POST", "/fapi/v3/order", _FORM),
    (ASTER_AGENT, "GET", "/fapi/v3/openOrders?symbol=BTCUSDT", b""),
]
_NAMES = [f"{key.venue} {method} {path}" for key, method, path, _ in _REQUESTS]
_TYPED: dict[str, Any] = {
    "types": {
        "EIP712Domain": [{"name": "name", "type": "string"}],
        "Mail": [{"name": "to", "type": "address"}, {"name": "amount", "type": "uint256"}],
    },
    "primaryType": "Mail",
    "domain": {"name": "a test"},
    "message": {"to": "0x" + "11" * 20, "amount": 2**200 + 1},
}


@pytest.mark.parametrize(("key", "method", "path", "body"), _REQUESTS, ids=_NAMES)
async def test_the_venue_accepts_what_is_returned(  # a row of the table
    service: Service, operator: Stubs, key: SandboxKey, method: str, path: str, body: bytes
) -> None:
    """The bytes that Sign returns, sent as they are, are accepted by the venue's server."""
    await import_sandbox_key(operator, "one", key)
    answer = await operator.signing.Sign(sign_request("one", method, path, body))
    response = await send(answer)
    server = key.venue.partition("-")[0]
    seen = service.sandbox.requests(server)[-1]
    assert (seen.accepted, seen.refusal, seen.path) == (True, "", path.partition("?")[0])
    assert response.status in {200, 201}
    assert (seen.nonce or answer.nonce) == (answer.nonce or seen.nonce)
    assert (answer.key, answer.key_version) == ("keys/one", 1)


async def test_an_answer_says_all_that_is_known(operator: Stubs) -> None:
    """Beside the request stand algorithm, nonce, and when it was signed and will be refused."""
    await import_sandbox_key(operator, "wb", WHITEBIT)
    answer = await operator.signing.Sign(sign_request("wb", "POST", "/api/v4/orders"))
    signed = answer.signed_http_request
    window_ms = answer.expire_time.ToMilliseconds() - answer.sign_time.ToMilliseconds()
    assert (answer.algorithm, answer.nonce, window_ms) == (
        "hmac-sha512",
        str(answer.sign_time.ToMilliseconds()),
        5_000,
    )
    assert [header.name for header in signed.headers] == [
        "Content-Type",
        "X-TXC-APIKEY",
        "X-TXC-PAYLOAD",
        "X-TXC-SIGNATURE",
    ]
    assert json.loads(signed.body) == {
        "request": "/api/v4/orders",
        "nonce": int(answer.nonce),
        "nonceWindow": True,
    }


async def test_a_query_is_encoded_in_its_order(service: Service, operator: Stubs) -> None:
    """Parameters given one by one are encoded once, in their order, and the venue reads them."""
    await import_sandbox_key(operator, "as", ASTER)
    request = sign_request("as", "GET", "/fapi/v1/allOrders")
    request.http_request.query.add(name="symbol", value="BTC USDT&x=1")
    request.http_request.query.add(name="limit", value="5")
    answer = await operator.signing.Sign(request)
    assert "?symbol=BTC%20USDT%26x%3D1&limit=5&recvWindow=" in answer.signed_http_request.url
    await send(answer)
    seen = service.sandbox.requests("aster", accepted=True)[-1]
    assert seen.parameters["symbol"] == "BTC USDT&x=1"


async def test_a_session_signs_where_there_is_one(service: Service, operator: Stubs) -> None:
    """With a session KIIEX's requests carry its token and no nonce; without, four headers."""
    await import_sandbox_key(operator, "kx", KIIEX)
    request = sign_request("kx", "POST", "/ap/GetAccountPositions", b"{}")
    stateless = await operator.signing.Sign(request)
    session = (await operator.signing.Login(pb.LoginRequest(key="keys/kx"))).session
    by_session = await operator.signing.Sign(request)
    responses = [(await send(stateless)).status, (await send(by_session)).status]
    assert [header.name for header in stateless.signed_http_request.headers][1:] == [
        "APIKey",
        "Signature",
        "UserId",
        "Nonce",
    ]
    headers = [(each.name, each.value) for each in by_session.signed_http_request.headers]
    assert headers[1:] == [("aptoken", session.token)]
    assert (by_session.nonce, responses) == ("", [200, 200])
    assert [seen.refusal for seen in service.sandbox.requests("kiiex")] == ["", "", ""]


async def test_a_key_that_wants_a_session_signs_nothing_without(operator: Stubs) -> None:
    """`sign_with=session` is refused until Login, with what to do."""
    await import_sandbox_key(operator, "kx", KIIEX, sign_with="session")
    failure = await failure_of(operator.signing.Sign(sign_request("kx", "POST", "/ap/GetUserInfo")))
    assert failure == Failure(
        "FAILED_PRECONDITION",
        "this key signs by session only, and there is none; call Login first",
        "SESSION_MISSING",
        {"key": "keys/kx"},
        precondition=("SESSION_MISSING", "keys/kx"),
    )


async def test_a_personal_message_is_the_wallets(operator: Stubs) -> None:
    """The signature of a message recovers to the wallet, by another implementation."""
    await import_sandbox_key(operator, "wallet", ASTER_WALLET)
    request = pb.SignRequest(key="keys/wallet")
    request.personal_message.message = "grüße, \x00 and more".encode()
    answer = await operator.signing.Sign(request)
    message = encode_defunct(primitive=request.personal_message.message)
    recovered = Account.recover_message(message, signature=answer.signature.value)
    assert (recovered, answer.signature.signer, answer.nonce) == (_WALLET, _WALLET, "")
    assert answer.signature.value[64] in {27, 28}


async def test_typed_data_is_the_wallets(operator: Stubs) -> None:
    """The signature of a document recovers to the wallet; large numbers keep their digits."""
    await import_sandbox_key(operator, "wallet", ASTER_WALLET)
    request = pb.SignRequest(key="keys/wallet")
    request.typed_data.json = json.dumps(_TYPED).encode()
    answer = await operator.signing.Sign(request)
    message = encode_typed_data(full_message=_TYPED)
    assert Account.recover_message(message, signature=answer.signature.value) == _WALLET
    assert len(answer.signature.digest) == 32


async def test_validate_only_spends_nothing(operator: Stubs) -> None:
    """A validated request has no result, and the nonce after it is the next one."""
    await import_sandbox_key(operator, "wb", WHITEBIT, nonce_window="false")
    request = sign_request("wb", "POST", "/api/v4/orders")
    first = await operator.signing.Sign(request)
    validated = await operator.signing.Sign(
        sign_request("wb", "POST", "/api/v4/orders", validate_only=True)
    )
    assert validated == pb.SignResponse(key="keys/wb", key_version=1, algorithm="hmac-sha512")
    assert int((await operator.signing.Sign(request)).nonce) > int(first.nonce)


async def test_validate_only_takes_no_nonce(service: Service, operator: Stubs) -> None:
    """Validation does not touch the counter of nonces at all, nor does the audit line have one."""
    await import_sandbox_key(operator, "wb", WHITEBIT)
    high_water = service.directory / "nonces.high-water"
    await operator.signing.Sign(sign_request("wb", "POST", "/api/v4/orders", validate_only=True))
    assert (high_water.read_bytes(), service.audit_lines()[-1].get("nonce")) == (b"", None)


async def test_validate_only_refuses_what_sign_would(operator: Stubs) -> None:
    """Validation sees the body too."""
    await import_sandbox_key(operator, "wb", WHITEBIT)
    request = sign_request("wb", "POST", "/api/v4/orders", b'{"nonce":1}', validate_only=True)
    assert (await failure_of(operator.signing.Sign(request))).reason == "PARAMETER_RESERVED"


@pytest.mark.parametrize("intent", ["personal_message", "typed_data"])
async def test_validate_only_refuses_an_empty_message(operator: Stubs, intent: str) -> None:
    """What can't be signed is refused by validation, whatever the intent."""
    await import_sandbox_key(operator, "wallet", ASTER_WALLET)
    request = pb.SignRequest(key="keys/wallet", validate_only=True)
    getattr(request, intent).SetInParent()
    failure = await failure_of(operator.signing.Sign(request))
    assert failure.code == "INVALID_ARGUMENT"


async def test_a_request_id_is_answered_once(operator: Stubs) -> None:
    """A retry gets the first answer, byte for byte: no second nonce, no second signature."""
    await import_sandbox_key(operator, "wb", WHITEBIT)
    request = sign_request("wb", "POST", "/api/v4/orders", request_id=str(uuid.uuid4()))
    answers = await asyncio.gather(*(operator.signing.Sign(request) for _ in range(5)))
    answers.append(await operator.signing.Sign(request))
    assert len({answer.SerializeToString(deterministic=True) for answer in answers}) == 1


async def test_a_request_id_is_a_callers_own(service: Service, operator: Stubs) -> None:
    """Two callers may use one id; neither gets the other's answer."""
    await import_sandbox_key(operator, "desk-1", WHITEBIT)
    trader = await service.as_caller(TRADER)
    request = sign_request("desk-1", "POST", "/api/v4/orders", request_id=str(uuid.uuid4()))
    answers = [await stubs.signing.Sign(request) for stubs in (operator, trader)]
    assert answers[0].nonce != answers[1].nonce


@pytest.mark.parametrize("body", [b'{"limit":2}', b""])
async def test_a_request_id_belongs_to_one_request(operator: Stubs, body: bytes) -> None:
    """The id of another request is refused, also one that differs only by its body."""
    await import_sandbox_key(operator, "wb", WHITEBIT)
    request_id = str(uuid.uuid4())
    first = sign_request("wb", "POST", "/api/v4/orders", b'{"limit":1}', request_id=request_id)
    await operator.signing.Sign(first)
    second = sign_request("wb", "POST", "/api/v4/orders", body, request_id=request_id)
    assert await failure_of(operator.signing.Sign(second)) == Failure(
        "INVALID_ARGUMENT",
        "request_id: was used before for a different request; use a new UUID for each",
        "REQUEST_ID_REUSED",
        {"field": "request_id"},
        "request_id",
    )


@pytest.mark.parametrize("request_id", ["1", "not-a-uuid", "8b1f3a52-5f0e-4a1c-9a51-0b8f1d6f7c1"])
async def test_a_request_id_is_a_uuid(operator: Stubs, request_id: str) -> None:
    """Anything else is refused, and an example given."""
    await import_sandbox_key(operator, "wb", WHITEBIT)
    request = sign_request("wb", "POST", "/api/v4/orders", request_id=request_id)
    failure = await failure_of(operator.signing.Sign(request))
    assert (failure.reason, failure.field_name) == ("FIELD_INVALID", "request_id")
    assert "must be a UUID, as in 8b1f3a52-" in failure.message


async def test_a_refusal_is_not_remembered(operator: Stubs) -> None:
    """The same id may come again after a refusal that was somebody else's to mend."""
    await import_sandbox_key(operator, "kx", KIIEX, sign_with="session")
    request = sign_request("kx", "POST", "/ap/GetUserInfo", request_id=str(uuid.uuid4()))
    assert (await failure_of(operator.signing.Sign(request))).reason == "SESSION_MISSING"
    await operator.signing.Login(pb.LoginRequest(key="keys/kx"))
    assert (await operator.signing.Sign(request)).key == "keys/kx"


async def test_a_disabled_key_answers_no_retry(operator: Stubs) -> None:
    """An answer that is remembered is not given out any more once the key is disabled."""
    await import_sandbox_key(operator, "wb", WHITEBIT)
    request = sign_request("wb", "POST", "/api/v4/orders", request_id=str(uuid.uuid4()))
    await operator.signing.Sign(request)
    await operator.keys.DisableKey(key_service_pb2.DisableKeyRequest(name="keys/wb"))
    assert (await failure_of(operator.signing.Sign(request))).reason == "KEY_DISABLED"


async def test_a_batch_keeps_its_order(operator: Stubs) -> None:
    """Each request has its own answer or its own status, at its own place."""
    await import_sandbox_key(operator, "wb", WHITEBIT)
    await import_sandbox_key(operator, "wallet", ASTER_WALLET)
    batch = pb.BatchSignRequest(
        requests=[
            sign_request("wb", "POST", "/api/v4/orders"),
            sign_request("wb", "GET", "/api/v4/orders"),
            sign_request("missing", "POST", "/api/v4/orders"),
            pb.SignRequest(key="keys/wallet"),
            sign_request("wb", "POST", "/api/v4/order/new"),
        ]
    )
    results = (await operator.signing.BatchSign(batch)).results
    assert [
        (failure_in(each.status).code, failure_in(each.status).reason, each.HasField("response"))
        for each in results
    ] == [
        ("OK", "", True),
        ("INVALID_ARGUMENT", "FIELD_INVALID", False),
        ("NOT_FOUND", "KEY_UNKNOWN", False),
        ("INVALID_ARGUMENT", "FIELD_INVALID", False),
        ("OK", "", True),
    ]
    first, last = results[0].response, results[4].response
    assert int(first.nonce) < int(last.nonce)
    assert failure_in(results[1].status).field_name == "http_request.method"
    assert last.signed_http_request.url.endswith("/api/v4/order/new")


async def test_a_batch_of_1000_is_signed(operator: Stubs) -> None:
    """The largest batch has as many nonces as requests, growing."""
    await import_sandbox_key(operator, "wb", WHITEBIT, nonce_window="false")
    request = sign_request("wb", "POST", "/api/v4/orders")
    results = (
        await operator.signing.BatchSign(pb.BatchSignRequest(requests=[request] * 1_000))
    ).results
    nonces = [int(each.response.nonce) for each in results]
    assert (len(nonces), sorted(set(nonces))) == (1_000, nonces)


@pytest.mark.parametrize("count", [0, 1_001])
async def test_a_batch_has_limits(operator: Stubs, count: int) -> None:
    """An empty batch and one of more than 1000 are refused as a whole."""
    request = sign_request("wb", "POST", "/api/v4/orders")
    batch = pb.BatchSignRequest(requests=[request] * count)
    assert await failure_of(operator.signing.BatchSign(batch)) == Failure(
        "INVALID_ARGUMENT",
        f"requests: has {count} entries; give 1 to 1000",
        "FIELD_INVALID",
        {"field": "requests"},
        "requests",
    )


async def test_each_of_a_batch_is_allowed_by_itself(service: Service, operator: Stubs) -> None:
    """A caller gets those signatures that the policy allows, and no others."""
    await import_sandbox_key(operator, "desk-1", WHITEBIT)
    await import_sandbox_key(operator, "vault-1", WHITEBIT)
    trader = await service.as_caller(TRADER)
    batch = pb.BatchSignRequest(
        requests=[
            sign_request("vault-1", "POST", "/api/v4/orders"),
            sign_request("desk-1", "POST", "/api/v4/orders"),
        ]
    )
    results = (await trader.signing.BatchSign(batch)).results
    assert [failure_in(each.status).code for each in results] == ["PERMISSION_DENIED", "OK"]


async def test_a_key_that_is_not_there_is_told_to_those_who_may_know(operator: Stubs) -> None:
    """A caller with a rule hears NOT_FOUND, and where to look."""
    request = sign_request("missing", "POST", "/api/v4/orders")
    failure = await failure_of(operator.signing.Sign(request))
    assert (failure.code, failure.reason, failure.metadata) == (
        "NOT_FOUND",
        "KEY_UNKNOWN",
        {"key": "keys/missing"},
    )


async def test_a_stranger_can_not_tell_keys_from_nothing(service: Service, operator: Stubs) -> None:
    """A caller without a rule hears the same of a key that exists and of one that does not."""
    await import_sandbox_key(operator, "wb", WHITEBIT)
    stranger = await service.as_caller(STRANGER)
    heard = [
        await failure_of(stranger.signing.Sign(sign_request(key_id, "POST", "/api/v4/orders")))
        for key_id in ("wb", "nothing")
    ]
    assert [(each.code, each.reason) for each in heard] == [
        ("PERMISSION_DENIED", "POLICY_DENIED")
    ] * 2
    assert heard[0].message.replace("keys/wb", "keys/nothing") == heard[1].message
    assert heard[0].metadata == {"action": "sign", "key": "keys/wb", "caller": STRANGER}
    assert "a security officer can change the policy" in heard[0].message


@pytest.mark.parametrize("intent", ["personal_message", "typed_data"])
async def test_messages_have_permissions_of_their_own(
    service: Service, operator: Stubs, intent: str
) -> None:
    """Who may sign requests may not sign messages by that."""
    await import_sandbox_key(operator, "desk-1", ASTER_AGENT)
    trader = await service.as_caller(TRADER)
    request = pb.SignRequest(key="keys/desk-1")
    getattr(request, intent).SetInParent()
    failure = await failure_of(trader.signing.Sign(request))
    assert failure.code == "PERMISSION_DENIED"
    assert failure.metadata["action"] == f"sign-{intent.replace('personal_', '').replace('_', '-')}"


@pytest.mark.parametrize(
    ("key", "intent", "takes"),
    [
        (WHITEBIT, "personal_message", "http_request"),
        (WHITEBIT, "typed_data", "http_request"),
        (ASTER_WALLET, "http_request", "personal_message, typed_data"),
    ],
)
async def test_an_intent_that_a_key_does_not_sign(
    operator: Stubs, key: SandboxKey, intent: str, takes: str
) -> None:
    """A key refuses what its kind does not sign, and says what it does."""
    await import_sandbox_key(operator, "one", key)
    request = pb.SignRequest(key="keys/one")
    if intent == "http_request":
        request = sign_request("one", "POST", "/fapi/v1/order")
    else:
        getattr(request, intent).SetInParent()
    failure = await failure_of(operator.signing.Sign(request))
    assert (failure.code, failure.reason, failure.field_name) == (
        "INVALID_ARGUMENT",
        "INTENT_UNSUPPORTED",
        intent,
    )
    assert failure.message.endswith(f"it signs {takes}")


async def test_two_ids_of_one_api_key_share_nonces(operator: Stubs) -> None:
    """The nonce belongs to the key at the venue, under whatever ids we keep it."""
    for key_id in ("a", "b"):
        await import_sandbox_key(operator, key_id, WHITEBIT, nonce_window="false")
    requests = [sign_request(key_id, "POST", "/api/v4/orders") for key_id in ("a", "b") * 20]
    answers = await asyncio.gather(*(operator.signing.Sign(each) for each in requests))
    assert len({answer.nonce for answer in answers}) == 40


async def test_a_recv_window_is_the_keys_own(operator: Stubs) -> None:
    """A field of the key document takes effect in what is signed."""
    await import_key(operator, "as", "aster", ASTER.material, recv_window="777", **ASTER.fields)
    answer = await operator.signing.Sign(sign_request("as", "POST", "/fapi/v1/order", _FORM))
    assert b"&recvWindow=777&timestamp=" in answer.signed_http_request.body


async def test_a_nonce_survives_a_restart(service: Service, operator: Stubs) -> None:
    """A server that starts again gives no nonce that it gave before."""
    await import_sandbox_key(operator, "wb", WHITEBIT, nonce_window="false")
    batch = pb.BatchSignRequest(requests=[sign_request("wb", "POST", "/api/v4/orders")] * 100)
    before = (await operator.signing.BatchSign(batch)).results
    await service.restart()
    again = await service.as_caller(OPERATOR)
    after = (await again.signing.BatchSign(batch)).results
    assert max(int(each.response.nonce) for each in before) < int(after[0].response.nonce)
