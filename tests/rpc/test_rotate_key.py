import hashlib
import hmac
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from fakes import NOW_MS, FakeClock
from privyseal.v1 import key_pb2, signing_service_pb2
from privyseal.v1 import key_service_pb2 as pb
from privyseald.signing.sealed_box import SealingKey
from privyseald.signing.sealed_secret import seal_secret
from privyseald.signing.secret import SecretBytes
from service import (
    KIIEX,
    OPERATOR,
    TRADER,
    WHITEBIT,
    Failure,
    Service,
    Stubs,
    eventually,
    failure_of,
    import_key,
    import_sandbox_key,
    send,
    sign_request,
)

_PATH = "/api/v4/orders"
_USER = "0x63DD5aCC6b1aa0f563956C0e534DD30B6dcF7C4e"


@pytest.fixture
def clock() -> FakeClock:
    """A clock for server and venues alike."""
    return FakeClock()


@pytest.fixture
async def desk(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Stubs]:
    """The operator of a server in whose life time passes by hand; key `wb` has an old secret."""
    async with Service(tmp_path, clock=clock) as running:
        stubs = await running.as_caller(OPERATOR)
        await import_key(stubs, "wb", "whitebit", "old-secret", api_key="old-key")
        yield stubs


def a_rotation(after_ms: int | None = None, **fields: Any) -> pb.RotateKeyRequest:
    """Return a request to rotate `wb` to what the sandbox knows."""
    good: dict[str, Any] = {
        "name": "keys/wb",
        "plaintext": b"test-secret",
        "fields": {"api_key": "test-key"},
    }
    if after_ms is not None:
        until = Timestamp()
        until.FromMilliseconds(NOW_MS + after_ms)
        good["accept_previous_until_time"] = until
    return pb.RotateKeyRequest(**{**good, **fields})


async def rotate(stubs: Stubs, after_ms: int | None = None, **fields: Any) -> key_pb2.Key:
    """Rotate, and return the key."""
    answer = await stubs.keys.RotateKey(a_rotation(after_ms, **fields))
    key: key_pb2.Key = answer.key
    return key


async def signed(
    stubs: Stubs, version: int = 0, key_id: str = "wb"
) -> signing_service_pb2.SignResponse:
    """Sign with a version of the key."""
    request = sign_request(key_id, "POST", _PATH, key_version=version)
    answer: signing_service_pb2.SignResponse = await stubs.signing.Sign(request)
    return answer


def signer_of(answer: signing_service_pb2.SignResponse) -> tuple[int, str, bool]:
    """Return the version, the API key, and whether the old secret signed."""
    headers = {header.name: header.value for header in answer.signed_http_request.headers}
    mac = hmac.new(b"old-secret", headers["X-TXC-PAYLOAD"].encode(), hashlib.sha512).hexdigest()
    return answer.key_version, headers["X-TXC-APIKEY"], mac == headers["X-TXC-SIGNATURE"]


async def test_a_rotated_key_signs_at_once(service: Service, operator: Stubs) -> None:
    """The new secret signs what the venue accepts, though the old one was in use."""
    await import_key(operator, "wb", "whitebit", "old-secret", api_key="old-key")
    await signed(operator)
    key = await rotate(operator)
    await send(await signed(operator))

    assert ("keys/wb", "test-key", 2) == (key.name, key.public_id, key.version)
    assert key == (await operator.keys.GetKey(pb.GetKeyRequest(name="keys/wb"))).key
    assert service.sandbox.requests("whitebit")[-1].accepted
    line = service.audit_lines()[-3]
    assert ("KeyService/RotateKey", "keys/wb", 2, "operator") == (
        line["rpc"].removeprefix("privyseal.v1."),
        line["key"],
        line["key_version"],
        line["rule"],
    )


