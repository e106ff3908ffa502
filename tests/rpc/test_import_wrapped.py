import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bao import MOUNT, TRANSIT, Answer, BaoServer
from privyseal.v1 import key_service_pb2 as pb
from secret_store_home import store_policy, transit_policy
from service import OPERATOR, Service, Stubs, failure_of, send, sign_request

_SPENT = "was already used, or has expired: treat the secret as seen, and make a new one"


@pytest.fixture
async def vaulted(tmp_path: Path, bao: BaoServer, prefix: str) -> AsyncIterator[Service]:
    """A server whose keys are in Vault, with the least policy."""
    (tmp_path / "vault-token").write_text(bao.token(store_policy(prefix)))
    vault = {"address": bao.url, "auth": "token-file", "token_file": tmp_path / "vault-token"}
    store = {"url": f"vault://{MOUNT}/{prefix}", "key_file": None}
    async with Service(tmp_path, vault=vault, store=store) as running:
        yield running


@pytest.fixture
async def custodian(vaulted: Service) -> Stubs:
    """Stubs of the caller who may do everything."""
    return await vaulted.as_caller(OPERATOR)


def token_of(answer: object) -> str:
    """Return the wrapping token of an answer."""
    assert isinstance(answer, dict)
    return str(answer["wrap_info"]["token"])


def wrap(bao: BaoServer, ttl: str = "60s", **data: str) -> str:
    """Do what `vault write -wrap-ttl=… sys/wrapping/wrap` does."""
    return token_of(bao.root().write_data("sys/wrapping/wrap", data=data, wrap_ttl=ttl))


def an_import(token: str, **changed: Any) -> pb.ImportKeyRequest:
    """Return a request to import by a token."""
    good: dict[str, Any] = {
        "key_id": "wb",
        "venue": "whitebit",
        "fields": {"api_key": "test-key"},
        "wrapping_token": token,
    }
    if "plaintext" in changed:
        del good["wrapping_token"]
    return pb.ImportKeyRequest(**{**good, **changed})


def is_good(bao: BaoServer, token: str) -> bool:
    """Whether a wrapping token was not used yet."""
    answer: Answer = bao.write("auth/token/lookup", token=token)
    return "data" in answer


async def signs(vaulted: Service, custodian: Stubs) -> bool:
    """Whether the key signs what the venue accepts."""
    await send(await custodian.signing.Sign(sign_request("wb", "POST", "/api/v4/orders")))
    return vaulted.sandbox.requests("whitebit")[-1].accepted


async def test_a_wrapped_secret_signs(vaulted: Service, custodian: Stubs, bao: BaoServer) -> None:
    """What was given to sys/wrapping/wrap becomes a key; no policy of ours allows unwrapping."""
    key = (await custodian.keys.ImportKey(an_import(wrap(bao, api_secret="test-secret")))).key

    assert "test-key" == key.public_id
    assert await signs(vaulted, custodian)


async def test_a_wrapped_document_signs(
    vaulted: Service, custodian: Stubs, bao: BaoServer, prefix: str
) -> None:
    """What a KV version 2 read wrapped becomes a key, by its secret field."""
    path = f"{MOUNT}/data/handed-{prefix}/whitebit"
    bao.write(path, data={"api_secret": "test-secret", "note": "of the desk"})
    answer = bao.root().adapter.get(f"/v1/{path}", wrap_ttl="60s")
    await custodian.keys.ImportKey(an_import(token_of(answer)))

    assert await signs(vaulted, custodian)


async def test_a_private_key_has_its_own_name(custodian: Stubs, bao: BaoServer) -> None:
    """A wallet's key is wrapped as private_key."""
    token = wrap(bao, private_key="a" * 64)
    request = an_import(token, venue="aster", algorithm="secp256k1", fields={})
    key = (await custodian.keys.ImportKey(request)).key

    assert key.public_id.startswith("0x")


async def test_a_token_is_good_once(custodian: Stubs, bao: BaoServer) -> None:
    """A token that was used tells the custodian to take the secret for seen."""
    token = wrap(bao, api_secret="test-secret")
    bao.root().adapter.post("/v1/sys/wrapping/unwrap", json={"token": token})
    failure = await failure_of(custodian.keys.ImportKey(an_import(token)))

    assert ("INVALID_ARGUMENT", "wrapping_token") == (failure.code, failure.field_name)
    assert _SPENT in failure.message
    assert token not in failure.message


async def test_our_own_use_spends_it(custodian: Stubs, bao: BaoServer) -> None:
    """A second import by the same token is refused, also under another id."""
    token = wrap(bao, api_secret="test-secret")
    await custodian.keys.ImportKey(an_import(token))
    failure = await failure_of(custodian.keys.ImportKey(an_import(token, key_id="wb-2")))

    assert _SPENT in failure.message


async def test_a_retry_spends_nothing(custodian: Stubs, bao: BaoServer) -> None:
    """The same request id returns the first answer, though the token is spent."""
    request = an_import(wrap(bao, api_secret="test-secret"), request_id=str(uuid.uuid4()))
    first = await custodian.keys.ImportKey(request)

    assert first == await custodian.keys.ImportKey(request)


