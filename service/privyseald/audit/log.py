"""The audit log: one JSON line per RPC, refused ones too, written before the answer goes out.

A BatchSign has one more for each of its requests.
"""

import os
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields
from operator import attrgetter
from pathlib import Path

import orjson

from privyseald.audit.entry import Entry
from privyseald.clock import Clock
from privyseald.config_error import ConfigInvalid
from privyseald.errors import AuditUnavailable

_NAMES = tuple(each.name for each in fields(Entry))
_values_of = attrgetter(*_NAMES)


class AuditLog:
    """Appends lines to a file or to standard output. A line that can't be written is an error."""

    def __init__(self, descriptor: int, clock: Clock, *, worker: int = 0) -> None:
        self._file = descriptor
        self._clock = clock
        self._sequence = 0
        self._replica = socket.gethostname() + (f"/worker-{worker}" if worker else "")
        self._is_cut = False

    @classmethod
    def open_path(cls, path: Path | None, clock: Clock, *, worker: int = 0) -> "AuditLog":
        """Open the log file for appending; standard output where `path` is None.

        The lines name the worker, if this process is one of several. Raises ConfigInvalid when
        the file can't be opened.
        """
        if path is None:
            return cls(os.dup(sys.stdout.fileno()), clock, worker=worker)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            return cls(os.open(path, flags, 0o600), clock, worker=worker)
        except OSError as error:
            raise ConfigInvalid(
                f"audit.file: {path} can't be opened for appending ({error.strerror})"
            ) from error

    def write(self, entry: Entry, duration_us: int, parts: Sequence[Entry] = ()) -> None:
        """Append the line of one RPC, behind the lines of its parts. Raises AuditUnavailable."""
        lines = b"".join(self._line(part, {}) for part in parts)
        lines += self._line(entry, {"duration_us": duration_us})
        # A line that was cut off is ended first, so that it spoils no other.
        self._append(b"\n" + lines if self._is_cut else lines)

    def close(self) -> None:
        """Sync and close the file. A second time changes nothing."""
        if self._file < 0:
            return
        file, self._file = self._file, -1
        try:
            os.fsync(file)
        except OSError:
            # A pipe or a terminal has nothing to sync.
            return
        finally:
            os.close(file)

    def _line(self, entry: Entry, more: Mapping[str, int]) -> bytes:
        self._sequence += 1
        return orjson.dumps(
            {
                "time_us": self._clock.time_us(),
                "sequence": self._sequence,
                "replica": self._replica,
                **{
                    name: value
                    for name, value in zip(_NAMES, _values_of(entry), strict=True)
                    if value
                },
                **more,
            },
            option=orjson.OPT_APPEND_NEWLINE,
        )

    def _append(self, lines: bytes) -> None:
        try:
            left = lines[os.write(self._file, lines) :]
            self._is_cut = True
            while left:
                left = left[os.write(self._file, left) :]
            self._is_cut = False
        except OSError as error:
            raise AuditUnavailable(
                "the audit line can't be written, so the answer is withheld; "
                "an operator must look at the disk of audit.file",
                retry_after_ms=1_000,
            ) from error
