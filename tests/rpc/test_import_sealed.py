import asyncio
import uuid

import pytest

from privyseal.v1 import key_service_pb2 as pb
from privyseald.signing.sealed_box import SealingKey
from privyseald.signing.sealed_secret import seal_secret
from privyseald.signing.secret import SecretBytes
from service import OPERATOR, STRANGER, Service, Stubs, failure_of, send, sign_request

_ORDERS = ("wb", "POST", "/api/v4/orders")


async def sealed_import(
    stubs: Stubs, material: str = "test-secret", *, sealed_for: str = "wb", request_id: str = ""
) -> pb.ImportKeyRequest:
    """Return a request whose secret is sealed to the service's key."""
    answer = await stubs.keys.GetSealingKey(pb.GetSealingKeyRequest())
    sealing_key = SealingKey.from_raw(answer.public_key)
    return pb.ImportKeyRequest(
        key_id="wb",
        venue="whitebit",
        fields={"api_key": "test-key"},
        sealed=seal_secret(sealing_key, SecretBytes(material), sealed_for, "whitebit"),
        request_id=request_id,
    )


async def test_a_sealed_secret_signs(service: Service, operator: Stubs) -> None:
    """A key that was imported sealed signs what the venue accepts."""
    request = await sealed_import(operator)
    key = (await operator.keys.ImportKey(request)).key
    await send(await operator.signing.Sign(sign_request(*_ORDERS)))

    assert ("keys/wb", "test-key", 1) == (key.name, key.public_id, key.version)
    assert service.sandbox.requests("whitebit")[-1].accepted
    assert b"test-secret" not in request.SerializeToString()


async def test_the_sealing_key_is_one_and_stays(service: Service, operator: Stubs) -> None:
    """All who ask at once get the same key, after a restart too; its id is of its SHA-256."""
    calls = (operator.keys.GetSealingKey(pb.GetSealingKeyRequest()) for _ in range(8))
    first, *others = await asyncio.gather(*calls)
    await service.restart()
    again = await (await service.as_caller(OPERATOR)).keys.GetSealingKey(pb.GetSealingKeyRequest())

    assert [first] * 8 == [*others, again]
    assert SealingKey.from_raw(first.public_key).fingerprint == first.key_id
    assert "DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM" == first.suite


async def test_the_sealing_key_is_for_every_caller(service: Service, operator: Stubs) -> None:
    """Whom no rule names may have the public key, but import nothing with it."""
    stranger = await service.as_caller(STRANGER)
    request = await sealed_import(stranger)

    assert "POLICY_DENIED" == (await failure_of(stranger.keys.ImportKey(request))).reason
    assert 0 == len((await operator.keys.ListKeys(pb.ListKeysRequest())).keys)


@pytest.mark.parametrize(
    ("material", "sealed_for", "words"),
    [
        ("test-secret", "other", "sealed for another key id or venue"),
        ("test-secret\n", "wb", "without a newline at its end"),
        ("", "wb", "is empty"),
    ],
)
async def test_a_wrong_sealed_secret_writes_nothing(
    operator: Stubs, material: str, sealed_for: str, words: str
) -> None:
    """What opens not, or opens to no secret, is refused by the field in which it came."""
    request = await sealed_import(operator, material, sealed_for=sealed_for)
    failure = await failure_of(operator.keys.ImportKey(request))

    assert ("INVALID_ARGUMENT", "sealed") == (failure.code, failure.field_name)
    assert words in failure.message
    assert 0 == len((await operator.keys.ListKeys(pb.ListKeysRequest())).keys)


async def test_a_sealed_import_is_repeated_by_its_request_id(operator: Stubs) -> None:
    """A retry with the same bytes gets the first answer."""
    request = await sealed_import(operator, request_id=str(uuid.uuid4()))
    first = await operator.keys.ImportKey(request)

    assert first == await operator.keys.ImportKey(request)


async def test_a_file_store_takes_no_wrapping_token(operator: Stubs) -> None:
    """Without a Vault the refusal says what to do instead."""
    request = pb.ImportKeyRequest(
        key_id="wb", venue="whitebit", fields={"api_key": "k"}, wrapping_token="s.canary"
    )
    failure = await failure_of(operator.keys.ImportKey(request))

    assert "wrapping_token" == failure.field_name
    assert "seal the secret with 'privyseal keys seal'" in failure.message
    assert "canary" not in failure.message
