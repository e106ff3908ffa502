"""The section [audit] of the configuration."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from privyseald.config_section import Section, TimeOut

_DAY_MS = 86_400_000


class AuditConfig(Section):
    """The audit log: where it goes, when it is signed and rotated, and how long it may take.

    Lines go to standard output where no file is named. `sync` says what an answer waits for:
    the kernel has the lines ("none"), or the disk has them ("batch").
    """

    file: Path | None = None
    sync: Literal["none", "batch"] = "none"
    timeout_ms: TimeOut = 1_000
    queue_lines: Annotated[int, Field(ge=2_048, le=1_000_000)] = 20_000
    queue_bytes: Annotated[int, Field(ge=2_097_152, le=1_073_741_824)] = 16_777_216
    checkpoint_lines: Annotated[int, Field(ge=1, le=1_000_000)] = 1_000
    checkpoint_ms: Annotated[int, Field(ge=100, le=_DAY_MS)] = 60_000
    rotate_bytes: Annotated[int, Field(ge=4_096)] = 268_435_456
    rotate_age_ms: Annotated[int, Field(ge=0, le=366 * _DAY_MS)] = 0
    keep_files: Annotated[int, Field(ge=1, le=100_000)] | None = None
