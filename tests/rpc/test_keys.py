import base64
import uuid
from typing import Any

import pytest

from privyseal.v1 import key_pb2
from privyseal.v1 import key_service_pb2 as pb
from service import (
    ASTER_WALLET,
    KIIEX,
    NEBULAEX,
    OPERATOR,
    STRANGER,
    TRADER,
    WHITEBIT,
    Failure,
    Service,
    Stubs,
    failure_of,
    import_sandbox_key,
    send,
    sign_request,
)

_ORDERS = ("wb", "POST", "/api/v4/orders")


def an_import(**fields: Any) -> pb.ImportKeyRequest:
    """Return a request to import a good key, with some fields changed."""
    good: dict[str, Any] = {
        "key_id": "wb",
        "venue": "whitebit",
        "fields": {"api_key": "test-key"},
        "plaintext": b"test-secret",
    }
    return pb.ImportKeyRequest(**{**good, **fields})


async def names(stubs: Stubs, **fields: Any) -> tuple[list[str], str]:
    """Return the ids on a page, and the token of the next."""
    answer = await stubs.keys.ListKeys(pb.ListKeysRequest(**fields))
    return [key.name.removeprefix("keys/") for key in answer.keys], answer.next_page_token


async def test_an_imported_key_shows_its_public_facts(operator: Stubs) -> None:
    """ImportKey returns what GetKey and ListKeys return, and none of it is the secret."""
    request = an_import(labels={"desk": "one"}, environment="eu")
    key = (await operator.keys.ImportKey(request)).key
    got = (await operator.keys.GetKey(pb.GetKeyRequest(name="keys/wb"))).key
    listed = (await operator.keys.ListKeys(pb.ListKeysRequest())).keys
    assert (key, [key]) == (got, list(listed))
    assert (key.name, key.venue, key.environment, key.algorithm, key.public_id) == (
        "keys/wb",
        "whitebit",
        "eu",
        "hmac-sha512",
        "test-key",
    )
    assert (key.state, key.version, dict(key.labels)) == (
        key_pb2.KEY_STATE_ENABLED,
        1,
        {"desk": "one"},
    )
    assert "test-secret" not in str(key)


async def test_a_wallets_address_is_its_public_id(operator: Stubs) -> None:
    """A private key tells its address and its public key."""
    await import_sandbox_key(operator, "wallet", ASTER_WALLET)
    key = (await operator.keys.GetKey(pb.GetKeyRequest(name="keys/wallet"))).key
    assert key.public_id == "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
    assert key.public_key_pem.startswith("-----BEGIN PUBLIC KEY-----")


