"""What a worker tells its supervisor: a line of JSON, every now and then."""

import json
from dataclasses import dataclass
from typing import Self

_LONGEST_TEXT = 4_000
# Metrics of a policy of 10,000 rules, each of which denied, have less than 2 MiB.
LONGEST_LINE = 16 * 1_048_576


@dataclass(frozen=True, slots=True)
class Report:
    """Whether the worker is ready; or why its configuration can't be right. `metrics` where they
    were asked for.
    """

    is_ready: bool = False
    invalid: str = ""
    metrics: str = ""

    def to_line(self) -> bytes:
        """Return what is sent, at most LONGEST_LINE bytes."""
        report = {"ready": self.is_ready, "invalid": self.invalid[:_LONGEST_TEXT]}
        if self.metrics:
            line = json.dumps({**report, "metrics": self.metrics}).encode() + b"\n"
            if len(line) <= LONGEST_LINE:
                return line
        return json.dumps(report).encode() + b"\n"

    @classmethod
    def of_line(cls, line: bytes) -> Self:
        """Return what was sent. Raises ValueError for anything that no worker sends."""
        match json.loads(line):
            case {"ready": bool() as is_ready, "invalid": str() as invalid, **rest}:
                metrics = rest.get("metrics", "")
                if isinstance(metrics, str):
                    return cls(is_ready, invalid, metrics)
        raise ValueError("this is no report")
