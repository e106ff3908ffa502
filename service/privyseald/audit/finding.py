"""What the check of an audit log found."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """Whether the log was tampered with or damaged, is not proven, or is merely remarkable."""

    BROKEN = "broken"
    UNPROVEN = "unproven"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found, from line `line` to line `last_line` of a file (0: the whole of it)."""

    severity: Severity
    kind: str
    file: str
    line: int
    last_line: int
    message: str

    @property
    def place(self) -> str:
        """Where, for people."""
        if not self.line:
            return self.file
        if self.last_line > self.line:
            return f"{self.file}:{self.line}-{self.last_line}"
        return f"{self.file}:{self.line}"


class Findings:
    """Findings in order. Neighbours that say the same become one; beyond a bound they are
    counted only.
    """

    def __init__(self, limit: int = 1_000) -> None:
        self._limit = limit
        self.listed: list[Finding] = []
        self.left_out = 0
        self.worst = Severity.NOTE

    def add(self, finding: Finding) -> None:
        """Take one more."""
        if finding.severity is Severity.BROKEN:
            self.worst = Severity.BROKEN
        elif finding.severity is Severity.UNPROVEN and self.worst is Severity.NOTE:
            self.worst = Severity.UNPROVEN
        last = self.listed[-1] if self.listed else None
        if (
            last is not None
            and (last.file, last.kind, last.message)
            == (finding.file, finding.kind, finding.message)
            and finding.line == last.last_line + 1
        ):
            self.listed[-1] = Finding(
                last.severity, last.kind, last.file, last.line, finding.last_line, last.message
            )
        elif len(self.listed) < self._limit:
            self.listed.append(finding)
        else:
            self.left_out += 1
