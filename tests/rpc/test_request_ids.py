"""A request id has one answer: after a restart, and at every replica on one Valkey."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from bao import BaoServer
from privyseal.v1 import key_service_pb2
from privyseal.v1 import signing_service_pb2 as pb
from replicas import shared
from service import (
    ASTER_WALLET,
    OPERATOR,
    WHITEBIT,
    Service,
    Stubs,
    failure_of,
    import_sandbox_key,
    send,
    sign_request,
)
from valkey_server import ValkeyServer

_CANARY = b"canary-in-a-body-5c81"
_ORDER = b'{"market":"BTC_USDT","clientOrderId":"' + _CANARY + b'"}'
_TTL_MS = 600_000


@pytest.fixture
async def trio(
    tmp_path: Path, bao: BaoServer, prefix: str, valkey_server: ValkeyServer
) -> AsyncIterator[list[Service]]:
    """Three replicas on one store and one state."""
    sections = shared(tmp_path, bao, prefix, valkey_server.url)
    async with Service(tmp_path, **sections) as first:
        yield [first, await first.replica(), await first.replica()]


@pytest.fixture
async def operators(trio: list[Service]) -> list[Stubs]:
    """Stubs of one caller at each replica; keys `wb` and `wallet` are there."""
    stubs = [await service.as_caller(OPERATOR) for service in trio]
    await import_sandbox_key(stubs[0], "wb", WHITEBIT)
    await import_sandbox_key(stubs[0], "wallet", ASTER_WALLET)
    return stubs


def an_order(**changed: Any) -> pb.SignRequest:
    """Return an order with a request id of its own."""
    options = {"request_id": str(uuid.uuid4()), **changed}
    return sign_request("wb", "POST", "/api/v4/order/new", _ORDER, **options)


def a_message() -> pb.SignRequest:
    """Return a message to sign, which needs no nonce, with a request id of its own."""
    request = pb.SignRequest(key="keys/wallet", request_id=str(uuid.uuid4()))
    request.personal_message.message = _CANARY
    return request


def _files(folder: Path) -> list[Path]:
    """Return the embedded state's files."""
    return [path for path in folder.iterdir() if path.name.startswith("nonces.high-water")]


async def test_a_restart_forgets_no_answer(service: Service, operator: Stubs) -> None:
    """After an orderly restart on the same files the retry gets the same bytes."""
    await import_sandbox_key(operator, "wb", WHITEBIT)
    await import_sandbox_key(operator, "wallet", ASTER_WALLET)
    requests = [an_order(), a_message()]
    before = [await operator.signing.Sign(request) for request in requests]
    await service.restart()
    again = await service.as_caller(OPERATOR)
    after = [await again.signing.Sign(request) for request in requests]

    assert before == after
    assert [each.SerializeToString() for each in before] == [
        each.SerializeToString() for each in after
    ]
    assert 200 == (await send(after[0])).status
    other = an_order(request_id=requests[0].request_id, key_version=1)
    assert "REQUEST_ID_REUSED" == (await failure_of(again.signing.Sign(other))).reason


async def test_the_embedded_states_files_show_no_answer(
    service: Service, operator: Stubs, tmp_path: Path
) -> None:
    """Neither a body, nor a signature, nor who asked."""
    await import_sandbox_key(operator, "wb", WHITEBIT)
    answer = await operator.signing.Sign(an_order())
    await service.app.__aexit__()
    signature = [
        header.value
        for header in answer.signed_http_request.headers
        if header.name.lower() == "x-txc-signature"
    ]
    content = b"".join(path.read_bytes() for path in _files(tmp_path))

    assert 1 == len(signature)
    for shown in (_CANARY, signature[0].encode(), OPERATOR.encode()):
        assert shown not in content


async def test_a_hundred_duplicates_at_three_replicas_get_one_answer(
    trio: list[Service], operators: list[Stubs]
) -> None:
    """Sent at once, all get the same bytes; the venue sees one nonce, and accepts it once."""
    request = an_order()
    answers = await asyncio.gather(
        *(operators[number % 3].signing.Sign(request) for number in range(100))
    )

    assert 1 == len({answer.SerializeToString() for answer in answers})
    await send(answers[0])
    await send(answers[99])
    seen = trio[0].sandbox.requests("whitebit")
    assert [True, False] == [each.accepted for each in seen]
    assert [answers[99].nonce] == [each.nonce for each in seen if each.accepted]


@pytest.mark.parametrize("make", [an_order, a_message])
async def test_an_answer_comes_back_whole_at_another_replica(
    operators: list[Stubs], make: Any
) -> None:
    """URL, headers, body, nonce, times and key: byte for byte."""
    request = make()
    first, second, third = [await stubs.signing.Sign(request) for stubs in operators]

    assert first.SerializeToString() == second.SerializeToString() == third.SerializeToString()


