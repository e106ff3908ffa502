"""Lines that are written together: what they are made of, and how to make them anew."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from privyseald.audit.chain import Chain, Head
from privyseald.audit.pending import Item
from privyseald.audit.withheld import Withheld


@dataclass(slots=True)
class Group:
    """Lines in order, and for each what it says; None for a checkpoint, which is made anew."""

    before: Head
    lead: bytes = b""
    lines: list[bytes] = field(default_factory=list)
    sources: list[Item | Withheld | None] = field(default_factory=list)
    checkpoints: int = 0

    def add(self, line: bytes, source: Item | Withheld | None) -> None:
        """Take one more line."""
        self.lines.append(line)
        self.sources.append(source)

    @property
    def content(self) -> bytes:
        """What to write."""
        return self.lead + b"".join(self.lines)

    def from_queue(self, start: int = 0, stop: int | None = None) -> Iterator[Item]:
        """Yield what came from the queue."""
        for source in self.sources[start:stop]:
            if isinstance(source, tuple):
                yield source

    def whole_lines(self, size: int) -> int:
        """Return how many lines stand in so many bytes."""
        size -= len(self.lead)
        for count, line in enumerate(self.lines):
            size -= len(line)
            if size < 0:
                return count
        return len(self.lines)

    def rewind(self, chain: Chain, kept: int) -> None:
        """Bring the chain to where it stands after so many lines."""
        chain.head = self.before
        for line, source in zip(self.lines[:kept], self.sources[:kept], strict=True):
            chain.pass_over(line, is_checkpoint=source is None)
