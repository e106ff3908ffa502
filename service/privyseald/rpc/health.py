"""gRPC health: what is said of this server, on its own port and on the operations port."""

from collections.abc import Iterable

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

_Answer = health_pb2.HealthCheckResponse


class Health:
    """Says `liveness` once it has begun, and whether it is ready under all other names."""

    def __init__(self, services: Iterable[str]) -> None:
        self._servicer = health.aio.HealthServicer()
        self._names = ("", "readiness", *services)
        self.is_ready = False

    async def begin(self) -> None:
        """Live from now on, to the end; ready when `set_ready` says so."""
        await self._servicer.set("liveness", _Answer.SERVING)
        await self.set_ready(ready=False)

    async def set_ready(self, *, ready: bool) -> None:
        """Say whether this server can sign."""
        self.is_ready = ready
        status = _Answer.SERVING if ready else _Answer.NOT_SERVING
        for name in self._names:
            await self._servicer.set(name, status)

    def add_to(self, server: grpc.aio.Server) -> None:
        """Answer on this server too."""
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, server)
