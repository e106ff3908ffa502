import asyncio
import json
import uuid
from typing import Any

import pytest

from privyseal.v1 import key_pb2, key_service_pb2
from privyseal.v1 import signing_service_pb2 as pb
from privyseald.sandbox.faults import Fault, Spoil
from service import (
    ASTER,
    ASTER_AGENT,
    ASTER_WALLET,
    OPERATOR,
    STRANGER,
    TRADER,
    WHITEBIT,
    Failure,
    Service,
    Stubs,
    eventually,
    failure_of,
    import_sandbox_key,
    send,
    sign_request,
)

_FORM = b"symbol=BTCUSDT&side=BUY&type=MARKET"
_CREATE = "*/broker-create-api-key"


def issued(
    key_id: str = "new", description: str = "desk one", using: str = "wallet", **fields: Any
) -> pb.CreateKeyRequest:
    """Return the order of a key that Aster issues."""
    request = pb.CreateKeyRequest(key_id=key_id, venue=fields.pop("venue", "aster"))
    request.venue_issued.using_key = f"keys/{using}"
    request.venue_issued.description = description
    for name in ("options", "allowed_ips"):
        if name in fields:
            field = getattr(request.venue_issued, name)
            (field.update if name == "options" else field.extend)(fields.pop(name))
    request.MergeFrom(pb.CreateKeyRequest(**fields))
    return request


def generated(
    algorithm: str = "secp256k1", venue: str = "aster-v3", **fields: Any
) -> pb.CreateKeyRequest:
    """Return the order of a key that is made here."""
    request = pb.CreateKeyRequest(key_id="new", venue=venue)
    request.generated.algorithm = algorithm
    request.generated.fields.update(fields)
    return request


async def state_of(stubs: Stubs, key_id: str) -> str:
    """Return the state of a key, `gone` where there is none."""
    keys = (await stubs.keys.ListKeys(key_service_pb2.ListKeysRequest())).keys
    states = {key.name: key_pb2.KeyState.Name(key.state) for key in keys}
    return states.get(f"keys/{key_id}", "gone")


def orders(service: Service) -> int:
    """Return how often Aster was asked for a key."""
    return sum("create-api-key" in seen.path for seen in service.sandbox.requests("aster"))


async def test_an_issued_key_signs_at_once(service: Service, operator: Stubs) -> None:
    """A key that Aster issued is in the store, and Aster accepts what it signs."""
    await import_sandbox_key(operator, "wallet", ASTER_WALLET)
    request = issued(labels={"desk": "one"}, allowed_ips=["203.0.113.7", "2001:db8::1"])
    key = (await operator.signing.CreateKey(request)).key
    assert (key.name, key.venue, key.algorithm, key.state, dict(key.labels)) == (
        "keys/new",
        "aster",
        "hmac-sha256",
        key_pb2.KEY_STATE_ENABLED,
        {"desk": "one"},
    )
    assert key.public_id in service.sandbox.accounts.aster_keys
    answer = await operator.signing.Sign(sign_request("new", "POST", "/fapi/v1/order", _FORM))
    await send(answer)
    seen = service.sandbox.requests("aster")[-1]
    assert (seen.accepted, seen.account) == (True, key.public_id)


async def test_an_issued_keys_secret_comes_back_nowhere(service: Service, operator: Stubs) -> None:
    """The answer, the list and the audit log know nothing of what Aster gave."""
    await import_sandbox_key(operator, "wallet", ASTER_WALLET)
    answer = await operator.signing.CreateKey(issued())
    secret = service.sandbox.accounts.aster_keys[answer.key.public_id].api_secret
    listed = await operator.keys.ListKeys(key_service_pb2.ListKeysRequest())
    shown = f"{answer}{listed}{service.audit_lines()}"
    assert secret not in shown
    assert answer.key.public_id in shown


async def test_options_reach_the_venue(service: Service, operator: Stubs) -> None:
    """A broker's source code and the other client type are sent on."""
    service.sandbox.accounts.aster["0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266"].broker = True
    await import_sandbox_key(operator, "wallet", ASTER_WALLET)
    request = issued(options={"source_code": "br-1", "client_type": "web"})
    assert (await operator.signing.CreateKey(request)).key.name == "keys/new"


