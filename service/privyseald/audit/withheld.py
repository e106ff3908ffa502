"""What the log must say of answers that did not go out, once it can."""

from dataclasses import dataclass, field

from privyseald.audit.chain import Fact


@dataclass(slots=True)
class Withheld:
    """RPCs refused before they began, lines lost, and lines whose answers did not go out."""

    since_us: int = 0
    refused: int = 0
    lost: int = 0
    sequences: list[tuple[int, int]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.refused or self.lost or self.sequences)

    def note(self, sequence: int) -> None:
        """Note a line that stands in the log, and whose answer did not go out."""
        if self.sequences and self.sequences[-1][1] == sequence - 1:
            self.sequences[-1] = (self.sequences[-1][0], sequence)
        else:
            self.sequences.append((sequence, sequence))

    def add_earlier(self, other: "Withheld") -> None:
        """Take over what another one has, which began earlier."""
        self.since_us = other.since_us or self.since_us
        self.refused += other.refused
        self.lost += other.lost
        self.sequences[:0] = other.sequences

    def facts(self) -> dict[str, Fact]:
        """Return what its line says."""
        facts: dict[str, Fact] = {"event": "withheld"}
        if self.since_us:
            facts["since_us"] = self.since_us
        if self.refused:
            facts["refused"] = self.refused
        if self.lost:
            facts["lost"] = self.lost
        if self.sequences:
            facts["sequences"] = self.sequences
        return facts
