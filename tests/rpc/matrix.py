"""Every RPC of the contract as something that can be tried, beside what it takes to be allowed."""

import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

from google.rpc import code_pb2

from privyseal.v1 import (
    hold_service_pb2,
    key_service_pb2,
    signing_service_pb2,
    venue_service_pb2,
)
from privyseal.v1.hold_service_pb2 import Hold
from privyseald.policy.action import Action
from privyseald.rpc.procedures import CONTRACT
from service import (
    ASTER,
    ASTER_AGENT,
    ASTER_WALLET,
    KIIEX,
    NEBULAEX,
    WHITEBIT,
    SandboxKey,
    Stubs,
    failure_of,
    sign_request,
)

# By the last part of the key's id. One for each venue, and a wallet.
KEYS: dict[str, SandboxKey] = {
    "nebulaex": NEBULAEX,
    "kiiex": KIIEX,
    "whitebit": WHITEBIT,
    "aster": ASTER,
    "aster-v3": ASTER_AGENT,
    "wallet": ASTER_WALLET,
}
# What asks nothing of policy: facts that are no secret, and lists of what the caller may read.
FREE = frozenset({"ListVenues", "GetVenue", "GetSealingKey", "ListKeys"})
_ORDER = "symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=1&price=9"
_OPERATIONS: dict[str, dict[str, tuple[str, str, bytes]]] = {
    "nebulaex": {
        "read": ("GET", "/api/v2/backend/account/balances", b""),
        "trade": ("POST", "/api/v2/trading/market/orders", b"{}"),
        "withdrawal": ("POST", "/api/v2/backend/account/withdraws", b"{}"),
    },
    "kiiex": {
        "read": ("POST", "/ap/GetUserInfo", b"{}"),
        "trade": ("POST", "/ap/SendOrder", b"{}"),
        "withdrawal": ("POST", "/ap/CreateWithdrawTicket", b"{}"),
        "transfer": ("POST", "/ap/TransferFunds", b"{}"),
        "key-management": ("POST", "/ap/AddUserAPIKey", b"{}"),
    },
    "whitebit": {
        "read": ("POST", "/api/v4/trade-account/balance", b"{}"),
        "trade": ("POST", "/api/v4/order/new", b"{}"),
        "cancel": ("POST", "/api/v4/order/cancel/all", b"{}"),
        "withdrawal": ("POST", "/api/v4/main-account/withdraw", b"{}"),
        "transfer": ("POST", "/api/v4/main-account/transfer", b"{}"),
        "key-management": ("POST", "/api/v4/sub-account/api-key/create", b"{}"),
        "unlisted": ("POST", "/api/v4/brand/new", b"{}"),
    },
    "aster": {
        "read": ("GET", "/fapi/v1/balance", b""),
        "trade": ("POST", "/fapi/v1/order", _ORDER.encode()),
        "withdrawal": ("POST", "/fapi/aster/user-withdraw", b"amount=1&receiver=0x1"),
        "transfer": ("POST", "/fapi/v1/asset/wallet/transfer", b"amount=1&asset=A&kindType=B"),
    },
    "aster-v3": {
        "read": ("GET", "/fapi/v3/balance", b""),
        "trade": ("POST", "/fapi/v3/order", _ORDER.encode()),
        "withdrawal": ("POST", "/fapi/v3/aster/user-withdraw", b"amount=1&receiver=0x1"),
        "transfer": ("POST", "/fapi/v3/asset/wallet/transfer", b"amount=1&asset=A&kindType=B"),
    },
    "wallet": {},
}
DOCUMENT = json.dumps(
    {
        "types": {
            "EIP712Domain": [{"name": "name", "type": "string"}],
            "Note": [{"name": "text", "type": "string"}],
        },
        "primaryType": "Note",
        "domain": {"name": "Matrix"},
        "message": {"text": "hello"},
    }
).encode()


@dataclass(frozen=True, slots=True)
class Try:
    """One call. `needs` are the grants of which one is enough; none for what is free."""

    rpc: str
    needs: frozenset[str]
    call: Callable[[Stubs], Awaitable[Any]]
    about: str = ""


def methods() -> set[str]:
    """Return all RPCs of the contract."""
    return {
        method.name
        for file in CONTRACT
        for service in file.services_by_name.values()
        for method in service.methods
    }


def requests(owner: str, kind: str) -> Iterator[Try]:
    """Return the calls for signatures with the key `{owner}-{kind}`."""
    key = f"{owner}-{kind}"
    for tag, (method, path, body) in _OPERATIONS[kind].items():
        request = sign_request(key, method, path, body)
        # Cancels are trades as well, so whoever may trade may cancel.
        grants = {f"tag:{tag}"} | ({"tag:trade"} if tag == "cancel" else set())
        if tag == "unlisted":
            grants = {"sign-unlisted"}
        if tag in {"read", "trade", "cancel"}:
            grants.add(Action.SIGN)
        yield Try("Sign", frozenset(grants), _on("signing", "Sign", request), tag)
        batch = signing_service_pb2.BatchSignRequest(requests=[request])
        yield Try("BatchSign", frozenset(grants), _batch(batch), tag)
    message = signing_service_pb2.SignRequest(key=f"keys/{key}")
    message.personal_message.message = b"hello"
    yield _one("signing", "Sign", Action.SIGN_MESSAGE, message)
    document = signing_service_pb2.SignRequest(key=f"keys/{key}")
    document.typed_data.json = DOCUMENT
    yield _one("signing", "Sign", Action.SIGN_TYPED_DATA, document)


def others(owner: str, kind: str) -> Iterator[Try]:
    """Return the calls of all other RPCs; what changes a key is asked of a spare one."""
    key, spare = f"keys/{owner}-{kind}", f"keys/{owner}-spare-{kind}"
    signing, keys = signing_service_pb2, key_service_pb2
    sandbox = KEYS[kind]
    yield _one("signing", "Login", Action.LOGIN, signing.LoginRequest(key=key))
    yield _one("signing", "Logout", Action.LOGIN, signing.LogoutRequest(key=key))
    yield Try(
        "WatchSession", frozenset({Action.LOGIN}), _watch(signing.WatchSessionRequest(key=key))
    )
    report = signing.ReportAnswerRequest(key=key, http_status=200)
    report.sign_time.seconds = 1_700_000_000
    yield Try("ReportAnswer", _SIGNING, _on("signing", "ReportAnswer", report))
    create = signing.CreateKeyRequest(key_id=f"{owner}-made-{kind}", venue=sandbox.venue)
    create.generated.algorithm = "secp256k1"
    yield _one("signing", "CreateKey", Action.CREATE_KEY, create)
    imported = keys.ImportKeyRequest(
        key_id=f"{owner}-new-{kind}",
        venue=sandbox.venue,
        algorithm=sandbox.algorithm,
        fields=sandbox.fields,
        plaintext=sandbox.material.encode(),
    )
    yield _one("keys", "ImportKey", Action.IMPORT_KEY, imported)
    yield _one("keys", "GetKey", Action.READ_KEY, keys.GetKeyRequest(name=key))
    rotate = keys.RotateKeyRequest(name=spare, plaintext=sandbox.material.encode())
    yield _one("keys", "RotateKey", Action.ROTATE_KEY, rotate)
    yield _one("keys", "DisableKey", Action.DISABLE_KEY, keys.DisableKeyRequest(name=spare))
    yield _one("keys", "EnableKey", Action.ENABLE_KEY, keys.EnableKeyRequest(name=spare))
    yield _one("keys", "ResyncNonce", Action.RESYNC_NONCE, keys.ResyncNonceRequest(key=key))
    hold = hold_service_pb2.CreateHoldRequest(hold=Hold(key=spare, cause="matrix"))
    yield _one("holds", "CreateHold", Action.CREATE_HOLD, hold)
    yield _one("keys", "DeleteKey", Action.DELETE_KEY, keys.DeleteKeyRequest(name=spare))
    yield Try("ListKeys", frozenset(), _on("keys", "ListKeys", keys.ListKeysRequest()))
    sealing = keys.GetSealingKeyRequest()
    yield Try("GetSealingKey", frozenset(), _on("keys", "GetSealingKey", sealing))
    venue = venue_service_pb2.GetVenueRequest(name=sandbox.venue)
    yield Try("GetVenue", frozenset(), _on("venues", "GetVenue", venue))
    venues = venue_service_pb2.ListVenuesRequest()
    yield Try("ListVenues", frozenset(), _on("venues", "ListVenues", venues))


def for_no_key() -> Iterator[Try]:
    """Return the calls that only rules for all keys allow."""
    for scope in (Hold(venue="whitebit"), Hold(caller="spiffe://a/b"), Hold(all=True)):
        scope.cause = "matrix"
        hold = hold_service_pb2.CreateHoldRequest(hold=scope)
        yield Try("CreateHold", _NOBODY, _on("holds", "CreateHold", hold), str(scope))
    lift = hold_service_pb2.DeleteHoldRequest(name="holds/0123456789")
    yield Try("DeleteHold", _NOBODY, _on("holds", "DeleteHold", lift))
    listed = hold_service_pb2.ListHoldsRequest()
    yield Try("ListHolds", frozenset({Action.READ_HOLD}), _on("holds", "ListHolds", listed))


_NOBODY = frozenset({"nobody has this"})
_SIGNING = frozenset(
    {Action.SIGN, "sign-unlisted"}
    | {f"tag:{tag}" for tag in ("read", "trade", "cancel", "withdrawal", "transfer")}
    | {"tag:key-management"}
)


def _one(service: str, rpc: str, action: Action, request: Any) -> Try:
    return Try(rpc, frozenset({action}), _on(service, rpc, request))


def _on(service: str, rpc: str, request: Any) -> Callable[[Stubs], Awaitable[Any]]:
    async def call(stubs: Stubs) -> Any:
        return await outcome(getattr(getattr(stubs, service), rpc)(request))

    return call


def _batch(request: Any) -> Callable[[Stubs], Awaitable[Any]]:
    async def call(stubs: Stubs) -> Any:
        answer = await stubs.signing.BatchSign(request)
        return code_pb2.Code.Name(answer.results[0].status.code)

    return call


def _watch(request: Any) -> Callable[[Stubs], Awaitable[Any]]:
    async def call(stubs: Stubs) -> Any:
        stream = stubs.signing.WatchSession(request)

        async def first() -> Any:
            return await stream.read()

        try:
            return await outcome(first())
        finally:
            stream.cancel()

    return call


async def outcome(call: Any) -> str:
    """Return the code with which an RPC ends."""
    try:
        return (await failure_of(call)).code
    except AssertionError:
        return "OK"