async def test_a_retry_of_an_order_asks_the_venue_once(service: Service, operator: Stubs) -> None:
    """Under a request id a second call gets the first answer, at once or later."""
    await import_sandbox_key(operator, "wallet", ASTER_WALLET)
    request = issued(request_id=str(uuid.uuid4()))
    answers = await asyncio.gather(*(operator.signing.CreateKey(request) for _ in range(3)))
    answers.append(await operator.signing.CreateKey(request))
    assert len({answer.key.public_id for answer in answers}) == 1
    assert orders(service) == 1


async def test_an_order_goes_on_without_its_caller(service: Service, operator: Stubs) -> None:
    """A key that the venue has issued reaches the store, though the caller went away."""
    await import_sandbox_key(operator, "wallet", ASTER_WALLET)
    service.sandbox.faults.add(Fault("aster", _CREATE, latency_ms=300))
    failure = await failure_of(operator.signing.CreateKey(issued(), timeout=0.2))
    assert failure.code == "DEADLINE_EXCEEDED"

    async def is_whole() -> bool:
        return await state_of(operator, "new") == "KEY_STATE_ENABLED"

    await eventually(is_whole)
    assert len(service.sandbox.requests("aster", accepted=True)) == 2


@pytest.mark.parametrize(
    ("algorithm", "venue", "prefix"),
    [("secp256k1", "aster-v3", "0x"), ("secp256k1", "aster", "0x")],
)
async def test_a_key_is_made_here(operator: Stubs, algorithm: str, venue: str, prefix: str) -> None:
    """A generated key shows its address and public key, and signs."""
    key = (await operator.signing.CreateKey(generated(algorithm, venue))).key
    assert (key.algorithm, key.public_id[:2], len(key.public_id)) == (algorithm, prefix, 42)
    assert key.public_key_pem.startswith("-----BEGIN PUBLIC KEY-----")
    request = pb.SignRequest(key="keys/new")
    request.personal_message.message = b"hello"
    assert (await operator.signing.Sign(request)).signature.signer == key.public_id


async def test_two_keys_made_here_differ(operator: Stubs) -> None:
    """Each generated key is new."""
    first = (await operator.signing.CreateKey(generated())).key
    other = generated()
    other.key_id = "other"
    assert (await operator.signing.CreateKey(other)).key.public_id != first.public_id


async def test_a_generated_agent_trades(service: Service, operator: Stubs) -> None:
    """An agent's key made here signs for its user once the venue knows it."""
    user = ASTER_AGENT.fields["user"]
    key = (await operator.signing.CreateKey(generated(user=user))).key
    service.sandbox.accounts.aster[user.lower()].agents += (key.public_id,)
    answer = await operator.signing.Sign(sign_request("new", "POST", "/fapi/v3/order", _FORM))
    await send(answer)
    assert service.sandbox.requests("aster")[-1].accepted


@pytest.mark.parametrize(
    ("algorithm", "venue", "code", "reason"),
    [
        ("ed25519", "aster", "FAILED_PRECONDITION", "ALGORITHM_UNSUPPORTED"),
        ("ecdsa-p256", "aster", "FAILED_PRECONDITION", "ALGORITHM_UNSUPPORTED"),
        ("ecdsa-p256", "whitebit", "FAILED_PRECONDITION", "ALGORITHM_UNSUPPORTED"),
        ("secp256k1", "whitebit", "FAILED_PRECONDITION", "ALGORITHM_UNSUPPORTED"),
        ("hmac-sha512", "whitebit", "FAILED_PRECONDITION", "ALGORITHM_UNSUPPORTED"),
        ("rsa", "aster", "INVALID_ARGUMENT", "FIELD_INVALID"),
        ("", "aster", "INVALID_ARGUMENT", "FIELD_INVALID"),
    ],
)
async def test_an_algorithm_that_is_not_made_here(
    operator: Stubs, algorithm: str, venue: str, code: str, reason: str
) -> None:
    """An algorithm that the venue does not take, or that is none, makes no key."""
    request = generated(algorithm, venue)
    if venue == "whitebit":
        request.generated.fields["api_key"] = "some-key"
    failure = await failure_of(operator.signing.CreateKey(request))
    assert (failure.code, failure.reason) == (code, reason)
    assert await state_of(operator, "new") == "gone"


