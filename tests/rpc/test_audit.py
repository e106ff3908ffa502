import hashlib
from pathlib import Path
from typing import Any

import pytest

from privyseal.v1 import key_service_pb2, venue_service_pb2
from privyseal.v1 import signing_service_pb2 as pb
from service import (
    ASTER_WALLET,
    KIIEX,
    OPERATOR,
    TRADER,
    WHITEBIT,
    Service,
    Stubs,
    failure_of,
    import_sandbox_key,
    sign_request,
)

# What every line has, whatever happened.
_PLACE = {"sequence", "previous", "chain", "replica", "time_us"}
_ALWAYS = _PLACE | {"rpc", "decision", "code", "duration_us"}


def told(line: dict[str, Any]) -> dict[str, Any]:
    """Return what a line says of its RPC, without what differs from run to run."""
    return {
        name: value
        for name, value in line.items()
        if name not in _PLACE | {"duration_us", "request_sha256"}
    }


async def test_a_signature_leaves_a_line(service: Service, operator: Stubs) -> None:
    """The line of a Sign has caller, key, version, venue, operation, rule, nonce and digest."""
    await import_sandbox_key(operator, "wb", WHITEBIT)
    request_id = "8b1f3a52-5f0e-4a1c-9a51-0b8f1d6f7c11"
    request = sign_request(
        "wb", "POST", "/api/v4/order/new", b'{"market":"BTC_USDT"}', request_id=request_id
    )
    answer = await operator.signing.Sign(request)
    line = service.audit_lines()[-1]
    assert told(line) == {
        "rpc": "privyseal.v1.SigningService/Sign",
        "caller": OPERATOR,
        "key": "keys/wb",
        "key_version": 1,
        "venue": "whitebit",
        "operation": "POST /api/v4/order/new",
        "rule": "operator",
        "decision": "allowed",
        "request_id": request_id,
        "nonce": answer.nonce,
        "code": "OK",
    }
    assert line["request_sha256"] == hashlib.sha256(request.SerializeToString()).hexdigest()


async def test_a_line_holds_nothing_to_sign_in_with(service: Service, operator: Stubs) -> None:
    """No body, query, header, signature, token or secret reaches the audit log."""
    await import_sandbox_key(operator, "wb", WHITEBIT)
    await import_sandbox_key(operator, "kx", KIIEX)
    await import_sandbox_key(operator, "wallet", ASTER_WALLET)
    body = b'{"market":"body-mark"}'
    signed = await operator.signing.Sign(sign_request("wb", "POST", "/api/v4/order/new", body))
    queried = sign_request("kx", "GET", "/ap/GetUserInfo?mark=query-mark")
    await operator.signing.Sign(queried)
    session = (await operator.signing.Login(pb.LoginRequest(key="keys/kx"))).session
    message = pb.SignRequest(key="keys/wallet")
    message.personal_message.message = b"message-mark"
    signature = (await operator.signing.Sign(message)).signature
    log = (service.directory / "audit.jsonl").read_text()
    marks = ["body-mark", "query-mark", "message-mark", "test-secret", session.token]
    marks += [signature.value.hex(), ASTER_WALLET.material]
    marks += [header.value for header in signed.signed_http_request.headers[2:]]
    assert [mark for mark in marks if mark in log] == []
    assert "GET /ap/GetUserInfo" in log


async def test_messages_are_named_not_shown(service: Service, operator: Stubs) -> None:
    """For a personal message the operation is its kind."""
    await import_sandbox_key(operator, "wallet", ASTER_WALLET)
    message = pb.SignRequest(key="keys/wallet")
    message.personal_message.message = b"hello"
    await operator.signing.Sign(message)
    assert service.audit_lines()[-1]["operation"] == "personal_message"


async def test_a_denied_rpc_leaves_a_line(service: Service, operator: Stubs) -> None:
    """The line of a refusal has code, reason and what was asked, and no rule."""
    await import_sandbox_key(operator, "vault-1", WHITEBIT)
    trader = await service.as_caller(TRADER)
    await failure_of(trader.signing.Sign(sign_request("vault-1", "POST", "/api/v4/orders")))
    assert told(service.audit_lines()[-1]) == {
        "rpc": "privyseal.v1.SigningService/Sign",
        "caller": TRADER,
        "key": "keys/vault-1",
        "operation": "POST /api/v4/orders",
        "decision": "refused",
        "code": "PERMISSION_DENIED",
        "reason": "POLICY_DENIED",
    }


