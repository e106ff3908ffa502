"""Several replicas sign with one key, and the venue takes every request."""

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest

from bao import BaoServer
from privyseal.v1 import key_service_pb2
from privyseal.v1 import signing_service_pb2 as pb
from replicas import shared
from service import (
    NEBULAEX,
    OPERATOR,
    WHITEBIT,
    Service,
    Stubs,
    import_sandbox_key,
    send,
    sign_request,
)
from valkey_server import ValkeyServer

REQUESTS = {"nx": ("GET", "/api/v2/backend/account/balances"), "wb": ("POST", "/api/v4/orders")}
KEYS = pytest.mark.parametrize("key_id", REQUESTS)


@pytest.fixture
async def four(
    tmp_path: Path, bao: BaoServer, prefix: str, valkey_server: ValkeyServer
) -> AsyncIterator[list[Stubs]]:
    """The operator at four replicas on one store and one state."""
    sections = shared(tmp_path, bao, prefix, valkey_server.url)
    async with Service(tmp_path, **sections) as first:
        # The older Barong: each signature once.
        first.sandbox.knobs.nebulaex.single_use = True
        services = [first, *[await first.replica() for _ in range(3)]]
        stubs = [await service.as_caller(OPERATOR) for service in services]
        await import_sandbox_key(stubs[0], "nx", NEBULAEX)
        await import_sandbox_key(stubs[0], "wb", WHITEBIT, nonce_window="false")
        yield stubs


async def sign(stubs: Stubs, key_id: str) -> pb.SignResponse:
    """Return a signed request."""
    answer = await stubs.signing.Sign(sign_request(key_id, *REQUESTS[key_id]))
    assert isinstance(answer, pb.SignResponse)
    return answer


@KEYS
async def test_requests_in_the_order_of_their_answers_are_taken(
    four: list[Stubs], key_id: str
) -> None:
    """Whichever replica signs next: each nonce is above the one before, and none is refused."""
    nonces: list[int] = []
    for turn in range(60):
        answer = await sign(four[turn % 4], key_id)
        nonces.append(int(answer.nonce))
        assert 200 == (await send(answer)).status

    assert all(one < after for one, after in pairwise(nonces))


@KEYS
async def test_bursts_at_all_replicas_are_taken_in_the_order_of_nonces(
    four: list[Stubs], key_id: str
) -> None:
    """What was signed at the same time has no order but that of its nonces, which is kept here;
    each burst is above the one before.
    """
    last = 0
    for _ in range(5):
        burst = await asyncio.gather(*(sign(four[index % 4], key_id) for index in range(24)))
        burst.sort(key=lambda answer: int(answer.nonce))
        assert last < int(burst[0].nonce)
        last = int(burst[-1].nonce)
        assert [200] * 24 == [(await send(answer)).status for answer in burst]


async def test_a_resync_at_one_replica_holds_for_all(four: list[Stubs]) -> None:
    """A number that the venue has seen elsewhere is passed by every replica."""
    above = int((await sign(four[0], "wb")).nonce) * 1_000
    request = key_service_pb2.ResyncNonceRequest(key="keys/wb", above=str(above))

    answer = await four[1].keys.ResyncNonce(request)

    assert str(above) == answer.after
    assert [above + turn + 1 for turn in range(4)] == [
        int((await sign(stubs, "wb")).nonce) for stubs in four
    ]