@pytest.mark.parametrize(
    ("changed", "code", "reason", "field"),
    [
        ({"key_id": ""}, "INVALID_ARGUMENT", "FIELD_INVALID", "key_id"),
        ({"key_id": "../x"}, "INVALID_ARGUMENT", "FIELD_INVALID", "key_id"),
        ({"key_id": "Upper"}, "INVALID_ARGUMENT", "FIELD_INVALID", "key_id"),
        ({"key_id": "a" * 64}, "INVALID_ARGUMENT", "FIELD_INVALID", "key_id"),
        ({"venue": "mtgox"}, "NOT_FOUND", "VENUE_UNKNOWN", ""),
        ({"venue": ""}, "NOT_FOUND", "VENUE_UNKNOWN", ""),
        ({"environment": "moon"}, "INVALID_ARGUMENT", "FIELD_INVALID", "environment"),
        ({"algorithm": "rot13"}, "INVALID_ARGUMENT", "FIELD_INVALID", "algorithm"),
        ({"algorithm": "ed25519"}, "FAILED_PRECONDITION", "ALGORITHM_UNSUPPORTED", ""),
        ({"algorithm": "ecdsa-p256"}, "FAILED_PRECONDITION", "ALGORITHM_UNSUPPORTED", ""),
        ({"fields": {}}, "INVALID_ARGUMENT", "FIELD_INVALID", "fields[api_key]"),
        (
            {"fields": {"api_key": "a", "user_id": "1"}},
            "INVALID_ARGUMENT",
            "FIELD_INVALID",
            "fields[user_id]",
        ),
        (
            {"fields": {"api_key": "a", "api_secret": "b"}},
            "INVALID_ARGUMENT",
            "FIELD_INVALID",
            "fields[api_secret]",
        ),
        ({"fields": {"api_key": "a\n"}}, "INVALID_ARGUMENT", "FIELD_INVALID", "fields[api_key]"),
        ({"plaintext": b""}, "INVALID_ARGUMENT", "FIELD_INVALID", "plaintext"),
        ({"plaintext": b"test-secret\n"}, "INVALID_ARGUMENT", "FIELD_INVALID", "plaintext"),
        ({"plaintext": b"\xff\xfe"}, "INVALID_ARGUMENT", "FIELD_INVALID", "plaintext"),
        ({"plaintext": b"s" * 513}, "INVALID_ARGUMENT", "FIELD_INVALID", "plaintext"),
        ({"labels": {"a" * 64: ""}}, "INVALID_ARGUMENT", "FIELD_INVALID", "labels"),
        (
            {"labels": {f"l{n}": "" for n in range(33)}},
            "INVALID_ARGUMENT",
            "FIELD_INVALID",
            "labels",
        ),
        ({"request_id": "1"}, "INVALID_ARGUMENT", "FIELD_INVALID", "request_id"),
    ],
)
async def test_a_wrong_import_writes_nothing(
    operator: Stubs, changed: dict[str, Any], code: str, reason: str, field: str
) -> None:
    """What would not sign later is refused now, by the name of the field, never its value."""
    failure = await failure_of(operator.keys.ImportKey(an_import(**changed)))
    assert (failure.code, failure.reason, failure.field_name) == (code, reason, field)
    assert await names(operator) == ([], "")
    assert "test-secret" not in failure.message


async def test_a_secret_with_a_newline_is_told_what_to_do(operator: Stubs) -> None:
    """The commonest slip has its own words."""
    failure = await failure_of(operator.keys.ImportKey(an_import(plaintext=b"test-secret\n")))
    assert failure.message == (
        "plaintext: holds a space, a line break or a character outside ASCII; "
        "give the secret alone, without a newline at its end"
    )


@pytest.mark.parametrize("material", ["0x" + "0" * 64, "f" * 64, "ab", "zz" * 32])
async def test_what_is_no_private_key_is_refused(operator: Stubs, material: str) -> None:
    """Zero, a number above the curve's order, and what is no hex are no wallets."""
    request = an_import(
        venue="aster", algorithm="secp256k1", fields={}, plaintext=material.encode()
    )
    failure = await failure_of(operator.keys.ImportKey(request))
    assert failure.field_name == "plaintext"
    assert failure.message.endswith("must be a secp256k1 private key: 64 hex digits, 0x allowed")


async def test_an_id_is_never_overwritten(service: Service, operator: Stubs) -> None:
    """A second import under an id is refused, and the first key goes on signing."""
    await operator.keys.ImportKey(an_import())
    failure = await failure_of(operator.keys.ImportKey(an_import(plaintext=b"other-secret")))
    assert (failure.code, failure.reason) == ("ALREADY_EXISTS", "KEY_EXISTS")
    await send(await operator.signing.Sign(sign_request(*_ORDERS)))
    assert service.sandbox.requests("whitebit")[-1].accepted


async def test_an_import_is_repeated_by_its_request_id(operator: Stubs) -> None:
    """A retry gets the first answer; the id with another secret is refused."""
    request_id = str(uuid.uuid4())
    first = await operator.keys.ImportKey(an_import(request_id=request_id))
    assert await operator.keys.ImportKey(an_import(request_id=request_id)) == first
    other = an_import(request_id=request_id, plaintext=b"other-secret")
    assert (await failure_of(operator.keys.ImportKey(other))).reason == "REQUEST_ID_REUSED"


async def test_pages_hold_all_keys_once(operator: Stubs) -> None:
    """Keys come in the order of their ids, page by page, each once."""
    for key_id in ("c", "a", "e", "b", "d"):
        await import_sandbox_key(operator, key_id, WHITEBIT)
    found: list[list[str]] = []
    token = ""
    while True:
        page, token = await names(operator, page_size=2, page_token=token)
        found.append(page)
        if not token:
            break
    assert found == [["a", "b"], ["c", "d"], ["e"]]