async def test_an_hmac_key_comes_from_the_venue(operator: Stubs) -> None:
    """What to do about a shared secret stands in the refusal, and in the metadata what it was."""
    request = generated("hmac-sha512", "whitebit", api_key="some-key")
    failure = await failure_of(operator.signing.CreateKey(request))
    assert failure.message.endswith("import it, or let the venue issue it where it can")
    assert failure.metadata == {"algorithm": "hmac-sha512"}


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.CreateKeyRequest(key_id="new", venue="aster"), "source"),
        (issued(description=""), "venue_issued.description"),
        (issued(description="a" * 65), "venue_issued.description"),
        (issued(description="a\nb"), "venue_issued.description"),
        (issued(using="../wallet"), "venue_issued.using_key"),
        (issued(allowed_ips=["203.0.113.7", "example.test"]), "venue_issued.allowed_ips[1]"),
        (issued(allowed_ips=["203.0.113.7"] * 31), "venue_issued.allowed_ips"),
        (issued(options={"source": "ae"}), "venue_issued.options[source]"),
        (issued(options={"source_code": "?"}), "venue_issued.options[source_code]"),
        (issued(key_id=""), "key_id"),
        (issued(key_id="../x"), "key_id"),
        (issued(environment="moon"), "environment"),
        (issued(environment="testnet"), "venue_issued.using_key"),
        (issued(labels={"Desk": "one"}), "labels"),
        (issued(labels={"desk": "one\n"}), "labels[desk]"),
        (issued(request_id="one"), "request_id"),
        (generated(user="somebody"), "generated.fields[user]"),
        (generated(private_key="0x01"), "generated.fields[private_key]"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_wrong_order_reserves_nothing(
    service: Service, operator: Stubs, request_: pb.CreateKeyRequest, field: str
) -> None:
    """A wrong field is named; the venue is not asked, and the id stays free."""
    await import_sandbox_key(operator, "wallet", ASTER_WALLET)
    failure = await failure_of(operator.signing.CreateKey(request_))
    assert (failure.code, failure.field_name) == ("INVALID_ARGUMENT", field)
    listed = await operator.keys.ListKeys(key_service_pb2.ListKeysRequest())
    assert ([key.name for key in listed.keys], service.sandbox.requests()) == (["keys/wallet"], ())


async def test_a_key_of_another_venue_asks_for_none(service: Service, operator: Stubs) -> None:
    """The key that proves who asks must be one of the same venue."""
    await import_sandbox_key(operator, "agent", ASTER_AGENT)
    failure = await failure_of(operator.signing.CreateKey(issued(using="agent")))
    assert failure == Failure(
        "INVALID_ARGUMENT",
        "venue_issued.using_key: is a key of aster-v3 (production), not of aster (production)",
        "FIELD_INVALID",
        {"field": "venue_issued.using_key"},
        "venue_issued.using_key",
    )
    assert service.sandbox.requests() == ()


async def test_an_api_key_can_not_ask_for_another(service: Service, operator: Stubs) -> None:
    """Only a wallet has keys issued."""
    await import_sandbox_key(operator, "trading", ASTER)
    failure = await failure_of(operator.signing.CreateKey(issued(using="trading")))
    assert (failure.code, failure.reason, failure.precondition) == (
        "FAILED_PRECONDITION",
        "CREATE_KEY_UNSUPPORTED",
        ("CREATE_KEY_UNSUPPORTED", "keys/trading"),
    )
    assert service.sandbox.requests() == ()


async def test_a_venue_that_issues_no_keys(operator: Stubs) -> None:
    """Where the venue's API makes no keys the refusal says how else to get one."""
    await import_sandbox_key(operator, "wb", WHITEBIT)
    failure = await failure_of(operator.signing.CreateKey(issued(venue="whitebit", using="wb")))
    assert (failure.code, failure.reason, failure.metadata) == (
        "FAILED_PRECONDITION",
        "CREATE_KEY_UNSUPPORTED",
        {"venue": "whitebit"},
    )
    assert failure.message.endswith("make one on its website and import it")


@pytest.mark.parametrize("make", [issued, generated], ids=["issued", "generated"])
async def test_an_unknown_venue_is_not_found(operator: Stubs, make: Any) -> None:
    """A venue that there is not is told with those that there are."""
    failure = await failure_of(operator.signing.CreateKey(make(venue="mtgox")))
    assert (failure.code, failure.reason, failure.metadata) == (
        "NOT_FOUND",
        "VENUE_UNKNOWN",
        {"venue": "mtgox"},
    )
    assert "this server has aster, aster-v3, kiiex, nebulaex, whitebit" in failure.message


@pytest.mark.parametrize("make", [issued, generated], ids=["issued", "generated"])
async def test_a_key_id_that_is_taken(service: Service, operator: Stubs, make: Any) -> None:
    """Nothing is overwritten, and the venue is not asked for a key that has no place."""
    await import_sandbox_key(operator, "wallet", ASTER_WALLET)
    await import_sandbox_key(operator, "new", WHITEBIT)
    failure = await failure_of(operator.signing.CreateKey(make()))
    assert (failure.code, failure.reason, failure.metadata) == (
        "ALREADY_EXISTS",
        "KEY_EXISTS",
        {"key": "keys/new"},
    )
    assert service.sandbox.requests() == ()
    answer = await operator.keys.GetKey(key_service_pb2.GetKeyRequest(name="keys/new"))
    assert answer.key.venue == "whitebit"


async def test_a_using_key_that_is_not_there(operator: Stubs) -> None:
    """The key that shall ask must exist."""
    failure = await failure_of(operator.signing.CreateKey(issued()))
    assert (failure.code, failure.metadata) == ("NOT_FOUND", {"key": "keys/wallet"})


async def test_a_description_that_is_taken(service: Service, operator: Stubs) -> None:
    """Aster's refusal has a reason of its own, and the id is free for another try."""
    await import_sandbox_key(operator, "wallet", ASTER_WALLET)
    await operator.signing.CreateKey(issued())
    failure = await failure_of(operator.signing.CreateKey(issued("second")))
    assert (failure.code, failure.reason, failure.precondition) == (
        "FAILED_PRECONDITION",
        "VENUE_DESCRIPTION_TAKEN",
        ("VENUE_DESCRIPTION_TAKEN", "aster"),
    )
    assert failure.metadata["venueMessage"] == "The description already exists"
    assert await state_of(operator, "second") == "gone"
    key = (await operator.signing.CreateKey(issued("second", "desk two"))).key
    assert key.name == "keys/second"
    assert orders(service) == 3


async def test_a_venue_that_issues_no_more(service: Service, operator: Stubs) -> None:
    """A refusal without a name of its own is told in the venue's words."""
    service.sandbox.knobs.aster.refuse_new_keys = True
    await import_sandbox_key(operator, "wallet", ASTER_WALLET)
    failure = await failure_of(operator.signing.CreateKey(issued()))
    assert (failure.code, failure.reason) == ("FAILED_PRECONDITION", "VENUE_REFUSED")
    assert sorted(failure.metadata) == ["venue", "venueCode", "venueMessage"]
    assert await state_of(operator, "new") == "gone"


@pytest.mark.parametrize("spoil", [Spoil.HTML, Spoil.EMPTY, Spoil.HALF, Spoil.DROP, Spoil.REDIRECT])
@pytest.mark.parametrize("handled", [True, False], ids=["issued", "not-issued"])
async def test_an_unknown_outcome_keeps_the_reservation(
    service: Service, operator: Stubs, spoil: Spoil, *, handled: bool
) -> None:
    """Whether Aster issued a key can't be known: told so, never repeated, and the id stays."""
    await import_sandbox_key(operator, "wallet", ASTER_WALLET)
    service.sandbox.faults.add(Fault("aster", _CREATE, spoil=spoil, handled=handled))
    request = issued(request_id=str(uuid.uuid4()))
    failure = await failure_of(operator.signing.CreateKey(request))
    assert (failure.code, failure.reason, failure.metadata["key"]) == (
        "UNAVAILABLE",
        "VENUE_OUTCOME_UNKNOWN",
        "keys/new",
    )
    assert "look at the venue for a key named 'desk one', then delete both" in failure.message
    assert await state_of(operator, "new") == "KEY_STATE_CREATING"
    assert (orders(service), await reason_of(operator, request)) == (1, "VENUE_OUTCOME_UNKNOWN")
    request.request_id = str(uuid.uuid4())
    assert (await reason_of(operator, request), orders(service)) == ("KEY_EXISTS", 1)


async def reason_of(stubs: Stubs, request: pb.CreateKeyRequest) -> str:
    """Return why an order was refused."""
    return (await failure_of(stubs.signing.CreateKey(request))).reason


async def test_a_500_after_the_order_keeps_the_reservation(
    service: Service, operator: Stubs
) -> None:
    """A fault of the venue's own says nothing of what happened."""
    await import_sandbox_key(operator, "wallet", ASTER_WALLET)
    service.sandbox.faults.add(Fault("aster", _CREATE, status=500, handled=True))
    assert await reason_of(operator, issued()) == "VENUE_OUTCOME_UNKNOWN"
    assert await state_of(operator, "new") == "KEY_STATE_CREATING"


async def test_a_reserved_key_signs_nothing_and_can_be_deleted(
    service: Service, operator: Stubs
) -> None:
    """A reservation is no key: Sign, disable and enable refuse it, a custodian removes it."""
    await import_sandbox_key(operator, "wallet", ASTER_WALLET)
    service.sandbox.faults.add(Fault("aster", _CREATE, spoil=Spoil.DROP, handled=True, times=1))
    await reason_of(operator, issued())
    name = "keys/new"
    failures = [
        await failure_of(call)
        for call in (
            operator.signing.Sign(sign_request("new", "POST", "/fapi/v1/order", _FORM)),
            operator.keys.DisableKey(key_service_pb2.DisableKeyRequest(name=name)),
            operator.keys.EnableKey(key_service_pb2.EnableKeyRequest(name=name)),
        )
    ]
    assert [(each.code, each.reason, each.metadata) for each in failures] == [
        ("FAILED_PRECONDITION", "KEY_CREATING", {"key": name})
    ] * 3
    await operator.keys.DeleteKey(key_service_pb2.DeleteKeyRequest(name=name))
    key = (await operator.signing.CreateKey(issued(description="desk two"))).key
    assert key.state == key_pb2.KEY_STATE_ENABLED


async def test_an_order_without_a_nonce_reserves_nothing(service: Service, operator: Stubs) -> None:
    """Where Aster gives no nonce it issued nothing, and the id is free again."""
    await import_sandbox_key(operator, "wallet", ASTER_WALLET)
    service.sandbox.faults.add(Fault("aster", "*/get-nonce", spoil=Spoil.HTML, times=1))
    failure = await failure_of(operator.signing.CreateKey(issued()))
    assert (failure.code, failure.reason) == ("UNAVAILABLE", "VENUE_UNREACHABLE")
    assert await state_of(operator, "new") == "gone"
    assert (await operator.signing.CreateKey(issued())).key.name == "keys/new"


async def test_creating_a_key_needs_a_rule(service: Service, operator: Stubs) -> None:
    """A caller without `create-key` on the new id is denied before anything else is looked at."""
    await import_sandbox_key(operator, "wallet", ASTER_WALLET)
    for caller in (TRADER, STRANGER):
        stubs = await service.as_caller(caller)
        failure = await failure_of(stubs.signing.CreateKey(issued(venue="mtgox")))
        assert (failure.code, failure.metadata["action"]) == ("PERMISSION_DENIED", "create-key")


async def test_using_a_wallet_needs_a_rule_of_its_own(service: Service, operator: Stubs) -> None:
    """Who may create keys may not use any wallet for that."""
    await import_sandbox_key(operator, "wallet", ASTER_WALLET)
    policy = service.directory / "policy.yaml"
    rule = {
        "name": "maker",
        "callers": [STRANGER],
        "keys": ["*"],
        "allow": ["create-key"],
    }
    await service.restart(policy={"version": 1, "rules": [rule]})
    stubs = await service.as_caller(STRANGER)
    failure = await failure_of(stubs.signing.CreateKey(issued()))
    assert failure.metadata == {
        "action": "use-for-create-key",
        "key": "keys/wallet",
        "caller": STRANGER,
    }
    assert json.loads(policy.read_text())["version"] == 1
    assert (await stubs.signing.CreateKey(generated())).key.name == "keys/new"


async def test_an_order_is_audited_with_its_key(service: Service, operator: Stubs) -> None:
    """The line of a created key has id, version, venue and rule."""
    await import_sandbox_key(operator, "wallet", ASTER_WALLET)
    await operator.signing.CreateKey(issued())
    line = service.audit_lines()[-1]
    assert (line["key"], line["key_version"], line["venue"], line["rule"], line["caller"]) == (
        "keys/new",
        2,
        "aster",
        "operator",
        OPERATOR,
    )