async def test_each_request_of_a_batch_leaves_a_line(service: Service, operator: Stubs) -> None:
    """A batch has a line for each request, signed or refused, and one for the whole."""
    await import_sandbox_key(operator, "wb", WHITEBIT)
    good = sign_request("wb", "POST", "/api/v4/orders")
    bad = sign_request("wb", "GET", "/api/v4/orders")
    before = len(service.audit_lines())

    answer = await operator.signing.BatchSign(pb.BatchSignRequest(requests=[good, bad, good]))

    first, refused, last, whole = service.audit_lines()[before:]
    assert [answer.results[0].response.nonce, answer.results[2].response.nonce] == [
        first["nonce"],
        last["nonce"],
    ]
    assert told(refused) == {
        "rpc": "privyseal.v1.SigningService/BatchSign[2]",
        "caller": OPERATOR,
        "key": "keys/wb",
        "key_version": 1,
        "venue": "whitebit",
        "operation": "GET /api/v4/orders",
        "rule": "operator",
        "decision": "refused",
        "code": "INVALID_ARGUMENT",
        "reason": "FIELD_INVALID",
    }
    assert (whole["operation"], whole["code"]) == ("batch of 3", "OK")
    assert len({line["request_sha256"] for line in (first, refused, last, whole)}) == 3


async def test_every_rpc_leaves_one_line(service: Service, operator: Stubs) -> None:
    """Lines are numbered without a gap, one for each RPC in its order, with what all have."""
    await import_sandbox_key(operator, "wb", WHITEBIT)
    name = "keys/wb"
    await operator.keys.GetKey(key_service_pb2.GetKeyRequest(name=name))
    await operator.keys.ListKeys(key_service_pb2.ListKeysRequest())
    await operator.keys.DisableKey(key_service_pb2.DisableKeyRequest(name=name))
    await operator.keys.EnableKey(key_service_pb2.EnableKeyRequest(name=name))
    await operator.venues.ListVenues(venue_service_pb2.ListVenuesRequest())
    await failure_of(operator.signing.Login(pb.LoginRequest(key=name)))
    await failure_of(operator.signing.Logout(pb.LogoutRequest(key=name)))
    await failure_of(operator.signing.CreateKey(pb.CreateKeyRequest()))
    await operator.keys.DeleteKey(key_service_pb2.DeleteKeyRequest(name=name))
    lines = service.audit_lines()
    assert [line["rpc"].rpartition("/")[2] for line in lines] == [
        "ImportKey",
        "GetKey",
        "ListKeys",
        "DisableKey",
        "EnableKey",
        "ListVenues",
        "Login",
        "Logout",
        "CreateKey",
        "DeleteKey",
    ]
    # Behind the start, and the policy that it began with.
    assert [line["sequence"] for line in lines] == list(range(3, 13))
    assert [line["rpc"] for line in lines if _ALWAYS - set(line)] == []


async def test_long_names_are_cut_in_the_log(service: Service, operator: Stubs) -> None:
    """What a caller makes up does not fill the log."""
    request = sign_request("x" * 100_000, "M" * 100_000, "/" + "p" * 100_000)
    request.request_id = "r" * 100_000
    await failure_of(operator.signing.Sign(request))
    assert len((service.directory / "audit.jsonl").read_bytes()) < 2_000


@pytest.mark.parametrize("rpc", ["Sign", "ListVenues"])
async def test_an_answer_that_can_not_be_audited_is_withheld(tmp_path: Path, rpc: str) -> None:
    """Where the audit log's disk is full no answer goes out, and the operator is told."""
    async with Service(tmp_path) as service:
        await import_sandbox_key(await service.as_caller(OPERATOR), "wb", WHITEBIT)
        service.override("audit", {"file": "/dev/full"})
        await service.restart()
        operator = await service.as_caller(OPERATOR)
        call = (
            operator.signing.Sign(sign_request("wb", "POST", "/api/v4/orders"))
            if rpc == "Sign"
            else operator.venues.ListVenues(venue_service_pb2.ListVenuesRequest())
        )
        failure = await failure_of(call)
    assert (failure.code, failure.reason, failure.retry_after_ms) == (
        "UNAVAILABLE",
        "AUDIT_UNAVAILABLE",
        1_000,
    )
    assert "an operator must look at the disk of audit.file" in failure.message


async def test_a_refusal_that_can_not_be_audited_is_withheld(tmp_path: Path) -> None:
    """A refusal, too, is only told once it is written down."""
    async with Service(tmp_path, audit={"file": "/dev/full"}) as service:
        stubs = await service.as_caller(TRADER)
        failure = await failure_of(stubs.signing.Sign(sign_request("wb", "POST", "/api/v4/orders")))
    assert failure.reason == "AUDIT_UNAVAILABLE"
