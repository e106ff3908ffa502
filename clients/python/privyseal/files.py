"""Files that are looked at again: at most once a second, and read when they changed."""

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

_LOOK_EVERY_S = 1.0

Stamp = tuple[tuple[int, int, int] | None, ...]


class Watched:
    """Some files; `changed` says whether to read them again."""

    def __init__(self, paths: Sequence[Path], clock: Callable[[], float] = time.monotonic) -> None:
        self._paths = tuple(paths)
        self._clock = clock
        # Before the first reading: what is written meanwhile counts as a change.
        self._stamp = _stamp(self._paths)
        self._looked_s = clock()

    def changed(self) -> bool:
        """Whether they were written, replaced or removed since this was last True."""
        now_s = self._clock()
        if now_s - self._looked_s < _LOOK_EVERY_S:
            return False
        self._looked_s = now_s
        stamp = _stamp(self._paths)
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        return True


def _stamp(paths: Sequence[Path]) -> Stamp:
    return tuple(_one(path) for path in paths)


def _one(path: Path) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116  # half the time of Path.stat, and it is on each call
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
