"""An audit log that goes into a pipe, whose reader may stop."""

import json
import os
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class Fifo:
    """A pipe with a name, whose reader reads only while it is told to. Use `with`."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = path
        self.content = b""
        self._reads = threading.Event()
        self._is_over = False
        self._file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self._thread = threading.Thread(target=self._read)

    def __enter__(self) -> Self:
        self._thread.start()
        self.resume()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Read to the end; whoever writes must have let go."""
        self.resume()
        self._is_over = True
        self._thread.join(10)
        os.close(self._file)

    def stop(self) -> None:
        """Read no more."""
        self._reads.clear()

    def resume(self) -> None:
        """Read all that comes."""
        self._reads.set()

    def lines(self) -> list[dict[str, Any]]:
        """Return what was read so far."""
        return [json.loads(line) for line in self.content.split(b"\n")[:-1]]

    def _read(self) -> None:
        while True:
            self._reads.wait()
            try:
                chunk = os.read(self._file, 65_536)
            except BlockingIOError:
                if self._is_over:
                    return
                threading.Event().wait(0.005)
                continue
            if not chunk and self._is_over:
                return
            self.content += chunk
