"""A server whose audit log gets stuck: it refuses, stays alive, and heals."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from audit_log import answered
from fifo import Fifo
from privyseald.audit.checkpoint_key import CheckpointKey, generate_checkpoint_key
from privyseald.audit.verify import verify
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

_TIMEOUT_MS = 300
_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture
def fifo(tmp_path: Path) -> Iterator[Fifo]:
    """A pipe whose reader reads."""
    with Fifo(tmp_path / "audit.fifo") as pipe:
        yield pipe


@pytest.fixture
async def stuck(tmp_path: Path, fifo: Fifo) -> AsyncIterator[Service]:
    """A server with a key, whose audit log goes into the pipe."""
    audit = {"file": fifo.path, "timeout_ms": _TIMEOUT_MS}
    async with Service(tmp_path, audit=audit) as service:
        await import_sandbox_key(await service.as_caller(OPERATOR), "wb", WHITEBIT)
        yield service
        fifo.resume()


async def health_of(service: Service, name: str) -> int:
    """Return what the operations port says, within a second."""
    target = f"127.0.0.1:{service.app.server.ops_port}"
    async with grpc.aio.insecure_channel(target) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service=name)
        return int((await stub.Check(request, timeout=1)).status)


async def until_withheld(stubs: Stubs) -> tuple[list[str], int]:
    """Sign until an answer is withheld; return the nonces that went out, and the failures."""
    nonces: list[str] = []
    for _ in range(100):
        calls = [
            stubs.signing.Sign(sign_request("wb", "POST", "/api/v4/orders")) for _ in range(25)
        ]
        results = await asyncio.gather(*calls, return_exceptions=True)
        failures = [each for each in results if isinstance(each, grpc.aio.AioRpcError)]
        nonces += [each.nonce for each in results if not isinstance(each, BaseException)]
        if failures:
            return nonces, len(failures)
    raise AssertionError("the pipe never filled up")


async def test_a_stuck_audit_log_stops_signing_and_nothing_else(
    stuck: Service, fifo: Fifo, tmp_path: Path
) -> None:
    """The reader stops: answers are withheld in time, then nothing is begun, the process lives
    and is not ready; the reader reads: it signs again, and the log tells which answers went out.
    """
    stubs = await stuck.as_caller(OPERATOR)
    fifo.stop()
    loop = asyncio.get_running_loop()
    begun = loop.time()
    filling = asyncio.create_task(until_withheld(stubs))
    while not filling.done():
        assert await health_of(stuck, "liveness") == _SERVING
        await asyncio.sleep(0.02)
    nonces, withheld = await filling
    assert loop.time() - begun < 30

    begun = loop.time()
    failure = await failure_of(stubs.signing.Sign(sign_request("wb", "POST", "/api/v4/orders")))
    assert loop.time() - begun < _TIMEOUT_MS / 1_000
    assert (failure.code, failure.reason, failure.retry_after_ms) == (
        "UNAVAILABLE",
        "AUDIT_UNAVAILABLE",
        1_000,
    )
    assert "nothing was begun" in failure.message

    async def is_not_ready() -> bool:
        return await health_of(stuck, "readiness") == _NOT_SERVING

    await eventually(is_not_ready)
    assert await health_of(stuck, "liveness") == _SERVING
    fifo.resume()

    async def signs_again() -> bool:
        nonlocal withheld
        try:
            answer = await stubs.signing.Sign(sign_request("wb", "POST", "/api/v4/orders"))
        except grpc.aio.AioRpcError as error:
            withheld += "nothing was begun" not in str(error.details())
            return False
        nonces.append(answer.nonce)
        return True

    await eventually(signs_again)

    async def is_ready() -> bool:
        return await health_of(stuck, "readiness") == _SERVING

    await eventually(is_ready)
    await stuck.stop()

    async def is_read() -> bool:
        return bool(fifo.content) and fifo.lines()[-1].get("event") == "checkpoint"

    await eventually(is_read)
    lines = fifo.lines()
    told = answered(lines)
    signed = [line for line in lines if line.get("nonce")]
    assert sorted(nonces) == sorted(line["nonce"] for line in signed if line["sequence"] in told)
    assert len(signed) == len(nonces) + withheld
    refused = sum(line.get("refused", 0) for line in lines)
    assert refused >= 1
    path = tmp_path / "collected.jsonl"
    path.write_bytes(fifo.content)
    kinds = [each.kind for each in verify([path], {}).findings]
    assert kinds == ["no-key"]


async def test_the_service_s_own_key_signs(tmp_path: Path) -> None:
    """The checkpoints of a server verify with the key of its store, and with no other."""
    async with Service(tmp_path) as service:
        await import_sandbox_key(await service.as_caller(OPERATOR), "wb", WHITEBIT)
        store = service.app._store
        key = CheckpointKey(await store.own_key("audit", generate_checkpoint_key)).public_key
        await service.stop()
    path = tmp_path / "audit.jsonl"
    other = CheckpointKey(generate_checkpoint_key()).public_key

    assert verify([path], {key.key_id: key}).findings == ()
    assert [each.kind for each in verify([path], {other.key_id: other}).findings] == [
        "wrong-key",
        "end",
    ]
