"""How far the check of one chain has come."""

from dataclasses import dataclass

from privyseald.audit.link import Link

# File and line number.
Place = tuple[str, int]


@dataclass(slots=True)
class Run:
    """One chain as it was read so far. `sequence`, `sha256` and `place` are the last line's."""

    chain: str
    replica: str
    first_sequence: int
    first_time_us: int
    place: Place
    sequence: int = 0
    sha256: str = ""
    # What the last line holds of the line before it, and that one's sequence.
    previous: str = ""
    sequence_before: int = 0
    time_us: int = 0
    lines: int = 0
    checkpoints: int = 0
    proven_sequence: int = 0
    # How many lines there are since the last good checkpoint.
    unproven: int = 0
    # The last lines are those of an orderly end.
    has_stopped: bool = False
    # The last line was edited, so its hash is not what the next one holds.
    is_tainted: bool = False

    @classmethod
    def beginning_at(cls, place: Place, link: Link) -> "Run":
        """Return a run of which nothing was read."""
        return cls(link.chain, link.text("replica"), link.sequence, link.time_us, place)

    def take(self, place: Place, link: Link) -> None:
        """Go on to this line."""
        self.sequence_before = self.sequence
        self.sequence, self.sha256, self.previous = link.sequence, link.sha256, link.previous
        self.place, self.time_us = place, link.time_us
        self.lines += 1
        self.unproven += 1
        self.is_tainted = False

    def prove(self, link: Link) -> None:
        """Take a checkpoint's word, or that of who knows the hash, for all lines so far."""
        self.proven_sequence = link.sequence
        self.unproven = 0
