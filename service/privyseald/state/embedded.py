"""State in one process: counters in memory, and a high-water file that a crash can't undo.

The file always holds a mark at or above every counter value that was handed out, so that
a restart after a clock step back never hands one out again. Marks are written ahead, by
the caller's slack, so that not every step waits for the disk.
"""

import asyncio
import fcntl
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from privyseald.config_error import ConfigInvalid
from privyseald.errors import StateUnavailable

_LINE = re.compile(r"(\S{1,400}) ([0-9]{1,19})")
_COMPACT_AFTER_LINES = 20_000


@dataclass(slots=True)
class _Counter:
    last: int = 0
    mark: int = 0
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)
    ahead: asyncio.Task[None] | None = None


class EmbeddedState:
    """Implements `State` for one process, and keeps others out by a lock on the file."""

    def __init__(self, path: Path, descriptor: int, counters: dict[str, _Counter]) -> None:
        self._path = path
        self._file = descriptor
        self._counters = counters
        self._lines = 0
        self._disk = asyncio.Lock()

    @classmethod
    def open_path(cls, path: Path) -> "EmbeddedState":
        """Open or make the high-water file. Raises ConfigInvalid when that can't be."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigInvalid(
                f"state.path: {path} can't be opened ({error.strerror}); "
                "give a path in a directory that this user may write"
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            raise ConfigInvalid(
                f"state.path: {path} is in use by another process; the embedded state serves "
                "one process, so stop the other or give this one a path of its own"
            ) from error
        try:
            counters = _read(path)
        except ConfigInvalid:
            os.close(descriptor)
            raise
        state = cls(path, descriptor, counters)
        state._compact()
        return state

    async def advance(self, name: str, floor: int, slack: int) -> int:
        """Set the counter to `max(floor, last + 1)` and return it."""
        counter = self._counters.get(name)
        if counter is None:
            counter = self._counters[name] = _Counter()
        while (value := max(floor, counter.last + 1)) > counter.mark:
            async with counter.writing:
                if max(floor, counter.last + 1) > counter.mark:
                    await self._raise_mark(name, counter, max(floor, counter.last + 1) + slack)
        counter.last = value
        if counter.mark - value < slack // 2 and counter.ahead is None:
            counter.ahead = asyncio.create_task(self._ahead(name, counter, value + slack))
        return value

    async def last(self, name: str) -> int:
        """Return the counter's value, 0 when it never advanced."""
        counter = self._counters.get(name)
        return counter.last if counter else 0

    async def close(self) -> None:
        """Write the exact values, so that an orderly restart skips nothing, and let go."""
        tasks = [counter.ahead for counter in self._counters.values() if counter.ahead]
        await asyncio.gather(*tasks, return_exceptions=True)
        for counter in self._counters.values():
            counter.mark = counter.last
        try:
            self._compact()
        finally:
            os.close(self._file)

    async def _ahead(self, name: str, counter: _Counter, mark: int) -> None:
        try:
            async with counter.writing:
                if mark > counter.mark:
                    await self._raise_mark(name, counter, mark)
        except StateUnavailable:
            # The step that next needs the mark tries again, and tells its caller.
            return
        finally:
            counter.ahead = None

    async def _raise_mark(self, name: str, counter: _Counter, mark: int) -> None:
        try:
            async with self._disk:
                await asyncio.to_thread(_append, self._file, f"{name} {mark}\n".encode())
                counter.mark = mark
                self._lines += 1
                if self._lines > _COMPACT_AFTER_LINES:
                    await asyncio.to_thread(self._compact)
        except OSError as error:
            raise StateUnavailable(
                "the high-water file can't be written, so no nonce can be given; "
                "an operator must look at the disk of state.path",
                retry_after_ms=1_000,
            ) from error

    def _compact(self) -> None:
        """Write one line a counter into the same file, which keeps its lock.

        A copy beside it is synced before the old lines go, so that a crash at any point
        leaves every mark readable.
        """
        lines = "".join(
            f"{name} {counter.mark}\n" for name, counter in sorted(self._counters.items())
        ).encode()
        spare = self._path.with_name(self._path.name + ".new")
        with spare.open("wb") as file:
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, lines, 0)
        os.fdatasync(self._file)
        spare.unlink()
        os.lseek(self._file, 0, os.SEEK_END)
        self._lines = 0


def _append(descriptor: int, line: bytes) -> None:
    os.write(descriptor, line)
    os.fdatasync(descriptor)


def _read(path: Path) -> dict[str, _Counter]:
    """Return the highest mark of each counter, from the file and from an unfinished rewrite."""
    counters: dict[str, _Counter] = {}
    for source in (path, path.with_name(path.name + ".new")):
        if not source.exists():
            continue
        text = source.read_text("utf-8", errors="replace")
        lines = text.split("\n")
        # What follows the last line break was cut off by a crash before it was synced, so
        # no value at or below it was handed out.
        for number, line in enumerate(lines[:-1], start=1):
            match = _LINE.fullmatch(line)
            if match is None:
                raise ConfigInvalid(
                    f"state.path: line {number} of {source} is damaged; restore the file, or "
                    "remove it once every nonce that was given out lies behind the clock"
                )
            counter = counters.setdefault(match[1], _Counter())
            counter.mark = max(counter.mark, int(match[2]))
            counter.last = counter.mark
    return counters
