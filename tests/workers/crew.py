"""A supervisor of tiny workers, for tests of how it keeps them."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, MutableMapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from structlog.testing import capture_logs

from privyseald.clock import Clock, SystemClock
from privyseald.config import Config
from privyseald.workers.supervisor import Supervisor, WorkerTimes

TINY = Path(__file__).with_name("tiny_worker.py")
HASTY = WorkerTimes(first_pause_ms=10, longest_pause_ms=40, last_wait_ms=300)
Events = list[MutableMapping[str, Any]]


class Crew:
    """A supervisor of tiny workers, and what it logs."""

    def __init__(
        self,
        folder: Path,
        times: WorkerTimes = HASTY,
        clock: Clock | None = None,
        **server: Any,
    ) -> None:
        self.folder = folder
        self.events: Events = []
        self.stop = asyncio.Event()
        self.config = config_of(folder, **server)
        self.program: tuple[str, ...] = (sys.executable, str(TINY))
        self.supervisor = Supervisor(self.config, self._command, clock or SystemClock(), times)
        for number in range(1, self.config.server.workers + 1):
            self.set_mood(number, "ready")

    def set_mood(self, number: int, mood: str) -> None:
        """Say how a worker behaves, mostly from its next start on."""
        new = self.folder / f"new-{number}"
        new.write_text(mood)
        new.rename(self.folder / f"mood-{number}")

    def told(self, name: str) -> Events:
        """Return the events of a name so far."""
        return [event for event in self.events if event["event"] == name]

    def pids(self, number: int) -> list[int]:
        """Return the processes that were the worker of a number, in turn."""
        return [each["pid"] for each in self.told("worker started") if each["worker"] == number]

    async def health(self, service: str = "readiness") -> bool:
        """Return what the operations port says."""
        port = self.supervisor.ops_port
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            answer = await stub.Check(health_pb2.HealthCheckRequest(service=service))
            return bool(answer.status == answer.SERVING)

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait until it is so."""
        async with asyncio.timeout(20):
            while not is_so():  # noqa: ASYNC110  # what is waited for is in another process
                await asyncio.sleep(0.01)

    async def until_health(self, *, ready: bool) -> None:
        """Wait until the operations port says so."""
        async with asyncio.timeout(20):
            while await self.health() != ready:  # noqa: ASYNC110  # as above
                await asyncio.sleep(0.01)

    def _command(self, number: int) -> tuple[str, ...]:
        return *self.program, str(self.folder / f"mood-{number}")


def config_of(folder: Path, **server: Any) -> Config:
    """Return a configuration of two workers that need nothing."""
    return Config.model_validate(
        {
            "server": {
                "listen": "127.0.0.1:0",
                "ops_listen": "127.0.0.1:0",
                "http_ops_listen": "127.0.0.1:0",
                "allow_plaintext_on_loopback": True,
                "workers": 2,
                "drain_delay_ms": 0,
                "grace_ms": 100,
                **server,
            },
            "store": {"url": "vault://signer/keys"},
            "vault": {"address": "http://127.0.0.1:1", "auth": "token-file", "token_file": "none"},
            "state": {"url": "valkey://127.0.0.1:1", "path": folder / "nonces.high-water"},
            "policy": {"file": "policy.yaml"},
            "audit": {"file": folder / "log" / "audit.jsonl"},
        }
    )


@asynccontextmanager
async def running(crew: Crew) -> AsyncIterator[Crew]:
    """Run the supervisor until the end of the block, and end it in order."""
    with capture_logs() as crew.events:
        async with crew.supervisor:
            run = asyncio.create_task(crew.supervisor.run(crew.stop))
            try:
                yield crew
            finally:
                crew.stop.set()
                async with asyncio.timeout(20):
                    await run
