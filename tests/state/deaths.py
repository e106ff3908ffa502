"""Deaths at each step that a high-water file takes on the disk, as a program: path.

One fork after the other opens the file, puts counters (marks that rise, and resyncs that come
down), compacts and closes, and dies at its first, second, third… call that changes the disk; a
write is cut in half. Prints what was tried, what was acknowledged, and what the next one finds.
"""

import os
import sys
from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path
from typing import Any

from privyseald.state.counter import Counter
from privyseald.state.high_water_file import HighWaterFile

_DEATH = 9


class _Fate:
    """Counts calls, and ends the process at one of them."""

    def __init__(self, step: int) -> None:
        self._left = step

    def befalls(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return the call, with its end in it."""

        def fateful(*args: Any, **options: Any) -> Any:
            self._left -= 1
            if self._left == 0:
                if call is _pwrite:
                    _pwrite(args[0], args[1][: len(args[1]) // 2], args[2])
                os._exit(_DEATH)
            return call(*args, **options)

        return fateful


_pwrite = os.pwrite


def _say(word: str, step: int, name: str, counter: Counter) -> None:
    numbers = ",".join(map(str, astuple(counter)))
    os.write(1, f"{word} {step} {name} {numbers}\n".encode())


def _next(number: int, counter: Counter) -> Counter:
    """Return what a counter becomes: now a few values further, now far ahead, now back."""
    if number % 3:
        return counter.advance(number % 4 * 10_000, 10**15, 100)[1]
    return counter.resync(counter.before + number)


def _live(path: Path, step: int) -> None:
    fate = _Fate(step)
    for call in ("open", "pwrite", "fsync", "fdatasync", "ftruncate", "replace", "rename", "close"):
        setattr(os, call, fate.befalls(getattr(os, call)))
    file = HighWaterFile.open_path(path, compact_after=2)
    for number in range(1, 8):
        for name in ("one", "other"):
            new = _next(number, file.marks.get(name, Counter()))
            _say("try", step, name, new)
            file.put(name, new)
            _say("put", step, name, new)
    file.rewrite(file.marks)
    file.close()
    os._exit(0)


def main() -> None:
    """Die at each step in turn, until one lives to the end."""
    path = Path(sys.argv[1])
    status, step = _DEATH, 0
    while status == _DEATH:
        step += 1
        child = os.fork()
        if child == 0:
            _live(path, step)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        file = HighWaterFile.open_path(path)
        for name, mark in file.marks.items():
            _say("found", step, name, mark)
        file.close()
    sys.exit(status)


if __name__ == "__main__":
    main()
