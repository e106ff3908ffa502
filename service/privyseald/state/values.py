"""Values that survive a crash: read from memory, written to a file first.

Puts and deletes that arrive while a commit is under way share the next one.
"""

import asyncio
import sqlite3
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import structlog

from privyseald.clock import Clock
from privyseald.errors import StateUnavailable
from privyseald.state.memory import Entry, Memory
from privyseald.state.state import Value
from privyseald.state.values_file import Row, ValuesFile

_CAPACITY_BYTES = 128 * 1_048_576
_SWEEP_S = 10.0
# How far the wall clock may drift before the times in the file follow it.
_DRIFT_MS = 1_000
_log = structlog.get_logger("privyseald.state")


@dataclass(frozen=True, slots=True)
class _Change:
    """A put, or without data a delete, that waits for its commit."""

    name: str
    data: bytes | None
    version: int | None
    ttl_ms: int | None
    done: "asyncio.Future[int | None]"


class Values:
    """Values by name, in memory and in a file that one thread of its own writes.

    When those with a TTL take more than `capacity_bytes`, the oldest of them go early. TTLs run
    by the monotonic clock; across a restart by the wall clock.
    """

    def __init__(self, path: Path, clock: Clock, *, capacity_bytes: int = _CAPACITY_BYTES) -> None:
        """Open or make the file. Raises ConfigInvalid when that can't be."""
        self._clock = clock
        self._memory = Memory(capacity_bytes=capacity_bytes)
        self._offset_ms = self._wall_offset_ms()
        self._file = ValuesFile.open_path(path)
        try:
            self._version, rows = self._file.load()
            # Versions that stand in the file and count no more.
            self._gone = [gone for row in rows for gone in self._restore(row)]
            self._file.clear(self._take_gone())
        except BaseException:
            self._file.close()
            raise
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="privyseal-values")
        self._waiting: list[_Change] = []
        self._writing: asyncio.Task[None] | None = None
        self._sweep_timer: asyncio.TimerHandle | None = None

    def get(self, name: str) -> Value | None:
        """Return what stands there."""
        return self._memory.get(name, self._clock.monotonic_ms())

    def under(self, prefix: str) -> Mapping[str, Value]:
        """Return all values whose names begin so."""
        return self._memory.under(prefix, self._clock.monotonic_ms())

    async def put(
        self, name: str, data: bytes, version: int | None, ttl_ms: int | None
    ) -> int | None:
        """Write, if `version` stands there; it is on the disk when this returns."""
        return await self._change(name, bytes(data), version, ttl_ms)

    async def delete(self, name: str, version: int | None) -> bool:
        """Remove, if `version` stands there; it is off the disk when this returns."""
        return await self._change(name, None, version, None) is not None

    async def close(self) -> None:
        """Finish what is under way, and let the file go."""
        while self._writing is not None:
            await asyncio.wait([self._writing])
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
        await asyncio.get_running_loop().run_in_executor(self._thread, self._finish)
        self._thread.shutdown()

    def abandon(self) -> None:
        """Let the file go as it is, as the end of a process does."""
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
        self._thread.shutdown()
        self._file.close()

    async def _change(
        self, name: str, data: bytes | None, version: int | None, ttl_ms: int | None
    ) -> int | None:
        done: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Change(name, data, version, ttl_ms, done))
        self._start_writing()
        return await done

    def _start_writing(self) -> None:
        if self._writing is None:
            self._writing = asyncio.ensure_future(self._write())

    async def _write(self) -> None:
        try:
            while True:
                batch, self._waiting = self._waiting, []
                await self._commit([each for each in batch if not each.done.done()])
                if not self._waiting:
                    return
        finally:
            self._writing = None
            if self._waiting:
                self._start_writing()
            self._sweep_later()

    async def _commit(self, batch: list[_Change]) -> None:
        """Decide and write a batch, and answer each of its callers."""
        now_ms, shift_ms, gone = self._clock.monotonic_ms(), self._shift_ms(), self._take_gone()
        answers, changed = self._decide(batch, now_ms)
        replaced = [entry.value.version for entry in map(self._memory.find, changed) if entry]
        offset_ms = self._offset_ms + shift_ms
        rows = [_row(name, entry, now_ms, offset_ms) for name, entry in changed.items() if entry]
        try:
            if rows or replaced or gone or shift_ms:
                await asyncio.get_running_loop().run_in_executor(
                    self._thread, self._file.write, rows, replaced + gone, shift_ms
                )
        except sqlite3.Error as error:
            self._gone += gone
            # First: the log may be on the same disk.
            _refuse(batch)
            _log.error("values of the state can't be written", cause=error.sqlite_errorname)
            return
        self._offset_ms = offset_ms
        for name, entry in changed.items():
            self._memory.set(name, entry) if entry else self._memory.remove(name)
        self._gone += self._memory.sweep(now_ms)
        for change, answer in zip(batch, answers, strict=True):
            if not change.done.done():
                change.done.set_result(answer)

    def _decide(
        self, batch: list[_Change], now_ms: int
    ) -> tuple[list[int | None], dict[str, Entry | None]]:
        """Return the answer to each change, and what stands under the changed names then."""
        answers: list[int | None] = []
        changed: dict[str, Entry | None] = {}
        for change in batch:
            name = change.name
            entry = changed[name] if name in changed else self._memory.find(name)
            stands = entry.value.version if entry and not entry.is_over(now_ms) else 0
            if change.version not in (None, stands):
                answers.append(None)
                continue
            if change.data is None:
                changed[name] = None
                answers.append(stands)
                continue
            self._version += 1
            end_ms = None if change.ttl_ms is None else now_ms + change.ttl_ms
            changed[name] = Entry(Value(change.data, self._version), end_ms)
            answers.append(self._version)
        return answers, changed

    def _sweep_later(self) -> None:
        if self._memory.is_ending and self._sweep_timer is None:
            loop = asyncio.get_running_loop()
            self._sweep_timer = loop.call_later(_SWEEP_S, self._sweep)

    def _sweep(self) -> None:
        self._sweep_timer = None
        self._gone += self._memory.sweep(self._clock.monotonic_ms())
        if self._gone or self._shift_ms():
            self._start_writing()
        else:
            self._sweep_later()

    def _restore(self, row: Row) -> list[int]:
        """Take a row of the file, and return the versions there that count no more."""
        now_ms, end_ms = self._clock.monotonic_ms(), None
        if row.expire_ms is not None:
            # However the clock was set meanwhile, nothing lives longer than it was given.
            left_ms = min(row.expire_ms - self._offset_ms - now_ms, row.ttl_ms or 0)
            if left_ms <= 0:
                return [row.version]
            end_ms = now_ms + left_ms
        before = self._memory.find(row.name)
        self._memory.set(row.name, Entry(Value(row.data, row.version), end_ms))
        replaced = [before.value.version] if before else []
        return replaced + self._memory.sweep(now_ms)

    def _take_gone(self) -> list[int]:
        gone, self._gone = self._gone, []
        return gone

    def _wall_offset_ms(self) -> int:
        return self._clock.time_us() // 1_000 - self._clock.monotonic_ms()

    def _shift_ms(self) -> int:
        """Return by how much the wall clock was set since the times in the file were written."""
        shift_ms = self._wall_offset_ms() - self._offset_ms
        return shift_ms if abs(shift_ms) > _DRIFT_MS else 0

    def _finish(self) -> None:
        try:
            self._file.write([], self._gone, self._shift_ms())
        except sqlite3.Error as error:
            _log.warning("values of the state not tidied", cause=error.sqlite_errorname)
        finally:
            self._file.close()


def _row(name: str, entry: Entry, now_ms: int, offset_ms: int) -> Row:
    value, end_ms = entry.value, entry.end_ms
    if end_ms is None:
        return Row(value.version, name, None, None, value.data)
    return Row(value.version, name, end_ms + offset_ms, end_ms - now_ms, value.data)


def _refuse(batch: list[_Change]) -> None:
    for change in batch:
        if not change.done.done():
            change.done.set_exception(
                StateUnavailable(
                    "the file of values can't be written, so nothing can be remembered across a "
                    "restart; an operator must look at the disk of state.path",
                    retry_after_ms=1_000,
                )
            )
