import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bao import MOUNT, BaoServer
from privyseal.v1 import key_service_pb2
from secret_store_home import store_policy
from service import (
    OPERATOR,
    WHITEBIT,
    Failure,
    Service,
    Stubs,
    eventually,
    failure_of,
    import_sandbox_key,
    sign_request,
)


@pytest.fixture
def unsealed(frail_bao: BaoServer) -> Iterator[BaoServer]:
    """A server that a test may seal and stop, as it was afterwards."""
    try:
        yield frail_bao
    finally:
        frail_bao.restart()


@asynccontextmanager
async def serving(
    tmp_path: Path, bao: BaoServer, prefix: str, token: str = "", **store: Any
) -> AsyncIterator[Service]:
    """Serve with keys on a real server; the cache reads a key again at each use."""
    (tmp_path / "token").write_text(token or bao.token(store_policy(prefix)))
    url = f"vault://{MOUNT}/{prefix}"
    async with Service(
        tmp_path,
        store={"url": url, "key_file": None, "soft_ttl_ms": 0, **store},
        vault={"address": bao.url, "token_file": tmp_path / "token", "timeout_ms": 1_000},
    ) as service:
        yield service


def sign(stubs: Stubs, key_id: str) -> Any:
    """Call Sign."""
    return stubs.signing.Sign(sign_request(key_id, "POST", "/api/v4/orders"))


async def heals(stubs: Stubs, key_id: str) -> None:
    """Wait until a key signs that did not."""

    async def is_signed() -> bool:
        answers = await asyncio.gather(sign(stubs, key_id), return_exceptions=True)
        return not isinstance(answers[0], BaseException)

    await eventually(is_signed)


async def test_a_sealed_vault_stops_cold_keys_alone(
    tmp_path: Path, unsealed: BaoServer, prefix: str
) -> None:
    """While Vault is sealed a warm key signs, a cold one is UNAVAILABLE; unsealed, both sign."""
    async with serving(tmp_path, unsealed, prefix) as service:
        operator = await service.as_caller(OPERATOR)
        await import_sandbox_key(operator, "warm", WHITEBIT)
        await import_sandbox_key(operator, "cold", WHITEBIT)
        first = await sign(operator, "warm")
        await asyncio.to_thread(unsealed.seal)
        warm = await sign(operator, "warm")
        cold = await failure_of(sign(operator, "cold"))
        writing = await failure_of(
            operator.keys.DeleteKey(key_service_pb2.DeleteKeyRequest(name="keys/warm"))
        )
        await asyncio.to_thread(unsealed.unseal)
        await heals(operator, "cold")
    assert int(first.nonce) < int(warm.nonce)
    assert cold == Failure(
        "UNAVAILABLE",
        "Vault is sealed or not initialised; an operator must unseal it",
        "SECRET_STORE_SEALED",
        retry_after_ms=1_000,
    )
    assert (writing.code, writing.reason) == ("UNAVAILABLE", "SECRET_STORE_SEALED")


async def test_a_vault_that_is_gone_stops_cold_keys_alone(
    tmp_path: Path, unsealed: BaoServer, prefix: str
) -> None:
    """An unreachable Vault is borne like a sealed one, and healed from."""
    async with serving(tmp_path, unsealed, prefix) as service:
        operator = await service.as_caller(OPERATOR)
        await import_sandbox_key(operator, "warm", WHITEBIT)
        await import_sandbox_key(operator, "cold", WHITEBIT)
        await sign(operator, "warm")
        await asyncio.to_thread(unsealed.stop)
        warm = await sign(operator, "warm")
        cold = await failure_of(sign(operator, "cold"))
        await asyncio.to_thread(unsealed.start)
        await heals(operator, "cold")
    assert warm.key == "keys/warm"
    assert (cold.code, cold.reason) == ("UNAVAILABLE", "SECRET_STORE_UNREACHABLE")
    assert cold.retry_after_ms is not None
    assert "an operator must see to vault.address and the network" in cold.message


