"""A file of high-water marks that neither a crash nor a full disk can undo.

Each line is a name and a mark, up to which values may have been given; the highest mark of a
name counts. A line of seven words says all that a `Counter` is made of, and stands for all lines
before it. A line stands once it is synced, so what follows the last line break after a crash
never counted for anybody.
"""

import errno
import fcntl
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote, unquote

import structlog

from privyseald.config_error import ConfigInvalid
from privyseald.state.counter import Counter

_LINE = re.compile(rb"([!-~]+) ([0-9]{1,16})((?: [0-9]{1,16}){5})?")
_PLAIN = "!\"#$&'()*+,/:;<=>?@[\\]^`{|}~"
_log = structlog.get_logger("privyseald.state")


class HighWaterFile:
    """Counters by name as they stand in the file, the mark as `given`. For one thread at a time.

    A lock file beside it keeps other processes out. The file itself is replaced now and then.
    """

    def __init__(
        self, path: Path, lock: int, marks: dict[str, Counter], compact_after: int
    ) -> None:
        self.marks = marks
        self._path = path
        self._lock = lock
        self._compact_after = compact_after
        self._file = -1
        self._size = 0
        self._lines = 0
        self._is_torn = False
        self._is_settled = False

    @classmethod
    def open_path(cls, path: Path, *, compact_after: int = 20_000) -> "HighWaterFile":
        """Open or make the file. Raises ConfigInvalid when that can't be."""
        path = path.resolve()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = os.open(_beside(path, ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _unusable(path, error) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file = cls(path, lock, _read(path), compact_after)
            file.rewrite(file.marks)
        except BlockingIOError as error:
            os.close(lock)
            raise ConfigInvalid(
                f"state.path: {path} is in use by another process; the embedded state serves "
                "one process, so stop the other or give this one a path of its own"
            ) from error
        except OSError as error:
            os.close(lock)
            raise _unusable(path, error) from error
        except ConfigInvalid:
            os.close(lock)
            raise
        return file

    def put(self, name: str, mark: Counter) -> None:
        """Add a line and sync it. Raises OSError; then it does not count, but may stand there
        after a crash.
        """
        known = self.marks.get(name, Counter())
        line = _short_line(name, mark) if _raised(known, mark.given) == mark else _line(name, mark)
        self._settle()
        if self._is_torn:
            os.ftruncate(self._file, self._size)
        self._is_torn = True
        _write_whole(self._file, line, self._size)
        os.fdatasync(self._file)
        self._is_torn = False
        self._size += len(line)
        self._lines += 1
        self.marks[name] = mark
        if self._lines >= self._compact_after:
            self._compact()

    def rewrite(self, marks: Mapping[str, Counter]) -> None:
        """Replace the file by one with a line for each of these counters. Raises OSError."""
        self._lines = 0
        content = b"".join(_line(name, mark) for name, mark in marks.items())
        spare = _beside(self._path, ".new")
        file = os.open(spare, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            _write_whole(file, content, 0)
            os.fsync(file)
            spare.replace(self._path)
        except OSError:
            os.close(file)
            raise
        if self._file >= 0:
            os.close(self._file)
        self._file, self._size, self._is_torn = file, len(content), False
        self._is_settled = False
        self._settle()

    def beside(self, suffix: str) -> Path:
        """Return the path of a file that the same lock guards."""
        return _beside(self._path, suffix)

    def close(self) -> None:
        """Let the file and its lock go."""
        os.close(self._file)
        os.close(self._lock)

    def _compact(self) -> None:
        try:
            self.rewrite(self.marks)
        except OSError as error:
            # The lines stand where they are; it is tried again after as many more.
            _log.warning("high-water file not compacted", cause=error.strerror)

    def _settle(self) -> None:
        """Sync the directory after a replacement: before that, a crash could undo it, and
        with it the lines that were added since.
        """
        if self._is_settled:
            return
        directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
        self._is_settled = True


def _write_whole(file: int, content: bytes, offset: int) -> None:
    if os.pwrite(file, content, offset) != len(content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _short_line(name: str, mark: Counter) -> bytes:
    return f"{quote(name, safe=_PLAIN)} {mark.given}\n".encode("ascii")


def _line(name: str, mark: Counter) -> bytes:
    if mark == _raised(Counter(), mark.given):
        return _short_line(name, mark)
    numbers = f"{mark.given} {mark.last} {mark.start} {mark.before} {mark.skip_from} {mark.skip_to}"
    return f"{quote(name, safe=_PLAIN)} {numbers}\n".encode("ascii")


def _raised(mark: Counter, given: int) -> Counter:
    """Return the counter after a line with a mark alone."""
    given = max(mark.given, given)
    return replace(mark, last=max(mark.last, given), given=given)


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _unusable(path: Path, error: OSError) -> ConfigInvalid:
    return ConfigInvalid(
        f"state.path: {path} can't be opened and written ({error.strerror}); "
        "give a path in a directory that this user may write, on a disk with space"
    )


def _read(path: Path) -> dict[str, Counter]:
    """Return the counter that the lines of each name amount to."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return {}
    marks: dict[str, Counter] = {}
    # What follows the last line break was cut off by a crash before it was synced.
    for number, line in enumerate(content.split(b"\n")[:-1], start=1):
        match = _LINE.fullmatch(line)
        if match is None:
            raise ConfigInvalid(
                f"state.path: line {number} of {path} is damaged; restore the file, or "
                "remove it once every nonce that was given out lies behind the clock"
            )
        name, given = unquote(match[1].decode("ascii")), int(match[2])
        if match[3]:
            last, *others = map(int, match[3].split())
            marks[name] = Counter(last, given, *others)
        else:
            marks[name] = _raised(marks.get(name, Counter()), given)
    return marks
