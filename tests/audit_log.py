"""An audit log in a test: open, written to, and read back."""

import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fakes import FakeClock
from privyseald.audit.checkpoint_key import CheckpointKey
from privyseald.audit.entry import Entry
from privyseald.audit.log import AuditLog
from privyseald.audit_config import AuditConfig
from privyseald.clock import Clock
from privyseald.signing.secret import SecretBytes
from service import eventually

RPC = "privyseal.v1.SigningService/Sign"
_KEY = "5eed" * 16
PUBLIC_KEY = CheckpointKey(SecretBytes(_KEY)).public_key
OTHER_KEY = CheckpointKey(SecretBytes("0dd5" * 16)).public_key

GetKey = Callable[[], Awaitable[SecretBytes]]


async def get_key() -> SecretBytes:
    """Return the key that signs the checkpoints of tests."""
    return SecretBytes(_KEY)


@asynccontextmanager
async def opened(
    path: Path,
    clock: Clock | None = None,
    *,
    worker: int = 0,
    key: GetKey | None = get_key,
    **settings: Any,
) -> AsyncIterator[AuditLog]:
    """Open a log that signs; it stops in order at the end of the block."""
    config = AuditConfig(file=path, **settings)
    log = AuditLog.open(config, clock or FakeClock(), worker=worker, get_key=key)
    await log.start()
    try:
        yield log
    finally:
        await log.close()


async def signed(log: AuditLog) -> None:
    """Return once the log has its key, so that its lines are signed from now on."""

    async def has_key() -> bool:
        scribe = log._scribe
        return scribe is not None and scribe.key is not None

    await eventually(has_key)


async def fill(log: AuditLog, count: int, **fields: Any) -> None:
    """Write lines that differ, one after the other."""
    for number in range(count):
        await log.write(Entry(RPC, key=f"keys/{number}", **fields), number)


def lines_of(path: Path) -> list[dict[str, Any]]:
    """Return the whole lines that are JSON."""
    found = []
    for line in path.read_bytes().splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def raw_lines(path: Path) -> list[bytes]:
    """Return the lines as they stand there, without newlines."""
    return path.read_bytes().split(b"\n")[:-1]


def content_of(path: Path) -> bytes:
    """Return what stands in a file."""
    return path.read_bytes()


def put(path: Path, content: bytes) -> None:
    """Write a file over what is there."""
    path.write_bytes(content)


def put_lines(path: Path, lines: Iterable[bytes]) -> None:
    """Write a file of these lines over what is there."""
    put(path, b"".join(line + b"\n" for line in lines))


def move(path: Path, to: Path) -> None:
    """Give a file another name."""
    path.rename(to)


def append(path: Path, content: bytes) -> None:
    """Add to a file."""
    with path.open("ab") as file:
        file.write(content)


def names_beside(path: Path) -> list[str]:
    """Return the names in the log's directory."""
    return sorted(each.name for each in path.parent.iterdir())


def status_of(path: Path) -> os.stat_result:
    """Return what the disk knows of a file."""
    return path.stat()


def rpcs_of(path: Path) -> list[dict[str, Any]]:
    """Return the lines about RPCs."""
    return [line for line in lines_of(path) if "rpc" in line]


def events_of(path: Path) -> list[str]:
    """Return the events in order, RPCs as such."""
    return [line.get("event", "rpc") for line in lines_of(path)]


def answered(lines: list[dict[str, Any]]) -> set[int]:
    """Return the sequences of RPCs whose answers went out, as the log has it."""
    withheld = {
        sequence
        for line in lines
        for first, last in line.get("sequences", [])
        for sequence in range(first, last + 1)
    }
    return {
        line["sequence"]
        for line in lines
        if "rpc" in line and "withheld" not in line and line["sequence"] not in withheld
    }
