"""State in one process: counters and values in memory, in files that a crash can't undo.

The high-water file always holds a mark at or above every counter value that was handed out, so
that a restart after a clock step back never hands one out again. Marks are written ahead, by
the caller's slack, so that not every step waits for the disk. Values are on the disk when they
are written: see `Values`. What was spent follows them by a second: see `SpentValues`.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import structlog

from privyseald.clock import Clock, SystemClock
from privyseald.errors import StateUnavailable
from privyseald.state.counter import Counter
from privyseald.state.high_water_file import HighWaterFile
from privyseald.state.local_signals import LocalSignals
from privyseald.state.marked_counter import MarkedCounter
from privyseald.state.spent_values import SpentValues
from privyseald.state.state import Charge, Shortage, Step, Value
from privyseald.state.values import Values

_log = structlog.get_logger("privyseald.state")


class EmbeddedState:
    """Implements `State` for one process. Each file is written by one thread of its own."""

    def __init__(self, file: HighWaterFile, values: Values, clock: Clock) -> None:
        self._file = file
        self._values = values
        self._spent = SpentValues(values, clock)
        self._signals = LocalSignals()
        self._counters = {name: MarkedCounter(mark) for name, mark in file.marks.items()}
        self._writing: dict[str, asyncio.Task[None]] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="privyseal-state")
        self._is_closed = False

    @classmethod
    def open_path(cls, path: Path, clock: Clock | None = None) -> "EmbeddedState":
        """Open or make the high-water file, and the file of values beside it. Raises
        ConfigInvalid when that can't be.
        """
        clock = clock or SystemClock()
        file = HighWaterFile.open_path(path)
        try:
            values = Values(file.beside(".values"), clock)
        except BaseException:
            file.close()
            raise
        return cls(file, values, clock)

    async def advance(self, name: str, step: Step) -> int:
        """Return the counter's next value, and set the counter to it up to `ceiling`."""
        counter = self._counters.get(name)
        if counter is None:
            counter = self._counters[name] = MarkedCounter()
        while True:
            value, record = counter.advance(step)
            if record is None:
                if counter.is_short(step.slack) and name not in self._writing:
                    self._write(name, counter, counter.ahead(step.slack))
                return value
            # The write goes on when its caller goes away, and others may wait for it.
            await asyncio.shield(self._writing.get(name) or self._write(name, counter, record))

    async def resync(self, name: str, target: int) -> tuple[int, int]:
        """Bring the counter to `target`, as far as no value can be given twice."""
        while (writing := self._writing.get(name)) is not None:
            await asyncio.wait([writing])
        await self.check()
        counter = self._counters.setdefault(name, MarkedCounter())
        before, record = counter.exact.last, counter.resync(target)
        if record is None:
            counter.take_resync(target, None)
        else:
            await asyncio.shield(self._write(name, counter, record, target))
        return before, counter.exact.last

    async def get(self, name: str) -> Value | None:
        """Return what stands there."""
        await self.check()
        return self._values.get(name)

    async def put(
        self, name: str, data: bytes, *, version: int | None = None, ttl_ms: int | None = None
    ) -> int | None:
        """Write, if `version` stands there."""
        await self.check()
        return await self._values.put(name, data, version, ttl_ms)

    async def delete(self, name: str, *, version: int | None = None) -> bool:
        """Remove, if `version` stands there."""
        await self.check()
        return await self._values.delete(name, version)

    async def list(self, prefix: str) -> Mapping[str, Value]:
        """Return all values whose names begin so."""
        await self.check()
        return self._values.under(prefix)

    async def spend(self, charges: Sequence[Charge], *, look: bool = False) -> Shortage | None:
        """Spend all charges, or nothing of them."""
        await self.check()
        return self._spent.spend(charges, look=look)

    async def signal(self, name: str) -> None:
        """Tell all who listen in this process."""
        await self.check()
        self._signals.send(name)

    def signals(self) -> AbstractAsyncContextManager[AsyncIterator[str]]:
        """Listen."""
        return self._signals.listen()

    async def check(self) -> None:
        """Raise StateUnavailable when this state is closed."""
        if self._is_closed:
            raise _stopping()

    async def close(self) -> None:
        """Write the exact counters, so that an orderly restart skips nothing, and let go."""
        if self._is_closed:
            return
        self._is_closed = True
        self._signals.close()
        await self._spent.close()
        await self._values.close()
        exact = {
            name: counter.exact for name, counter in self._counters.items() if counter.exact.last
        }
        for counter in self._counters.values():
            # What would have to be written is refused from here on: so is all.
            counter.written = counter.exact
        await asyncio.get_running_loop().run_in_executor(self._thread, self._finish, exact)
        self._thread.shutdown()

    def _write(
        self, name: str, counter: MarkedCounter, record: Counter, target: int | None = None
    ) -> asyncio.Task[None]:
        task = asyncio.ensure_future(self._put(name, counter, record, target))
        self._writing[name] = task
        # A write ahead has nobody who waits: the step that next needs the mark tries again.
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return task

    async def _put(
        self, name: str, counter: MarkedCounter, record: Counter, target: int | None
    ) -> None:
        """Write a record, and take it, with the resync to `target` that it may be of."""
        try:
            if not self._is_closed:
                await asyncio.get_running_loop().run_in_executor(
                    self._thread, self._file.put, name, record
                )
        except OSError as error:
            raise StateUnavailable(
                "the high-water file can't be written, so no nonce can be given; "
                "an operator must look at the disk of state.path",
                retry_after_ms=1_000,
            ) from error
        finally:
            del self._writing[name]
        if self._is_closed:
            raise _stopping()
        if target is None:
            counter.written = record
        else:
            counter.take_resync(target, record)

    def _finish(self, exact: dict[str, Counter]) -> None:
        try:
            self._file.rewrite(exact)
        except OSError as error:
            # What stands in the file covers all values that were given.
            _log.warning("high-water file not rewritten", cause=error.strerror)
        finally:
            self._file.close()


def _stopping() -> StateUnavailable:
    return StateUnavailable("this server is stopping, so its state can't be used any more")
