"""What a worker tells its supervisor: a line of JSON, every now and then."""

import json
from dataclasses import dataclass
from typing import Self

_LONGEST_TEXT = 4_000


@dataclass(frozen=True, slots=True)
class Report:
    """Whether the worker is ready; or why its configuration can't be right."""

    is_ready: bool = False
    invalid: str = ""

    def to_line(self) -> bytes:
        """Return what is sent."""
        report = {"ready": self.is_ready, "invalid": self.invalid[:_LONGEST_TEXT]}
        return json.dumps(report).encode() + b"\n"

    @classmethod
    def of_line(cls, line: bytes) -> Self:
        """Return what was sent. Raises ValueError for anything that no worker sends."""
        match json.loads(line):
            case {"ready": bool() as is_ready, "invalid": str() as invalid}:
                return cls(is_ready, invalid)
        raise ValueError("this is no report")