async def test_the_version_before_signs_until_its_time(desk: Stubs, clock: FakeClock) -> None:
    """By its number the old credential signs; to the millisecond of its end, and no longer."""
    await rotate(desk, 60_000)
    before = [signer_of(await signed(desk, version)) for version in (0, 1, 2)]
    clock.advance(59_999)
    last = signer_of(await signed(desk, 1))
    clock.advance(1)
    failure = await failure_of(desk.signing.Sign(sign_request("wb", "POST", _PATH, key_version=1)))

    assert [(2, "test-key", False), (1, "old-key", True), (2, "test-key", False)] == before
    assert (1, "old-key", True) == last
    assert failure == Failure(
        "FAILED_PRECONDITION",
        "version 1 of keys/wb was replaced and is not accepted any more; the active one is 2: "
        "leave key_version out to sign with it",
        "KEY_VERSION_EXPIRED",
        {"key": "keys/wb", "keyVersion": "1", "activeVersion": "2"},
        precondition=("KEY_VERSION_EXPIRED", "keys/wb"),
    )


async def test_without_a_time_the_old_one_is_refused_at_once(desk: Stubs) -> None:
    """A leaked secret is out of use as soon as RotateKey answers."""
    await rotate(desk)
    failure = await failure_of(signed(desk, 1))

    assert "KEY_VERSION_EXPIRED" == failure.reason


async def test_only_one_version_before_is_kept(desk: Stubs) -> None:
    """A second rotation ends the first version, though its time was not over."""
    await rotate(desk, 60_000)
    await rotate(desk, 60_000, plaintext=b"third-secret", fields={})
    versions = [signer_of(await signed(desk, version))[:2] for version in (3, 2)]

    assert [(3, "test-key"), (2, "test-key")] == versions
    assert "KEY_VERSION_EXPIRED" == (await failure_of(signed(desk, 1))).reason


@pytest.mark.parametrize("version", [-1, 3, 2**62])
async def test_a_version_that_never_was_is_refused(desk: Stubs, version: int) -> None:
    """A number ahead of the active one says which that is."""
    await rotate(desk, 60_000)
    failure = await failure_of(signed(desk, version))

    assert ("INVALID_ARGUMENT", "key_version") == (failure.code, failure.field_name)
    assert "the active one is 2" in failure.message


async def test_both_versions_end_with_the_key(desk: Stubs) -> None:
    """A disabled key signs in no version; a deleted one leaves none."""
    await rotate(desk, 60_000)
    await desk.keys.DisableKey(pb.DisableKeyRequest(name="keys/wb"))
    disabled = [(await failure_of(signed(desk, version))).reason for version in (0, 1)]
    await desk.keys.EnableKey(pb.EnableKeyRequest(name="keys/wb"))
    enabled = signer_of(await signed(desk, 1))
    await desk.keys.DeleteKey(pb.DeleteKeyRequest(name="keys/wb"))

    assert ["KEY_DISABLED", "KEY_DISABLED"] == disabled
    assert (1, "old-key", True) == enabled
    assert "KEY_UNKNOWN" == (await failure_of(signed(desk, 1))).reason


async def test_a_disabled_key_is_rotated_and_stays_disabled(desk: Stubs) -> None:
    """A custodian may replace what leaked before anybody signs again."""
    await desk.keys.DisableKey(pb.DisableKeyRequest(name="keys/wb"))
    key = await rotate(desk)

    assert key_pb2.KEY_STATE_DISABLED == key.state
    assert "KEY_DISABLED" == (await failure_of(signed(desk))).reason


async def test_labels_and_other_fields_stay(operator: Stubs) -> None:
    """What the request does not name is as it was, environment and birth too."""
    await operator.keys.ImportKey(
        pb.ImportKeyRequest(
            key_id="kx",
            venue="kiiex",
            environment="staging",
            fields={"api_key": "old-key", "user_id": "149"},
            plaintext=b"old-secret",
            labels={"desk": "one"},
        )
    )
    before = (await operator.keys.GetKey(pb.GetKeyRequest(name="keys/kx"))).key
    key = await rotate(operator, name="keys/kx")

    assert (key.environment, dict(key.labels), key.create_time) == (
        "staging",
        {"desk": "one"},
        before.create_time,
    )
    answer = await operator.signing.Sign(sign_request("kx", "POST", "/ap/GetUserInfo"))
    headers = {header.name: header.value for header in answer.signed_http_request.headers}
    assert ("149", "test-key") == (headers["UserId"], headers["APIKey"])