async def test_a_warm_key_cools_down(tmp_path: Path, unsealed: BaoServer, prefix: str) -> None:
    """Beyond the hard TTL a key that was warm is refused too."""
    async with serving(tmp_path, unsealed, prefix, hard_ttl_ms=300) as service:
        operator = await service.as_caller(OPERATOR)
        await import_sandbox_key(operator, "warm", WHITEBIT)
        await sign(operator, "warm")
        await asyncio.to_thread(unsealed.seal)
        await asyncio.sleep(0.4)
        failure = await failure_of(sign(operator, "warm"))
        await asyncio.to_thread(unsealed.unseal)
        await heals(operator, "warm")
    assert (failure.code, failure.reason) == ("UNAVAILABLE", "SECRET_STORE_SEALED")


async def test_a_vault_that_forbids_says_what_to_grant(
    tmp_path: Path, bao: BaoServer, prefix: str
) -> None:
    """A token that may not read is the operator's matter: no retry, and the path to grant."""
    token = bao.token(f'path "{MOUNT}/metadata/{prefix}/*" {{ capabilities = ["read"] }}')
    async with serving(tmp_path, bao, prefix, token) as service:
        operator = await service.as_caller(OPERATOR)
        failure = await failure_of(sign(operator, "any"))
    assert (failure.code, failure.reason, failure.retry_after_ms) == (
        "FAILED_PRECONDITION",
        "SECRET_STORE_FORBIDDEN",
        None,
    )
    assert f"'{MOUNT}/data/{prefix}/*'; an operator must grant it" in failure.message


async def test_a_forbidden_key_is_not_served_from_the_cache(
    tmp_path: Path, bao: BaoServer, prefix: str
) -> None:
    """What Vault says of a key beats the cache at once: a revoked token ends the warm key too."""
    token = bao.token(store_policy(prefix))
    async with serving(tmp_path, bao, prefix, token) as service:
        operator = await service.as_caller(OPERATOR)
        await import_sandbox_key(operator, "warm", WHITEBIT)
        await sign(operator, "warm")
        await asyncio.to_thread(bao.revoke, token)
        failure = await failure_of(sign(operator, "warm"))
    assert (failure.code, failure.reason) == ("FAILED_PRECONDITION", "SECRET_STORE_FORBIDDEN")
    assert "the file of vault.token_file" in failure.message


async def test_a_key_deleted_in_vault_is_gone(tmp_path: Path, bao: BaoServer, prefix: str) -> None:
    """A key that an operator deletes past us does not sign any more, warm or not."""
    async with serving(tmp_path, bao, prefix) as service:
        operator = await service.as_caller(OPERATOR)
        await import_sandbox_key(operator, "warm", WHITEBIT)
        await sign(operator, "warm")
        adapter = bao.root().adapter
        await asyncio.to_thread(adapter.delete, f"/v1/{MOUNT}/metadata/{prefix}/warm")
        failure = await failure_of(sign(operator, "warm"))
    assert (failure.code, failure.reason) == ("NOT_FOUND", "KEY_UNKNOWN")


async def test_a_key_put_by_hand_signs(tmp_path: Path, bao: BaoServer, prefix: str) -> None:
    """A document that `vault kv put` writes is a key, and one that lacks a field is told."""
    good = {
        "venue": "whitebit",
        "algorithm": "hmac-sha512",
        "api_key": "test-key",
        "api_secret": "test-secret",
    }
    bad = {name: value for name, value in good.items() if name != "api_secret"}
    await asyncio.to_thread(bao.write, f"{MOUNT}/data/{prefix}/good", data=good)
    await asyncio.to_thread(bao.write, f"{MOUNT}/data/{prefix}/bad", data=bad)
    async with serving(tmp_path, bao, prefix) as service:
        operator = await service.as_caller(OPERATOR)
        answer = await sign(operator, "good")
        failure = await failure_of(sign(operator, "bad"))
    assert answer.algorithm == "hmac-sha512"
    assert (failure.code, failure.reason, failure.metadata) == (
        "FAILED_PRECONDITION",
        "CREDENTIAL_MALFORMED",
        {"key": "keys/bad", "field": "api_secret"},
    )
