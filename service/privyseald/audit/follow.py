"""Reads an audit log as it grows, also across rotations."""

import os
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

_CHUNK = 1_048_576


class Follower:
    """Gives whole lines that were not given before. Use `with`."""

    def __init__(self, path: Path) -> None:
        """Begin with the first line of the file. Raises OSError."""
        self._path = path
        self._file: BinaryIO = path.open("rb")
        self._rest = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def more(self) -> list[bytes]:
        """Return lines without their newlines, none when there are none yet. Raises OSError."""
        lines = self._read()
        if not lines and self._is_replaced():
            # What was written between the last look and the rotation.
            lines = self._read()
            if not lines:
                fresh = self._path.open("rb")
                self._file.close()
                self._file, self._rest = fresh, b""
                lines = self._read()
        return lines

    def _read(self) -> list[bytes]:
        chunk = self._file.read(_CHUNK)
        if not chunk:
            return []
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        return lines or self._read()

    def _is_replaced(self) -> bool:
        try:
            there, ours = self._path.stat(), os.fstat(self._file.fileno())
        except FileNotFoundError:
            # Between the two steps of a rotation, or there is nothing to go on with.
            return False
        return (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino)