async def test_a_session_ends_with_its_credential(service: Service, operator: Stubs) -> None:
    """After a rotation the old session signs nothing more; the new credential logs in anew."""
    await import_sandbox_key(operator, "kx", KIIEX)
    login = signing_service_pb2.LoginRequest(key="keys/kx")
    first = (await operator.signing.Login(login)).session
    await rotate(operator, name="keys/kx")
    second = (await operator.signing.Login(login)).session

    assert first.token != second.token
    assert 2 == sum("Authenticate" in seen.path for seen in service.sandbox.requests("kiiex"))


async def test_nonces_follow_the_api_key(desk: Stubs) -> None:
    """With the API key its counter stays, whatever version signs: no nonce comes twice."""
    await rotate(desk, 60_000, fields={})
    nonces = [int((await signed(desk, version)).nonce) for version in (1, 2, 1, 2)]

    assert sorted(set(nonces)) == nonces


async def test_a_pair_is_generated(operator: Stubs) -> None:
    """`generate` makes a new wallet here; its address is new, its venue's fields stay."""
    fields = {"user": _USER}
    await import_key(operator, "agent", "aster-v3", "a" * 64, "secp256k1", **fields)
    before = (await operator.keys.GetKey(pb.GetKeyRequest(name="keys/agent"))).key
    request = pb.RotateKeyRequest(name="keys/agent", generate=True)
    key = (await operator.keys.RotateKey(request)).key

    assert (2, True) == (key.version, key.public_id != before.public_id)
    assert key.public_key_pem != before.public_key_pem
    path = "/fapi/v3/order"
    answer = await operator.signing.Sign(sign_request("agent", "POST", path, b"symbol=BTCUSDT"))
    assert key.public_id in answer.signed_http_request.body.decode()


async def test_a_shared_secret_is_not_generated(desk: Stubs) -> None:
    """What the venue issues can't be made here."""
    request = pb.RotateKeyRequest(name="keys/wb", generate=True)
    failure = await failure_of(desk.keys.RotateKey(request))

    assert "ALGORITHM_UNSUPPORTED" == failure.reason
    assert "import it, or let the venue issue it" in failure.message


async def test_a_sealed_secret_rotates(service: Service, operator: Stubs) -> None:
    """It is sealed for the key's id and venue, as for an import."""
    await import_key(operator, "wb", "whitebit", "old-secret", api_key="old-key")
    answer = await operator.keys.GetSealingKey(pb.GetSealingKeyRequest())
    sealing_key, material = SealingKey.from_raw(answer.public_key), SecretBytes("test-secret")
    astray = a_rotation(sealed=seal_secret(sealing_key, material, "wb", "kiiex"))
    failure = await failure_of(operator.keys.RotateKey(astray))
    await rotate(operator, sealed=seal_secret(sealing_key, material, "wb", "whitebit"))
    await send(await signed(operator))

    assert "sealed" == failure.field_name
    assert service.sandbox.requests("whitebit")[-1].accepted


