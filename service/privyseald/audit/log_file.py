"""Audit lines to a file that this process alone writes, with rotation."""

import fcntl
import os
import re
import stat
import time
from dataclasses import replace
from pathlib import Path

from privyseald.audit.file_end import FileEnd, read_file_end
from privyseald.audit.sink import Rotated, Written
from privyseald.config_error import ConfigInvalid

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
_ROTATED = r"\.[0-9]{8}T[0-9]{6}Z-[0-9]{12,}"


class LogFile:
    """Implements `Sink` on a file. Either all of a write stands there in the end, or nothing."""

    def __init__(self, path: Path, descriptor: int, *, sync: bool, keep: int | None) -> None:
        self._path = path
        self._descriptor = descriptor
        self._sync = sync
        self._keep = keep
        self._size = os.fstat(descriptor).st_size
        self.end = self._find_end()

    @classmethod
    def open_path(cls, path: Path, *, sync: bool, keep: int | None) -> "LogFile":
        """Open the file, lock it, and look at its end. Raises OSError, ConfigInvalid."""
        path = path.resolve()
        return cls(path, _open_locked(path), sync=sync, keep=keep)

    def write(self, lines: bytes) -> Written:
        """Append; where that fails the file is cut back to what it was."""
        done = 0
        try:
            while done < len(lines):
                done += os.write(self._descriptor, lines[done:] if done else lines)
        except OSError as error:
            return self._undo(lines[:done], error)
        self._size += done
        if self._sync:
            try:
                os.fdatasync(self._descriptor)
            except OSError as error:
                return Written(done, fault=_words(error))
        return Written(done)

    def size(self) -> int:
        """Return how many bytes were written to it, ours and those before."""
        return self._size

    def rotate(self, time_us: int, sequence: int) -> Rotated | str:
        """Name the file by time and last sequence, and go on in a new one at its place."""
        name = self._rotated_name(time_us, sequence)
        fresh = self._path.with_name(self._path.name + ".next")
        try:
            os.fsync(self._descriptor)
            # What an interrupted rotation left behind is empty.
            fresh.unlink(missing_ok=True)
            descriptor = _open_locked(fresh)
            self._path.rename(self._path.with_name(name))
            # A crash here leaves no file; the next start goes on from the one just named.
            fresh.rename(self._path)
            self._sync_directory()
        except (OSError, ConfigInvalid) as error:
            return _words(error) if isinstance(error, OSError) else str(error)
        os.close(self._descriptor)
        self._descriptor, self._size = descriptor, 0
        return Rotated(name, self._surplus())

    def renew(self) -> bool:
        """Open a new file if the path does not lead to ours any more."""
        try:
            there, ours = self._path.stat(), os.fstat(self._descriptor)
            if (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino):
                return False
        except FileNotFoundError:
            pass
        except OSError:
            return False
        try:
            descriptor = _open_locked(self._path)
        except (OSError, ConfigInvalid):
            return False
        os.close(self._descriptor)
        self._descriptor = descriptor
        self._size = os.fstat(descriptor).st_size
        return True

    def remove(self, name: str) -> str:
        """Remove an old file beside ours."""
        try:
            self._path.with_name(name).unlink(missing_ok=True)
        except OSError as error:
            return _words(error)
        return ""

    def close(self) -> None:
        """Sync and let go; with it goes the lock."""
        if self._descriptor < 0:
            return
        descriptor, self._descriptor = self._descriptor, -1
        try:
            os.fsync(descriptor)
        except OSError:
            return
        finally:
            os.close(descriptor)

    def _undo(self, part: bytes, error: OSError) -> Written:
        if not part:
            return Written(0, fault=_words(error))
        try:
            os.ftruncate(self._descriptor, self._size)
        except OSError:
            whole = part.rfind(b"\n") + 1
            self._size += len(part)
            return Written(whole, part[whole:], _words(error))
        return Written(0, fault=_words(error))

    def _rotated_name(self, time_us: int, sequence: int) -> str:
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time_us // 1_000_000))
        return f"{self._path.stem}.{stamp}-{sequence:012}{self._path.suffix}"

    def _surplus(self) -> tuple[str, ...]:
        """Return the rotated files beyond those to keep, the oldest first."""
        return () if self._keep is None else tuple(self._rotated_names()[: -self._keep])

    def _rotated_names(self) -> list[str]:
        """Return our rotated files, the oldest first: the names sort."""
        pattern = re.compile(re.escape(self._path.stem) + _ROTATED + re.escape(self._path.suffix))
        try:
            return sorted(
                each.name for each in self._path.parent.iterdir() if pattern.fullmatch(each.name)
            )
        except OSError:
            return []

    def _find_end(self) -> FileEnd:
        """Look at our file, or, where it is empty, at the one before."""
        if self._size or not (names := self._rotated_names()):
            return read_file_end(self._descriptor)
        before = os.open(self._path.with_name(names[-1]), os.O_RDONLY | os.O_CLOEXEC)
        try:
            end = read_file_end(before)
        finally:
            os.close(before)
        # What was cut off there stays there.
        return replace(end, needs_newline=False, facts={**end.facts, "previous_file": names[-1]})

    def _sync_directory(self) -> None:
        directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def is_plain(path: Path) -> bool:
    """Whether there is a file at the path, or nothing yet. Raises OSError."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except FileNotFoundError:
        return True


def _open_locked(path: Path) -> int:
    descriptor = os.open(path, _FLAGS, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise ConfigInvalid(
            f"audit.file: {path} is written by another process; each needs a file of its own, "
            "or the lines of both would make no chain"
        ) from None
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _words(error: OSError) -> str:
    return error.strerror or type(error).__name__