async def test_a_full_last_page_has_no_next(operator: Stubs) -> None:
    """Where the last page is exactly full there is no token to an empty one."""
    for key_id in ("a", "b"):
        await import_sandbox_key(operator, key_id, WHITEBIT)
    assert await names(operator, page_size=2) == (["a", "b"], "")


@pytest.mark.parametrize("size", [-1, 1_001])
async def test_a_page_has_limits(operator: Stubs, size: int) -> None:
    """A page size outside 1 to 1000 is refused; 0 means the default."""
    failure = await failure_of(operator.keys.ListKeys(pb.ListKeysRequest(page_size=size)))
    assert (failure.code, failure.field_name) == ("INVALID_ARGUMENT", "page_size")


@pytest.mark.parametrize("token", ["@@@@", "a", "ä", "YQ==\n", "/w==", "_w=="])
async def test_a_page_token_is_one_of_ours(operator: Stubs, token: str) -> None:
    """What is no token is refused, and not read as the first page."""
    await import_sandbox_key(operator, "a", WHITEBIT)
    request = pb.ListKeysRequest(page_token=token)
    assert await failure_of(operator.keys.ListKeys(request)) == Failure(
        "INVALID_ARGUMENT",
        "page_token: is not the next_page_token of an earlier page",
        "FIELD_INVALID",
        {"field": "page_token"},
        "page_token",
    )


async def test_a_page_token_of_a_deleted_key_goes_on(operator: Stubs) -> None:
    """A list goes on behind a key that is gone by then."""
    for key_id in ("a", "b", "c"):
        await import_sandbox_key(operator, key_id, WHITEBIT)
    _, token = await names(operator, page_size=1)
    await operator.keys.DeleteKey(pb.DeleteKeyRequest(name="keys/a"))
    assert await names(operator, page_token=token) == (["b", "c"], "")


async def test_a_list_holds_what_one_may_read(service: Service, operator: Stubs) -> None:
    """Each caller sees the keys of its rules, in full pages; a stranger sees none."""
    for key_id in ("a-1", "desk-1", "desk-2", "m-1", "desk-3", "z-1"):
        await import_sandbox_key(operator, key_id, WHITEBIT)
    rule = {"name": "reader", "callers": [TRADER], "keys": ["desk-*"], "allow": ["read-key"]}
    await service.restart(policy={"version": 1, "rules": [rule]})
    reader, stranger = await service.as_caller(TRADER), await service.as_caller(STRANGER)
    first, token = await names(reader, page_size=2)
    assert (first, await names(reader, page_size=2, page_token=token)) == (
        ["desk-1", "desk-2"],
        (["desk-3"], ""),
    )
    assert await names(stranger) == ([], "")


async def test_a_token_is_opaque(operator: Stubs) -> None:
    """The token is URL-safe base64 that callers need not look into."""
    for key_id in ("a", "b"):
        await import_sandbox_key(operator, key_id, WHITEBIT)
    _, token = await names(operator, page_size=1)
    assert base64.urlsafe_b64decode(token) == b"a"


async def test_a_disabled_key_stops_at_once(operator: Stubs) -> None:
    """After DisableKey no Sign succeeds, though the key was in use; after EnableKey it does."""
    await operator.keys.ImportKey(an_import())
    await operator.signing.Sign(sign_request(*_ORDERS))
    disabled = (await operator.keys.DisableKey(pb.DisableKeyRequest(name="keys/wb"))).key
    failure = await failure_of(operator.signing.Sign(sign_request(*_ORDERS)))
    assert failure == Failure(
        "FAILED_PRECONDITION",
        "keys/wb is disabled; a custodian can enable it with 'privyseal keys enable wb'",
        "KEY_DISABLED",
        {"key": "keys/wb"},
        precondition=("KEY_DISABLED", "keys/wb"),
    )
    enabled = (await operator.keys.EnableKey(pb.EnableKeyRequest(name="keys/wb"))).key
    states = (disabled.state, enabled.state)
    assert states == (key_pb2.KEY_STATE_DISABLED, key_pb2.KEY_STATE_ENABLED)
    assert (await operator.signing.Sign(sign_request(*_ORDERS))).key == "keys/wb"