@pytest.mark.parametrize(
    ("changed", "reason", "field"),
    [
        ({"name": "wb"}, "FIELD_INVALID", "name"),
        ({"name": "keys/none"}, "KEY_UNKNOWN", ""),
        ({"plaintext": b""}, "FIELD_INVALID", "plaintext"),
        ({"plaintext": b"new\n"}, "FIELD_INVALID", "plaintext"),
        ({"generate": False}, "FIELD_INVALID", "plaintext"),
        ({"sealed": b"x"}, "FIELD_INVALID", "sealed"),
        ({"wrapping_token": "x"}, "FIELD_INVALID", "wrapping_token"),
        ({"fields": {"user_id": "7"}}, "FIELD_INVALID", "fields[user_id]"),
        ({"fields": {"api_key": "a b"}}, "FIELD_INVALID", "fields[api_key]"),
        ({"request_id": "1"}, "FIELD_INVALID", "request_id"),
        (
            {"accept_previous_until_time": Timestamp(seconds=NOW_MS // 1_000)},
            "FIELD_INVALID",
            "accept_previous_until_time",
        ),
        (
            {"accept_previous_until_time": Timestamp(seconds=2**60)},
            "FIELD_INVALID",
            "accept_previous_until_time",
        ),
        (
            {"accept_previous_until_time": Timestamp(seconds=2**32, nanos=-1)},
            "FIELD_INVALID",
            "accept_previous_until_time",
        ),
    ],
)
async def test_a_wrong_rotation_changes_nothing(
    desk: Stubs, changed: dict[str, Any], reason: str, field: str
) -> None:
    """What is refused leaves the version and the secret that were there."""
    failure = await failure_of(desk.keys.RotateKey(a_rotation(**changed)))

    assert (reason, field) == (failure.reason, failure.field_name)
    assert (1, "old-key", True) == signer_of(await signed(desk))


async def test_a_rotation_is_repeated_by_its_request_id(desk: Stubs) -> None:
    """A retry returns the first answer and rotates nothing; other content is refused."""
    request = a_rotation(60_000, request_id=str(uuid.uuid4()))
    first = await desk.keys.RotateKey(request)
    again = await desk.keys.RotateKey(request)
    request.plaintext = b"other-secret"

    assert (2, first) == (first.key.version, again)
    assert "REQUEST_ID_REUSED" == (await failure_of(desk.keys.RotateKey(request))).reason


async def test_a_retry_is_known_after_a_restart(service: Service, operator: Stubs) -> None:
    """The document holds the request's id: a server that remembers nothing rotates no second
    time, and an import's id is no rotation's.
    """
    request_id = str(uuid.uuid4())
    await operator.keys.ImportKey(
        pb.ImportKeyRequest(
            key_id="wb",
            venue="whitebit",
            fields={"api_key": "old-key"},
            plaintext=b"old-secret",
            request_id=request_id,
        )
    )
    request = a_rotation(request_id=request_id.upper())
    first = await operator.keys.RotateKey(request)
    await service.restart()
    again = await (await service.as_caller(OPERATOR)).keys.RotateKey(request)

    assert (2, first) == (first.key.version, again)


async def test_rotating_has_a_permission_of_its_own(service: Service, operator: Stubs) -> None:
    """A rule to sign does not allow to rotate."""
    await import_sandbox_key(operator, "desk-1", WHITEBIT)
    trader = await service.as_caller(TRADER)
    failure = await failure_of(trader.keys.RotateKey(a_rotation(name="keys/desk-1")))

    assert "POLICY_DENIED" == failure.reason
    assert {"rotate-key", "keys/desk-1"} <= set(failure.metadata.values())


async def test_a_version_can_be_validated(desk: Stubs, clock: FakeClock) -> None:
    """`validate_only` tells before the time is over, and after it, what Sign would say."""
    await rotate(desk, 1_000)
    request = sign_request("wb", "POST", _PATH, key_version=1, validate_only=True)
    answer = await desk.signing.Sign(request)
    clock.advance(1_000)

    assert 1 == answer.key_version
    assert "KEY_VERSION_EXPIRED" == (await failure_of(desk.signing.Sign(request))).reason


async def test_the_old_secret_is_erased_when_its_time_is_over(
    service: Service, operator: Stubs
) -> None:
    """The record is written anew without it, in the background."""
    await import_key(operator, "wb", "whitebit", "old-secret", api_key="old-key")
    until = Timestamp()
    until.GetCurrentTime()
    until.FromMilliseconds(until.ToMilliseconds() + 300)
    request = a_rotation()
    request.accept_previous_until_time.CopyFrom(until)
    await operator.keys.RotateKey(request)
    store: Any = service.app._store
    inner = store._store

    def kept() -> bool:
        row = inner._file.find("wb")
        return inner._seal.previous(row) is not None or inner._seal.document(row).previous

    assert kept()

    async def is_gone() -> bool:
        return not kept()

    await eventually(is_gone)
    assert 2 == (await signed(operator)).key_version