@pytest.mark.parametrize("token", ["s.none", "hvs." + "a" * 90, "no token", "x\ny", "", "ä"])
async def test_what_is_no_token_is_refused(custodian: Stubs, token: str) -> None:
    """What Vault does not know, and what can't be a token at all, is the caller's fault."""
    failure = await failure_of(custodian.keys.ImportKey(an_import(token)))

    assert ("INVALID_ARGUMENT", "wrapping_token") == (failure.code, failure.field_name)


async def test_other_wrapped_things_are_left_alone(custodian: Stubs, bao: BaoServer) -> None:
    """A wrapped login, or a wrapped secret id, is neither taken nor spent."""
    answer = bao.root().write_data("auth/token/create", data={"ttl": "60s"}, wrap_ttl="60s")
    token = token_of(answer)
    failure = await failure_of(custodian.keys.ImportKey(an_import(token)))

    assert "wraps neither a KV version 2 document" in failure.message
    assert is_good(bao, token)


async def test_a_token_is_not_spent_in_vain(custodian: Stubs, bao: BaoServer) -> None:
    """What is refused for another reason leaves the token for a better request."""
    token = wrap(bao, api_secret="test-secret")
    await custodian.keys.ImportKey(an_import(wrap(bao, api_secret="s")))
    taken = await failure_of(custodian.keys.ImportKey(an_import(token)))
    wrong = await failure_of(custodian.keys.ImportKey(an_import(token, fields={}, key_id="wb-2")))

    assert ("KEY_EXISTS", "FIELD_INVALID") == (taken.reason, wrong.reason)
    assert is_good(bao, token)


async def test_the_field_must_fit(custodian: Stubs, bao: BaoServer) -> None:
    """A secret under another name is refused by the name that is wanted, and never shown."""
    token = wrap(bao, private_key="canary")
    failure = await failure_of(custodian.keys.ImportKey(an_import(token)))

    assert "held no text 'api_secret'; wrap the secret under that name" in failure.message
    assert "canary" not in failure.message


async def test_a_wrapped_secret_is_checked(custodian: Stubs, bao: BaoServer) -> None:
    """What would not sign is refused by the field in which it came."""
    token = wrap(bao, api_secret="test-secret\n")
    failure = await failure_of(custodian.keys.ImportKey(an_import(token)))

    assert "wrapping_token" == failure.field_name
    assert "without a newline at its end" in failure.message


async def test_the_sealing_key_is_in_vault(custodian: Stubs, bao: BaoServer, prefix: str) -> None:
    """The private half is a document that no key id reaches, and no list shows."""
    await custodian.keys.GetSealingKey(pb.GetSealingKeyRequest())
    found = bao.root().read(f"{MOUNT}/data/{prefix}/_privyseal-sealing")

    assert found is not None
    assert 0 == len((await custodian.keys.ListKeys(pb.ListKeysRequest())).keys)


async def test_a_wrapped_secret_rotates(
    vaulted: Service, custodian: Stubs, bao: BaoServer, prefix: str
) -> None:
    """RotateKey takes a token too; the version before is destroyed in Vault when it is over."""
    await custodian.keys.ImportKey(an_import("", plaintext=b"old-secret"))
    token = wrap(bao, api_secret="test-secret")
    key = (
        await custodian.keys.RotateKey(pb.RotateKeyRequest(name="keys/wb", wrapping_token=token))
    ).key
    answer = bao.root().read(f"{MOUNT}/metadata/{prefix}/wb")

    assert 2 == key.version
    assert await signs(vaulted, custodian)
    assert isinstance(answer, dict)
    assert answer["data"]["versions"]["1"]["destroyed"]


async def test_a_token_is_not_spent_on_a_wrong_rotation(custodian: Stubs, bao: BaoServer) -> None:
    """A field that is wrong is found before the token is used."""
    await custodian.keys.ImportKey(an_import("", plaintext=b"old-secret"))
    token = wrap(bao, api_secret="test-secret")
    request = pb.RotateKeyRequest(
        name="keys/wb", wrapping_token=token, fields={"api_key": "not one"}
    )
    failure = await failure_of(custodian.keys.RotateKey(request))

    assert "fields[api_key]" == failure.field_name
    assert is_good(bao, token)


async def test_a_transit_key_is_rotated_in_vault(
    tmp_path: Path, bao: BaoServer, prefix: str
) -> None:
    """RotateKey says so, and spends no token."""
    bao.enable_transit()
    (tmp_path / "vault-token").write_text(bao.token(store_policy(prefix) + transit_policy()))
    vault = {"address": bao.url, "auth": "token-file", "token_file": tmp_path / "vault-token"}
    store = {
        "url": f"vault://{MOUNT}/{prefix}",
        "key_file": None,
        "custody": "transit",
        "transit_mount": TRANSIT,
    }
    token = wrap(bao, api_secret="a-secret-that-is-long-enough-for-transit")
    async with Service(tmp_path, vault=vault, store=store) as running:
        stubs = await running.as_caller(OPERATOR)
        await stubs.keys.ImportKey(an_import("", key_id=prefix, plaintext=b"s" * 40))
        request = pb.RotateKeyRequest(name=f"keys/{prefix}", wrapping_token=token)
        failure = await failure_of(stubs.keys.RotateKey(request))
        await stubs.keys.DeleteKey(pb.DeleteKeyRequest(name=f"keys/{prefix}"))

    assert ("FAILED_PRECONDITION", "ROTATE_KEY_UNSUPPORTED") == (failure.code, failure.reason)
    assert "give the transit key a new version there" in failure.message
    assert is_good(bao, token)
