"""Audit lines to standard output, a FIFO or a device: each start begins a chain of its own."""

import os
import sys
from pathlib import Path

from privyseald.audit.file_end import nothing_found
from privyseald.audit.sink import Rotated, Written


class LogStream:
    """Implements `Sink` on a descriptor. What was taken by a reader can't be taken back."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.end = nothing_found()

    @classmethod
    def open_stdout(cls) -> "LogStream":
        """Write to standard output, through a descriptor of our own."""
        return cls(os.dup(sys.stdout.fileno()))

    @classmethod
    def open_path(cls, path: Path) -> "LogStream":
        """Write to something at a path that is no file. Raises OSError."""
        # Also as a reader: so a FIFO is there without one, and outlives one that goes away.
        flags = os.O_RDWR if path.is_fifo() else os.O_WRONLY
        return cls(os.open(path, flags | os.O_CLOEXEC))

    def write(self, lines: bytes) -> Written:
        """Write all, for as long as it takes."""
        done = 0
        try:
            while done < len(lines):
                done += os.write(self._descriptor, lines[done:] if done else lines)
        except OSError as error:
            whole = lines.rfind(b"\n", 0, done) + 1
            return Written(whole, lines[whole:done], os.strerror(error.errno or 0))
        return Written(done)

    def size(self) -> int:
        """Return 0: it never gets too long."""
        return 0

    def rotate(self, time_us: int, sequence: int) -> Rotated | str:
        """Return why not."""
        return f"a stream is not rotated ({time_us}, {sequence})"

    def renew(self) -> bool:
        """Return False: nobody can move it."""
        return False

    def remove(self, name: str) -> str:
        """Return why not."""
        return f"{name} is no file of this log"

    def close(self) -> None:
        """Let go."""
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)
