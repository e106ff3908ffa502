"""Several workers on one host: a process that starts them, watches them and ends them.

It holds no secret and asks neither Vault nor the state: what could stop a worker can't stop it.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import Self

import structlog

from privyseald.clock import Clock
from privyseald.config import Config
from privyseald.config_error import ConfigInvalid
from privyseald.rpc.health import Health
from privyseald.rpc.ops_server import OpsServer
from privyseald.rpc.procedures import services
from privyseald.telemetry.http_door import HttpDoor
from privyseald.telemetry.ops_paths import is_off, ops_paths
from privyseald.workers.reserved_port import ReservedPort
from privyseald.workers.scrape import Scrape
from privyseald.workers.worker_process import WorkerProcess

_log = structlog.get_logger("privyseald.workers")


@dataclass(frozen=True, slots=True)
class WorkerTimes:
    """How soon a worker is started again, how long it may say nothing, and how long it may
    take to end beyond drain delay and grace.
    """

    first_pause_ms: int = 1_000
    longest_pause_ms: int = 30_000
    good_life_ms: int = 60_000
    start_ms: int = 60_000
    silence_ms: int = 10_000
    last_wait_ms: int = 60_000


class Supervisor:
    """Keeps `server.workers` processes on one port. Use `async with`, then `run`.

    `command` is what starts the worker of a number. Live while it can supervise. Ready when all
    workers are: each takes its share of new connections, whether it is ready or not.
    """

    def __init__(
        self,
        config: Config,
        command: Callable[[int], Sequence[str]],
        clock: Clock,
        times: WorkerTimes | None = None,
    ) -> None:
        self._config = config
        self._command = command
        self._clock = clock
        self._times = times or WorkerTimes()
        self._numbers = range(1, config.server.workers + 1)
        self._health = Health(services())
        self._alive: dict[int, WorkerProcess] = {}
        self._ready: set[int] = set()
        self._scrape = Scrape(self._numbers, self._alive, self._ready)
        self._ending = asyncio.Event()
        self._open = AsyncExitStack()
        self._port: ReservedPort
        self._token_port: ReservedPort | None = None
        self.ops_port = 0
        self.http_port = 0

    async def __aenter__(self) -> Self:
        """Take all ports. Raises ConfigInvalid."""
        async with AsyncExitStack() as opened:
            self._port = ReservedPort.take(self._config.server.listen)
            opened.callback(self._port.close)
            jwt = self._config.server.jwt
            if jwt is not None and jwt.listen is not None:
                self._token_port = ReservedPort.take(jwt.listen, "server.jwt.listen")
                opened.callback(self._token_port.close)
            ops = OpsServer(self._config.server.ops_listen, self._health)
            opened.push_async_callback(ops.stop)
            await self._health.begin()
            await ops.start()
            self.ops_port = ops.port
            listen = self._config.server.http_ops_listen
            if not is_off(listen):
                paths = ops_paths(
                    self._scrape.text,
                    lambda: self._health.is_ready,
                    self._scrape.checks,
                    self._clock,
                )
                door = await HttpDoor.open("server.http_ops_listen", listen, paths)
                opened.push_async_callback(door.close)
                self.http_port = door.port
            self._open = opened.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    @property
    def port(self) -> int:
        """The port that the workers listen on."""
        return self._port.number

    @property
    def token_port(self) -> int:
        """The port for callers with a token alone; 0 where there is none."""
        return self._token_port.number if self._token_port else 0

    async def run(self, stop: asyncio.Event) -> None:
        """Keep the workers going until `stop`, and end them. A second signal changes nothing.

        Raises ConfigInvalid, with its words, when a worker finds the configuration wrong at its
        first start.
        """
        keepers = [asyncio.create_task(self._keep(number)) for number in self._numbers]
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([*keepers, stopping], return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            await self._end(keepers, in_haste=not stop.is_set())
        for outcome in await asyncio.gather(*keepers, return_exceptions=True):
            if outcome is not None:
                raise outcome

    async def _keep(self, number: int) -> None:
        """Let the worker live, again and again."""
        config = self._reserved()
        times, pause_ms, has_served = self._times, 0, False
        while not self._ending.is_set():
            begun_ms = self._clock.monotonic_ms()
            cause, invalid, served = await self._live(number, config)
            has_served = has_served or served
            if invalid and not has_served:
                raise ConfigInvalid(invalid)
            if self._ending.is_set():
                return
            if self._clock.monotonic_ms() - begun_ms >= times.good_life_ms:
                pause_ms = 0
            self._scrape.deaths += 1
            pause_ms = min(2 * pause_ms or times.first_pause_ms, times.longest_pause_ms)
            _log.error("worker died", worker=number, cause=invalid or cause, again_in_ms=pause_ms)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_ms / 1_000):
                    await self._ending.wait()

    def _reserved(self) -> Config:
        """Return the configuration with the ports that were taken."""
        server = self._config.server.model_copy(update={"listen": self._port.address})
        if server.jwt is not None and self._token_port is not None:
            jwt = server.jwt.model_copy(update={"listen": self._token_port.address})
            server = server.model_copy(update={"jwt": jwt})
        return self._config.model_copy(update={"server": server})

    async def _live(self, number: int, config: Config) -> tuple[str, str, bool]:
        """Return how one life ended, what it said against its configuration, and whether it
        served.
        """
        try:
            worker = await WorkerProcess.start(self._command(number), config)
        except OSError as error:
            return f"not started: {error.strerror}", "", False
        self._alive[number] = worker
        _log.info("worker started", worker=number, pid=worker.pid)
        if self._ending.is_set():
            worker.terminate()
        invalid, served = "", False
        limit_ms = self._times.start_ms
        while report := await worker.next_report(limit_ms):
            limit_ms = self._times.silence_ms
            invalid = report.invalid
            served = served or not invalid
            await self._note(number, ready=report.is_ready)
        await self._note(number, ready=False)
        cause = await worker.ended()
        del self._alive[number]
        return cause, invalid, served

    async def _note(self, number: int, *, ready: bool) -> None:
        """Note whether a worker is ready, and say it of the whole."""
        (self._ready.add if ready else self._ready.discard)(number)
        all_ready = len(self._ready) == len(self._numbers) and not self._ending.is_set()
        if all_ready != self._health.is_ready:
            await self._health.set_ready(ready=all_ready)
            _log.info("ready" if all_ready else "not ready", workers=sorted(self._ready))

    async def _end(self, keepers: list["asyncio.Task[None]"], *, in_haste: bool) -> None:
        """End all workers: in order, or in haste where they never served as a whole."""
        self._ending.set()
        await self._health.set_ready(ready=False)
        for worker in self._alive.values():
            if in_haste:
                worker.abandon()
            else:
                worker.terminate()
        server = self._config.server
        longest_ms = server.drain_delay_ms + server.grace_ms + self._times.last_wait_ms
        _, late = await asyncio.wait(keepers, timeout=longest_ms / 1_000)
        if late:
            _log.error("workers killed", workers=sorted(self._alive), after_ms=longest_ms)
            for worker in self._alive.values():
                worker.kill()
            await asyncio.wait(late)
