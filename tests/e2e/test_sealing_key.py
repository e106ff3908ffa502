"""The key that seals the shared state: read early, and missed by request ids alone."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bao import MOUNT, BaoServer
from privyseal.v1 import signing_service_pb2 as pb
from secret_store_home import store_policy
from service import (
    OPERATOR,
    WHITEBIT,
    Service,
    Stubs,
    eventually,
    failure_of,
    import_sandbox_key,
    sign_request,
)


@pytest.fixture
def unsealed(frail_bao: BaoServer) -> Iterator[BaoServer]:
    """A server that a test may seal, as it was afterwards."""
    try:
        yield frail_bao
    finally:
        frail_bao.restart()


@asynccontextmanager
async def serving(folder: Path, bao: BaoServer, prefix: str, token: str) -> AsyncIterator[Stubs]:
    """Serve with one key in Vault, which is in the cache; return the operator's stubs."""
    (folder / "token").write_text(token)
    store = {"url": f"vault://{MOUNT}/{prefix}", "key_file": None}
    vault = {"address": bao.url, "token_file": folder / "token", "timeout_ms": 1_000}
    async with Service(folder, store=store, vault=vault) as service:
        stubs = await service.as_caller(OPERATOR)
        await import_sandbox_key(stubs, "wb", WHITEBIT)
        await stubs.signing.Sign(a_request())
        yield stubs


def a_request(request_id: str = "") -> pb.SignRequest:
    """Return a request to sign."""
    return sign_request("wb", "POST", "/api/v4/orders", request_id=request_id)


def is_made(bao: BaoServer, prefix: str) -> bool:
    """Whether the key stands in Vault."""
    return bao.root().read(f"{MOUNT}/metadata/{prefix}/_privyseal-state") is not None


async def test_it_is_there_before_it_is_needed(
    tmp_path: Path, unsealed: BaoServer, prefix: str
) -> None:
    """A server that has started takes request ids while Vault is sealed."""
    token = unsealed.token(store_policy(prefix))
    async with serving(tmp_path, unsealed, prefix, token) as stubs:

        async def made() -> bool:
            return is_made(unsealed, prefix)

        await eventually(made)
        unsealed.seal()
        request = a_request(str(uuid.uuid4()))
        first = await stubs.signing.Sign(request)

        assert first.nonce
        assert first == await stubs.signing.Sign(request)


async def test_without_it_request_ids_are_refused_and_nothing_else(
    tmp_path: Path, bao: BaoServer, prefix: str
) -> None:
    """The refusal is the store's own; once the operator has put that right, ids work by
    themselves.
    """
    own = f'path "{MOUNT}/data/{prefix}/_privyseal-*" {{ capabilities = ["deny"] }}\n'
    token = bao.token(store_policy(prefix) + own)
    async with serving(tmp_path, bao, prefix, token) as stubs:
        request = a_request(str(uuid.uuid4()))
        failure = await failure_of(stubs.signing.Sign(request))
        assert ("FAILED_PRECONDITION", "SECRET_STORE_FORBIDDEN") == (failure.code, failure.reason)
        assert (await stubs.signing.Sign(a_request())).nonce

        answer = bao.root().lookup_token(token)
        assert isinstance(answer, dict)
        (name,) = set(answer["data"]["policies"]) - {"default"}
        bao.root().sys.create_or_update_policy(name, store_policy(prefix))

        async def works() -> bool:
            answers = await asyncio.gather(stubs.signing.Sign(request), return_exceptions=True)
            return not isinstance(answers[0], BaseException)

        await eventually(works)
