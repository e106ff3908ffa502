"""Ready means that this server can sign, and without its state it can't."""

import asyncio
from pathlib import Path
from typing import Any

from grpc_health.v1 import health_pb2, health_pb2_grpc

from bao import BaoServer
from replicas import shared
from service import OPERATOR, WHITEBIT, Service, import_sandbox_key, sign_request
from valkey_server import ValkeyServer


async def test_a_server_without_its_state_is_not_ready(
    tmp_path: Path, bao: BaoServer, prefix: str, valkey_server: ValkeyServer
) -> None:
    """It starts, and is ready once the state is there and gives nonces."""
    valkey_server.stop()
    async with Service(tmp_path, **shared(tmp_path, bao, prefix, valkey_server.url)) as service:
        operator = await service.as_caller(OPERATOR)
        health: Any = health_pb2_grpc.HealthStub(operator.channel)

        async def is_ready() -> bool:
            answer = await health.Check(health_pb2.HealthCheckRequest(service="readiness"))
            return bool(answer.status == answer.SERVING)

        assert not await is_ready()
        valkey_server.start()
        async with asyncio.timeout(60):
            while not await is_ready():  # noqa: ASYNC110  # it is in another process
                await asyncio.sleep(0.1)
        await import_sandbox_key(operator, "wb", WHITEBIT)

        assert (await operator.signing.Sign(sign_request("wb", "POST", "/api/v4/orders"))).nonce
