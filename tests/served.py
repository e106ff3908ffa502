"""`privyseal serve` as a process of its own, with the files that a `Service` would have."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from bao import free_port
from service import Service, Stubs

_START_S = 20.0
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Served:
    """A server process on ports of its own; `start_s` is the time it took to be ready.

    Use `async with`.
    """

    def __init__(self, folder: Path, **sections: Any) -> None:
        self.port, self.ops_port = free_port(), free_port()
        self.start_s = 0.0
        self.program: tuple[str, ...] = ("-m", "privyseald")
        self.folder = folder
        self._service = Service(folder, **sections)
        self._open = AsyncExitStack()
        self.process: subprocess.Popen[bytes]

    async def __aenter__(self) -> Self:
        await self._open.enter_async_context(self._service.sandbox)
        config = self._service.config().effective()
        config["server"]["listen"] = f"127.0.0.1:{self.port}"
        config["server"]["ops_listen"] = f"127.0.0.1:{self.ops_port}"
        config["server"]["http_ops_listen"] = "127.0.0.1:0"
        (self.folder / "privyseal.toml").write_text(_toml(config))
        start_s = time.monotonic()
        self.launch()
        self._open.callback(self._stop)
        try:
            await self._ready()
        except TimeoutError:
            await self._open.aclose()
            raise
        self.start_s = time.monotonic() - start_s
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    @property
    def pid(self) -> int:
        """The server's process."""
        return self.process.pid

    @property
    def rss(self) -> int:
        """The bytes of memory that the process holds."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * _PAGE

    async def as_caller(self, caller: str) -> Stubs:
        """Return stubs on a connection of its own, as this caller."""
        pem = self._service.certificate(caller)
        credentials = grpc.ssl_channel_credentials(
            self._service.ca_certificate, pem.private_key, pem.certificate
        )
        channel = grpc.aio.secure_channel(
            f"localhost:{self.port}", credentials, (("grpc.use_local_subchannel_pool", 1),)
        )
        self._open.push_async_callback(channel.close)
        return Stubs(channel)

    def signal(self, number: int) -> int:
        """Send a signal that ends the process, and return how it ended."""
        self.process.send_signal(number)
        return self.process.wait(20)

    def launch(self) -> None:
        """Start the process, and wait for nothing; again where it was killed."""
        # Without the environment, so that nothing measures along.
        environment = {
            name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ
        }
        with (self.folder / "serve.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *self.program, "serve", "--config", "privyseal.toml"],
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    async def health(self, name: str = "readiness") -> bool:
        """Whether the operations port says that this is so; not if nobody is there."""
        async with grpc.aio.insecure_channel(f"127.0.0.1:{self.ops_port}") as channel:
            health: Any = health_pb2_grpc.HealthStub(channel)
            try:
                answer = await health.Check(health_pb2.HealthCheckRequest(service=name))
            except grpc.aio.AioRpcError:
                return False
            return bool(answer.status == answer.SERVING)

    async def _ready(self) -> None:
        deadline_s = time.monotonic() + _START_S
        while time.monotonic() < deadline_s and self.process.poll() is None:
            if await self.health():
                return
            await asyncio.sleep(0.02)
        raise TimeoutError(f"not ready\n{(self.folder / 'serve.log').read_text()[-2_000:]}")


def _toml(settings: dict[str, Any], path: str = "") -> str:
    """Return the settings as TOML; JSON's texts, numbers and truths are TOML's too."""
    plain = {name: value for name, value in settings.items() if not isinstance(value, dict)}
    lines = [f"[{path}]\n"] if path else []
    lines += [f"{name} = {json.dumps(value)}\n" for name, value in plain.items()]
    for name, value in settings.items():
        if isinstance(value, dict):
            lines.append(_toml(value, f"{path}.{name}".strip(".")))
    return "".join(lines)
