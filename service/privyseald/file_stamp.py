"""What tells that a file is not the one of before: looked at, never read."""

import os
from collections.abc import Iterable
from pathlib import Path

FileStamp = tuple[tuple[int, ...], ...]


def stamp_files(paths: Iterable[Path]) -> FileStamp:
    """Return device, inode, size and times of the files that the paths lead to; zeros for one
    that is not there.

    Links are followed, so the swap of a link above them, with which Kubernetes brings a new
    Secret, changes it too.
    """
    return tuple(_stamp(path) for path in paths)


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        status = os.stat(path)  # noqa: PTH116  # it is asked every second, and Path adds nothing
    except OSError:
        return (0,)
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )
