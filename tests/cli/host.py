"""A host on which `privyseal serve` runs several workers, as its callers and operators see it."""

import asyncio
import json
import os
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import orjson

from bao import BaoServer
from replicas import shared
from served import Served
from service import OPERATOR, WHITEBIT, Stubs, import_sandbox_key, sign_request
from valkey_server import ValkeyServer

WORKERS = (1, 2)
_PATIENCE_S = 30.0


class Host(Served):
    """Two workers over a store in Vault and a state in Valkey. Use `async with`."""

    def __init__(
        self, folder: Path, bao: BaoServer, valkey: ValkeyServer, prefix: str, **server: Any
    ) -> None:
        super().__init__(
            folder,
            **shared(folder, bao, prefix, valkey.url),
            server={"workers": len(WORKERS), "drain_delay_ms": 0, "grace_ms": 500, **server},
        )

    def events(self, name: str = "") -> list[dict[str, Any]]:
        """Return what was logged, all of it or of one name."""
        lines = (self.folder / "serve.log").read_text().splitlines()
        events = [json.loads(line) for line in lines if line.startswith("{") and line[-1] == "}"]
        return [event for event in events if name in ("", event["event"])]

    def lives(self, worker: int) -> list[int]:
        """Return the processes that were this worker, in turn."""
        return [each["pid"] for each in self.events("worker started") if each["worker"] == worker]

    def audit(self, worker: int) -> list[dict[str, Any]]:
        """Return the audit lines of a worker."""
        file = self.folder / f"audit-worker-{worker}.jsonl"
        return [orjson.loads(line) for line in file.read_bytes().splitlines()]

    def signed(self, worker: int) -> set[str]:
        """Return the request ids that a worker has signed."""
        return {line["request_id"] for line in self.audit(worker) if line.get("request_id")}

    async def desks(self, number: int) -> list["Desk"]:
        """Return desks with a connection each, one of them at least at each worker."""
        desks = [Desk(await self.as_caller(OPERATOR)) for _ in range(number)]
        async with asyncio.timeout(_PATIENCE_S):
            while True:
                for desk in desks:
                    await desk.sign()
                    desk.worker = next(each for each in WORKERS if desk.last in self.signed(each))
                if {desk.worker for desk in desks} == set(WORKERS):
                    return desks
                desks[0] = Desk(await self.as_caller(OPERATOR))


@dataclass(eq=False)
class Desk:
    """Who signs over and over, on one connection."""

    stubs: Stubs
    worker: int = 0
    last: str = ""
    nonces: list[int] = field(default_factory=list)
    failures: list[grpc.StatusCode] = field(default_factory=list)

    async def sign(self) -> None:
        """Sign once."""
        self.last = str(uuid.uuid4())
        request = sign_request("desk-1", "POST", "/api/v4/orders", request_id=self.last)
        self.nonces.append(int((await self.stubs.signing.Sign(request, timeout=20)).nonce))

    async def sign_on(self, stop: asyncio.Event) -> None:
        """Sign until `stop`, and go on after a failure; the channel connects anew by itself."""
        while not stop.is_set():
            try:
                await self.sign()
            except grpc.aio.AioRpcError as error:
                self.failures.append(error.code())
                await asyncio.sleep(0.02)


@asynccontextmanager
async def load(desks: Sequence[Desk]) -> AsyncIterator[None]:
    """Let all desks sign until the end of the block."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for desk in desks:
            group.create_task(desk.sign_on(stop))
        try:
            yield
        finally:
            stop.set()


async def import_desk_key(host: Host) -> None:
    """Import the key that desks sign with."""
    await import_sandbox_key(await host.as_caller(OPERATOR), "desk-1", WHITEBIT)


async def until(is_so: Callable[[], bool]) -> None:
    """Wait until it is so; fail the test when it never is."""
    async with asyncio.timeout(_PATIENCE_S):
        while not is_so():  # noqa: ASYNC110  # what is waited for is in another process
            await asyncio.sleep(0.02)


async def until_health(host: Host, *, ready: bool) -> None:
    """Wait until the operations port says so."""
    async with asyncio.timeout(_PATIENCE_S):
        while await host.health() != ready:  # noqa: ASYNC110  # as above
            await asyncio.sleep(0.02)


def is_running(pid: int) -> bool:
    """Whether a process is there and has not ended."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


async def until_read(fifo: Path) -> int:
    """Wait until somebody reads the FIFO, and let him wait for ever; return our end of it."""
    async with asyncio.timeout(_PATIENCE_S):
        while True:
            try:
                return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:
                await asyncio.sleep(0.02)