async def test_an_id_belongs_to_one_request_at_all_replicas(operators: list[Stubs]) -> None:
    """A different request is refused, also where the first never was; the first is still good."""
    request = an_order()
    await operators[0].signing.Sign(request)
    other = an_order(request_id=request.request_id, key_version=1)

    for stubs in operators:
        failure = await failure_of(stubs.signing.Sign(other))
        assert ("INVALID_ARGUMENT", "REQUEST_ID_REUSED", "request_id") == (
            failure.code,
            failure.reason,
            failure.field_name,
        )
    assert (await operators[2].signing.Sign(request)).nonce


async def test_of_two_requests_at_once_one_gets_the_id(operators: list[Stubs]) -> None:
    """Sent to different replicas under one id, one is answered and the other is refused."""
    request = an_order()
    other = an_order(request_id=request.request_id, key_version=1)
    calls = [
        stubs.signing.Sign(each)
        for _ in range(10)
        for stubs, each in zip(operators[:2], (request, other), strict=True)
    ]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    good = {each.SerializeToString() for each in answers if isinstance(each, pb.SignResponse)}

    assert 1 == len(good)
    refused = [each for each in answers if isinstance(each, grpc.aio.AioRpcError)]
    assert 10 == len(refused)
    assert {grpc.StatusCode.INVALID_ARGUMENT} == {each.code() for each in refused}


async def test_a_batch_shares_the_ids(operators: list[Stubs]) -> None:
    """What one replica signed alone, another returns in a batch."""
    request = an_order()
    first = await operators[0].signing.Sign(request)
    batch = await operators[1].signing.BatchSign(pb.BatchSignRequest(requests=[request, request]))

    assert [first, first] == [each.response for each in batch.results]


async def test_keys_are_made_once_whichever_replica_hears_the_retry(
    operators: list[Stubs],
) -> None:
    """Creating, importing and rotating."""
    create = pb.CreateKeyRequest(key_id="made", venue="aster-v3", request_id=str(uuid.uuid4()))
    create.generated.algorithm = "secp256k1"
    create.generated.fields["user"] = "0x63DD5aCC6b1aa0f563956C0e534DD30B6dcF7C4e"
    rotate = key_service_pb2.RotateKeyRequest(
        name="keys/wb", plaintext=b"new-secret", request_id=str(uuid.uuid4())
    )
    imported = key_service_pb2.ImportKeyRequest(
        key_id="imported",
        venue="whitebit",
        fields={"api_key": "k-2"},
        plaintext=b"secret-2",
        request_id=str(uuid.uuid4()),
    )
    for name, request in (("ImportKey", imported), ("RotateKey", rotate)):
        answers = [await getattr(stubs.keys, name)(request) for stubs in operators]
        assert 1 == len({answer.SerializeToString() for answer in answers}), name
    created = [await stubs.signing.CreateKey(create) for stubs in operators]
    assert 1 == len({answer.SerializeToString() for answer in created})


async def test_the_state_holds_nothing_that_helps_a_thief(
    operators: list[Stubs], valkey_server: ValkeyServer
) -> None:
    """A dump shows neither body, nor signature, nor who asked, nor under which id; and what it
    holds of a request ends after ten minutes.
    """
    order, message = an_order(), a_message()
    signed = await operators[0].signing.Sign(order)
    signature = (await operators[0].signing.Sign(message)).signature
    keys = valkey_server.command("KEYS", "*request/*").split(b"\r\n")
    names = [key for key in keys if b"request/" in key]
    lives = [int(valkey_server.command("PTTL", name).strip(b":\r\n")) for name in names]
    content = valkey_server.dump()

    headers = [header.value.encode() for header in signed.signed_http_request.headers]
    secrets = [header for header in headers if len(header) > 40]
    assert len(secrets) >= 2
    assert 2 == len(names)
    assert all(_TTL_MS - 60_000 < life <= _TTL_MS for life in lives)
    for shown in (
        *secrets,
        _CANARY,
        signature.value,
        signature.digest,
        OPERATOR.encode(),
        order.request_id.encode(),
        order.request_id.replace("-", "").encode(),
    ):
        assert shown not in content


async def test_without_valkey_an_id_is_refused(
    operators: list[Stubs], valkey_server: ValkeyServer
) -> None:
    """Nothing is guessed; what needs neither id nor nonce is signed; and an answer that this
    replica gave is given again.
    """
    known = a_message()
    first = await operators[0].signing.Sign(known)
    valkey_server.kill()

    failure = await failure_of(operators[0].signing.Sign(a_message()))
    assert ("UNAVAILABLE", "STATE_UNAVAILABLE") == (failure.code, failure.reason)
    assert failure.retry_after_ms
    without = a_message()
    without.request_id = ""
    assert (await operators[0].signing.Sign(without)).signature.value
    assert first == await operators[0].signing.Sign(known)


async def test_a_replica_that_starts_later_knows_the_answers(
    trio: list[Service], operators: list[Stubs]
) -> None:
    """It was not there when the answer was made."""
    request = an_order()
    first = await operators[0].signing.Sign(request)
    await trio[0].stop()
    late = await trio[1].replica()

    assert first == await (await late.as_caller(OPERATOR)).signing.Sign(request)
