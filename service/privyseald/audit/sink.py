"""The port of a place where audit lines go. All of it may block: a thread of its own calls it."""

from dataclasses import dataclass
from typing import Protocol

from privyseald.audit.file_end import FileEnd


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a write.

    `size` bytes of it stand there, all of them if there is no `fault`, and `cut` more that are
    no whole line. The `fault` says what stood in the way.
    """

    size: int
    cut: bytes = b""
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Rotated:
    """The name of the file that was closed, and of older ones that are not to be kept."""

    previous_file: str
    surplus: tuple[str, ...] = ()


class Sink(Protocol):
    """Takes whole lines. Raises nothing but what its methods name."""

    # What stood there at the start.
    end: FileEnd

    def write(self, lines: bytes) -> Written:
        """Append lines, and sync them where that was asked for."""

    def size(self) -> int:
        """Return how many bytes the file has; 0 where there is none."""

    def rotate(self, time_us: int, sequence: int) -> Rotated | str:
        """Go on in a new file, or return why that can't be; `sequence` is the last line's."""

    def renew(self) -> bool:
        """Go on in a new file if somebody moved or removed this one; return whether."""

    def remove(self, name: str) -> str:
        """Remove an old file; return what stood in the way, if anything."""

    def close(self) -> None:
        """Sync and let go. A second time changes nothing."""
