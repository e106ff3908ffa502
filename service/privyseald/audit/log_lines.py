"""The lines of audit logs on a disk, read in bounded memory."""

import gzip
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from privyseald.audit.link import Link, read_link

_CHUNK = 1_048_576
# No line of ours is that long.
_LONGEST_LINE = 16_777_216
_SUFFIXES = (".jsonl", ".jsonl.gz")
_FIRST_LINES = 1_000


class LogLine(NamedTuple):
    """A line without its newline. One that has none is not whole; its writer may be at it."""

    number: int
    content: bytes
    is_whole: bool


class Unreadable(Exception):
    """The file can't be read to its end. Its text is for people."""


def find_files(paths: Iterable[Path]) -> list[Path]:
    """Return the files that are named, and those of directories; each file once.

    Raises OSError.
    """
    found: dict[tuple[int, int], Path] = {}
    for path in paths:
        for each in _logs_in(path) if path.is_dir() else [path]:
            status = each.stat()
            found.setdefault((status.st_dev, status.st_ino), each)
    return list(found.values())


def _logs_in(directory: Path) -> list[Path]:
    return sorted(each for each in directory.iterdir() if each.name.endswith(_SUFFIXES))


def read_lines(path: Path, progress: Callable[[int], None]) -> Iterator[LogLine]:
    """Yield the lines, telling how many bytes were read. Raises Unreadable."""
    number, rest = 0, b""
    for chunk in _chunks(path, progress):
        lines = (rest + chunk).split(b"\n")
        rest = lines.pop()
        for line in lines:
            number += 1
            yield LogLine(number, line, is_whole=True)
        if len(rest) > _LONGEST_LINE:
            # What follows up to the newline is as little a line as this.
            number += 1
            yield LogLine(number, rest, is_whole=True)
            rest = b""
    if rest:
        yield LogLine(number + 1, rest, is_whole=False)


def in_order(paths: Iterable[Path]) -> list[Path]:
    """Return the files as they follow one another: chains by time, and by sequence in each."""
    firsts = [(path, _first_link(path)) for path in paths]
    begun: dict[str, int] = {}
    for _, link in firsts:
        if link is not None:
            begun[link.chain] = min(link.time_us, begun.get(link.chain, link.time_us))

    def place(each: tuple[Path, Link | None]) -> tuple[int, str, int, str]:
        path, link = each
        if link is None:
            return (1 << 63, "", 0, path.name)
        return (begun[link.chain], link.chain, link.sequence, path.name)

    return [path for path, _ in sorted(firsts, key=place)]


def _first_link(path: Path) -> Link | None:
    try:
        for line in read_lines(path, lambda _: None):
            link = read_link(line.content)
            if link is not None or line.number > _FIRST_LINES:
                return link
    except Unreadable:
        pass
    return None


def _chunks(path: Path, progress: Callable[[int], None]) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            stream = gzip.GzipFile(fileobj=file) if path.name.endswith(".gz") else file
            done = 0
            while chunk := stream.read(_CHUNK):
                yield chunk
                progress(file.tell() - done)
                done = file.tell()
    except (OSError, EOFError, zlib.error) as error:
        words = error.strerror if isinstance(error, OSError) else None
        raise Unreadable(words or "is damaged") from error