@pytest.mark.parametrize("verb", ["Disable", "Enable"])
async def test_disabling_twice_is_no_failure(operator: Stubs, verb: str) -> None:
    """Both verbs say what shall be, and may be repeated."""
    await operator.keys.ImportKey(an_import())
    request = getattr(pb, f"{verb}KeyRequest")(name="keys/wb")
    call = getattr(operator.keys, f"{verb}Key")
    assert await call(request) == await call(request)


async def test_a_deleted_key_is_gone_at_once(operator: Stubs) -> None:
    """After DeleteKey nothing knows the key, and the id may be used again."""
    await operator.keys.ImportKey(an_import())
    await operator.signing.Sign(sign_request(*_ORDERS))
    answer = await operator.keys.DeleteKey(pb.DeleteKeyRequest(name="keys/wb"))
    assert answer == pb.DeleteKeyResponse()
    failures = [
        await failure_of(call)
        for call in (
            operator.signing.Sign(sign_request(*_ORDERS)),
            operator.keys.GetKey(pb.GetKeyRequest(name="keys/wb")),
            operator.keys.DisableKey(pb.DisableKeyRequest(name="keys/wb")),
            operator.keys.EnableKey(pb.EnableKeyRequest(name="keys/wb")),
            operator.keys.DeleteKey(pb.DeleteKeyRequest(name="keys/wb")),
        )
    ]
    assert [(each.code, each.reason, each.metadata) for each in failures] == [
        ("NOT_FOUND", "KEY_UNKNOWN", {"key": "keys/wb"})
    ] * 5
    assert (await operator.keys.ImportKey(an_import())).key.version == 1


async def test_a_key_survives_a_restart(service: Service, operator: Stubs) -> None:
    """A server that starts again signs with what it has, disabled keys stay disabled."""
    await import_sandbox_key(operator, "nx", NEBULAEX)
    await import_sandbox_key(operator, "kx", KIIEX)
    await operator.keys.DisableKey(pb.DisableKeyRequest(name="keys/kx"))
    await service.restart()
    again = await service.as_caller(OPERATOR)
    path = "/api/v2/backend/account/balances"
    await send(await again.signing.Sign(sign_request("nx", "GET", path)))
    assert service.sandbox.requests("nebulaex")[-1].accepted
    failure = await failure_of(again.signing.Sign(sign_request("kx", "POST", "/ap/GetUserInfo")))
    assert failure.reason == "KEY_DISABLED"


@pytest.mark.parametrize("name", ["", "wb", "keys/", "keys/../wb", "venues/wb", "keys/wb/x", "/"])
@pytest.mark.parametrize("verb", ["Get", "Disable", "Enable", "Delete"])
async def test_a_name_is_a_keys_name(operator: Stubs, verb: str, name: str) -> None:
    """What is no resource name is refused by every verb, naming the field."""
    request = getattr(pb, f"{verb}KeyRequest")(name=name)
    failure = await failure_of(getattr(operator.keys, f"{verb}Key")(request))
    assert (failure.code, failure.reason, failure.field_name) == (
        "INVALID_ARGUMENT",
        "FIELD_INVALID",
        "name",
    )


@pytest.mark.parametrize("verb", ["Get", "Disable", "Enable", "Delete"])
async def test_each_verb_has_a_permission(service: Service, operator: Stubs, verb: str) -> None:
    """A trader's rule to sign allows none of the custodian's verbs."""
    await import_sandbox_key(operator, "desk-1", WHITEBIT)
    trader = await service.as_caller(TRADER)
    request = getattr(pb, f"{verb}KeyRequest")(name="keys/desk-1")
    failure = await failure_of(getattr(trader.keys, f"{verb}Key")(request))
    action = {"Get": "read"}.get(verb, verb.lower())
    assert (failure.code, failure.metadata["action"]) == ("PERMISSION_DENIED", f"{action}-key")


async def test_importing_has_a_permission(service: Service) -> None:
    """A caller without `import-key` writes nothing, and learns nothing of venues."""
    trader = await service.as_caller(TRADER)
    failure = await failure_of(trader.keys.ImportKey(an_import(key_id="desk-1", venue="mtgox")))
    assert (failure.code, failure.metadata["action"]) == ("PERMISSION_DENIED", "import-key")
