"""State in one process: counters in memory, and a high-water file that a crash can't undo.

The file always holds a mark at or above every counter value that was handed out, so that
a restart after a clock step back never hands one out again. Marks are written ahead, by
the caller's slack, so that not every step waits for the disk.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

import structlog

from privyseald.clock import Clock, SystemClock
from privyseald.errors import StateUnavailable
from privyseald.state.high_water_file import HighWaterFile
from privyseald.state.memory import Memory, Signals
from privyseald.state.state import Step, Value

_log = structlog.get_logger("privyseald.state")


@dataclass(slots=True)
class _Counter:
    last: int = 0
    mark: int = 0
    writing: asyncio.Task[None] | None = None


class EmbeddedState:
    """Implements `State` for one process. The file is written by one thread of its own."""

    def __init__(self, file: HighWaterFile, clock: Clock | None = None) -> None:
        self._file = file
        self._memory = Memory(clock or SystemClock())
        self._signals = Signals()
        self._counters = {name: _Counter(mark, mark) for name, mark in file.marks.items()}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="privyseal-state")
        self._is_closed = False

    @classmethod
    def open_path(cls, path: Path, clock: Clock | None = None) -> "EmbeddedState":
        """Open or make the high-water file. Raises ConfigInvalid when that can't be."""
        return cls(HighWaterFile.open_path(path), clock)

    async def advance(self, name: str, step: Step) -> int:
        """Return `max(floor, last + 1)`, and set the counter to it up to `ceiling`."""
        floor, ceiling, slack = step.floor, step.ceiling, step.slack
        counter = self._counters.get(name)
        if counter is None:
            counter = self._counters[name] = _Counter()
        while (value := max(floor, counter.last + 1)) <= ceiling:
            if value <= counter.mark:
                counter.last = value
                if counter.mark - value < slack // 2 and counter.writing is None:
                    self._write(name, counter, value + slack)
                return value
            # The write goes on when its caller goes away, and others may wait for it.
            await asyncio.shield(counter.writing or self._write(name, counter, value + slack))
        return value

    async def resync(self, name: str, target: int) -> tuple[int, int]:
        """Bring the counter to `target`, as far as no value can be given twice."""
        raise NotImplementedError

    async def get(self, name: str) -> Value | None:
        """Return what stands there."""
        return self._memory.get(name)

    async def put(
        self, name: str, data: bytes, *, version: int | None = None, ttl_ms: int | None = None
    ) -> int | None:
        """Write, if `version` stands there."""
        return self._memory.put(name, data, version, ttl_ms)

    async def delete(self, name: str, *, version: int | None = None) -> bool:
        """Remove, if `version` stands there."""
        return self._memory.delete(name, version)

    async def list(self, prefix: str) -> Mapping[str, Value]:
        """Return all values whose names begin so."""
        return self._memory.list(prefix)

    async def signal(self, name: str) -> None:
        """Tell all who listen in this process."""
        self._signals.send(name)

    def signals(self) -> AbstractAsyncContextManager[AsyncIterator[str]]:
        """Listen."""
        return self._signals.listen()

    async def check(self) -> None:
        """Raise StateUnavailable when this state is closed."""
        if self._is_closed:
            raise StateUnavailable("this server is stopping, so no nonce can be given")

    async def close(self) -> None:
        """Write the exact values, so that an orderly restart skips nothing, and let go."""
        if self._is_closed:
            return
        self._is_closed = True
        for counter in self._counters.values():
            counter.mark = counter.last
        exact = {name: counter.last for name, counter in self._counters.items() if counter.last}
        await asyncio.get_running_loop().run_in_executor(self._thread, self._finish, exact)
        self._thread.shutdown()

    def _write(self, name: str, counter: _Counter, mark: int) -> asyncio.Task[None]:
        counter.writing = asyncio.ensure_future(self._raise_mark(name, counter, mark))
        # A write ahead has nobody who waits: the step that next needs the mark tries again.
        counter.writing.add_done_callback(lambda done: done.cancelled() or done.exception())
        return counter.writing

    async def _raise_mark(self, name: str, counter: _Counter, mark: int) -> None:
        try:
            if not self._is_closed:
                await asyncio.get_running_loop().run_in_executor(
                    self._thread, self._file.put, name, mark
                )
        except OSError as error:
            raise StateUnavailable(
                "the high-water file can't be written, so no nonce can be given; "
                "an operator must look at the disk of state.path",
                retry_after_ms=1_000,
            ) from error
        finally:
            counter.writing = None
        if self._is_closed:
            raise StateUnavailable("this server is stopping, so no nonce can be given")
        counter.mark = mark

    def _finish(self, exact: dict[str, int]) -> None:
        try:
            self._file.rewrite(exact)
        except OSError as error:
            # The marks in the file are at or above the exact values.
            _log.warning("high-water file not rewritten", cause=error.strerror)
        finally:
            self._file.close()
