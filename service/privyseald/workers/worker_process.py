"""One life of a worker, as its supervisor sees it."""

import asyncio
import signal
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import Self

import structlog

from privyseald.config import Config
from privyseald.workers.report import LONGEST_LINE, Report

_LINGER_S = 10.0
_log = structlog.get_logger("privyseald.workers")


class WorkerProcess:
    """A fresh interpreter, never a fork: it inherits no thread, no lock and no memory.

    It is in a process group of its own, so that Ctrl-C reaches the supervisor alone, and sits
    at one end of a socket whose other end closes when the supervisor ends, however that does.
    """

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self._has_reported = False
        self._metrics: asyncio.Future[bytes] | None = None

    @classmethod
    async def start(cls, command: Sequence[str], config: Config) -> Self:
        """Start it, with this configuration. Raises OSError where the system starts none."""
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                process = await asyncio.create_subprocess_exec(
                    *command, stdin=theirs.fileno(), process_group=0
                )
        except BaseException:
            ours.close()
            raise
        reader, writer = await asyncio.open_unix_connection(sock=ours, limit=LONGEST_LINE)
        writer.write(config.model_dump_json().encode() + b"\n")
        return cls(process, reader, writer)

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    async def next_report(self, limit_ms: int) -> Report | None:
        """Return what it says next; None when it has ended. One that says nothing is killed."""
        try:
            async with asyncio.timeout(limit_ms / 1_000):
                line = await self._reader.readline()
                self._has_reported = True
                report = Report.of_line(line) if line else None
                if report is not None and report.metrics:
                    self._take(report.metrics.encode())
                return report
        except TimeoutError:
            _log.error("worker hangs", pid=self.pid, silent_ms=limit_ms)
        except (ConnectionError, ValueError):
            # What it was about to say was cut off by its end.
            pass
        self.kill()
        return None

    async def metrics(self, limit_ms: int) -> bytes:
        """Return its metrics, empty where it does not tell them in time. They come as a report, so
        somebody must wait for those.
        """
        if not self._has_reported:
            return b""
        if self._metrics is None:
            self._metrics = asyncio.get_running_loop().create_future()
            # Any byte asks.
            self._writer.write(b"m")
        answer = self._metrics
        try:
            async with asyncio.timeout(limit_ms / 1_000):
                return await asyncio.shield(answer)
        except TimeoutError:
            if self._metrics is answer:
                self._metrics = None
            return b""

    def _take(self, metrics: bytes) -> None:
        answer, self._metrics = self._metrics, None
        if answer is not None and not answer.done():
            answer.set_result(metrics)

    async def ended(self) -> str:
        """Return how it ended, once it has. One that has closed its end and stays is killed."""
        try:
            async with asyncio.timeout(_LINGER_S):
                code = await self._process.wait()
        except TimeoutError:
            self.kill()
            code = await self._process.wait()
        self._writer.close()
        return f"exit code {code}" if code >= 0 else signal.Signals(-code).name

    def terminate(self) -> None:
        """Have it drain and end. One that is still starting has nothing to drain."""
        if not self._has_reported:
            self.kill()
        with suppress(ProcessLookupError):
            self._process.terminate()

    def abandon(self) -> None:
        """Have it end as it does without a supervisor: soon, and with no drain delay."""
        if not self._has_reported:
            self.kill()
        self._writer.write_eof()

    def kill(self) -> None:
        """End it now."""
        with suppress(ProcessLookupError):
            self._process.kill()
