"""The escrow directory: sealed records, and places taken for records that may come.

A place is a file with room for a record, synced and locked before a venue is asked, so that
neither a full disk nor a missing right can stand in the way of what the venue issues. A record
is written into its place, synced, and renamed, so that what bears a record's name is whole.
Several processes may share the directory: who has a file's lock owns it, if it still has its
name by then.
"""

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from privyseald.config_error import ConfigInvalid
from privyseald.secretstore.escrow_record import EscrowRecord, RecordBroken, read_escrow_record

_RECORD, _PLACE, _ABANDONED, _LOCK = ".record", ".place", ".abandoned", "lock"
_NEW = ".new"
_ROOM_BYTES = 16 * 1_024
_MAX_BYTES = 256 * 1_024


@dataclass(frozen=True, slots=True)
class Place:
    """Room for one record. The open file holds the lock that says that somebody lives."""

    path: Path
    file: int

    @property
    def record_path(self) -> Path:
        """What the file is called once it is a record."""
        return self.path.with_suffix(_RECORD)


class EscrowDirectory:
    """Files in a directory that only we may enter. Its methods may raise OSError."""

    def __init__(self, path: Path, lock: int) -> None:
        self._path = path
        self._lock = lock

    @classmethod
    def open_path(cls, path: Path) -> "EscrowDirectory":
        """Open or make the directory. Raises ConfigInvalid."""
        path = path.resolve()
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            status = path.stat()
            lock = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigInvalid(
                f"escrow.path: {path} can't be made and written ({error.strerror}); give a "
                "directory that this service's user may write, on a disk that stays"
            ) from error
        is_ours = os.geteuid() in (0, status.st_uid)
        if not is_ours or status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            os.close(lock)
            raise ConfigInvalid(
                f"escrow.path: {path} is open to others than this service's user; make it that "
                f"user's own, and run: chmod 700 {path}"
            )
        return cls(path, lock)

    def take_place(self, name: str) -> Place:
        """Make room for a record, and prove that it can be written."""
        new, path = self._path / (name + _NEW), self._path / (name + _PLACE)
        if path.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        file = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            # A place has its lock from the beginning, so that no sweep takes it for a dead one.
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _write_whole(file, bytes(_ROOM_BYTES))
            os.fsync(file)
            new.rename(path)
            self._sync()
        except OSError:
            for left in (new, path):
                left.unlink(missing_ok=True)
            os.close(file)
            raise
        return Place(path, file)

    def fill(self, place: Place, record: EscrowRecord) -> Path:
        """Write the record into its place; once this returns, a crash can't undo it."""
        content = record.to_bytes()
        _write_whole(place.file, content)
        os.fsync(place.file)
        os.ftruncate(place.file, len(content))
        place.path.rename(place.record_path)
        os.fsync(place.file)
        self._sync()
        os.close(place.file)
        return place.record_path

    def leave(self, place: Place) -> None:
        """Give a place back that nothing can have come for."""
        place.path.unlink(missing_ok=True)
        os.close(place.file)

    def abandon(self, place: Place) -> None:
        """Give the room of a place back, and keep its name: nobody knows what was to come."""
        try:
            _empty(place.path, place.file)
        finally:
            os.close(place.file)

    def abandoned(self) -> dict[str, Path]:
        """Return the names of places that their owners died in or gave up, with their files."""
        paths = sorted(self._path.glob("*" + _ABANDONED))
        return {path.name.removesuffix(_ABANDONED): path for path in paths}

    def records(self) -> dict[Path, EscrowRecord | None]:
        """Return the records by their files; None for what is no whole record."""
        found = {path: _read(path) for path in sorted(self._path.glob("*" + _RECORD))}
        return {path: record for path, record in found.items() if path.exists()}

    def names(self) -> frozenset[str]:
        """Return the names of records and of what was abandoned."""
        with os.scandir(self._path) as found:
            return frozenset(
                each.name for each in found if each.name.endswith((_RECORD, _ABANDONED))
            )

    def remove(self, path: Path) -> None:
        """Erase a file."""
        path.unlink(missing_ok=True)
        self._sync()

    def sweep(self) -> None:
        """Adopt the records that a crash left in their places; abandon the places whose owner
        died without one.
        """
        for path in sorted(self._path.glob("*" + _PLACE)):
            with suppress(BlockingIOError, FileNotFoundError), _owned(path) as file:
                if _read(path) is None:
                    _empty(path, file)
                else:
                    os.fsync(file)
                    path.rename(path.with_suffix(_RECORD))
        for path in sorted(self._path.glob("*" + _NEW)):
            with suppress(BlockingIOError, FileNotFoundError), _owned(path):
                path.unlink()
        self._sync()

    def try_lock(self) -> bool:
        """Take the lock between processes, unless another has it."""
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def unlock(self) -> None:
        """Let the lock go."""
        fcntl.flock(self._lock, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let go of the directory."""
        os.close(self._lock)

    def _sync(self) -> None:
        directory = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


@contextmanager
def _owned(path: Path) -> Iterator[int]:
    """Hold the lock of a file, open, that nobody else holds. Raises BlockingIOError, and
    FileNotFoundError where its owner renamed or removed it meanwhile.
    """
    file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.samestat(os.fstat(file), path.stat()):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        yield file
    finally:
        os.close(file)


def _read(path: Path) -> EscrowRecord | None:
    try:
        with path.open("rb") as file:
            return read_escrow_record(file.read(_MAX_BYTES))
    except (OSError, RecordBroken):
        return None


def _empty(path: Path, file: int) -> None:
    os.ftruncate(file, 0)
    path.rename(path.with_suffix(_ABANDONED))


def _write_whole(file: int, content: bytes) -> None:
    if os.pwrite(file, content, 0) != len(content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
