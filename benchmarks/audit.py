"""What the audit log costs: CPU per line as it is written, and how fast `verify` reads it.

    .venv/bin/python benchmarks/audit.py [--directory DIRECTORY]

Lines are those of a Sign. "One by one" is one caller who waits for each line; "at once" is 32
callers. CPU is that of the whole process, so the thread that writes is counted, and so is the
loop that this program itself needs, which is measured alone and taken off.
"""

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Literal

import uvloop

from privyseald.audit.checkpoint_key import CheckpointKey, generate_checkpoint_key
from privyseald.audit.entry import Entry
from privyseald.audit.log import AuditLog
from privyseald.audit.verify import verify
from privyseald.audit_config import AuditConfig
from privyseald.clock import SystemClock
from privyseald.log import configure_log
from privyseald.signing.secret import SecretBytes

_LINES = 20_000
_KEY = generate_checkpoint_key()
Write = Callable[[], Awaitable[None]]


def entry() -> Entry:
    """Return what a Sign leaves."""
    return Entry(
        "privyseal.v1.SigningService/Sign",
        "spiffe://trading.example.com/market-maker",
        "keys/whitebit-1",
        key_version=1,
        venue="whitebit",
        operation="POST /api/v4/order/new",
        rule="market-maker",
        decision="allowed",
        request_id="8b1f3a52-5f0e-4a1c-9a51-0b8f1d6f7c11",
        request_sha256="ab" * 32,
        nonce="1763806500000",
        code="OK",
    )


async def get_key() -> SecretBytes:
    """Return the key of the checkpoints."""
    return SecretBytes(_KEY.reveal())


async def nothing() -> None:
    """Take a turn of the event loop, as a write does."""
    await asyncio.sleep(0)


async def cost_us(write: Write, lanes: int, count: int, pause_s: float) -> tuple[float, float]:
    """Return CPU and wall time a line, in microseconds."""

    async def lane() -> None:
        for _ in range(count // lanes):
            await asyncio.sleep(pause_s)
            await write()

    cpu, wall = time.process_time(), time.perf_counter()
    await asyncio.gather(*(lane() for _ in range(lanes)))
    return (time.process_time() - cpu) / count * 1e6, (time.perf_counter() - wall) / count * 1e6


async def measure(directory: Path, sync: Literal["none", "batch"]) -> None:
    """Print what a line costs."""
    config = AuditConfig(file=directory / f"{sync}.jsonl", sync=sync)
    log = AuditLog.open(config, SystemClock(), get_key=get_key)
    await log.start()

    async def write() -> None:
        await log.write(entry(), 120)

    for name, lanes, count, pause_s in (
        ("one by one, 1 ms apart", 1, 2_000, 0.001),
        ("32 at once", 32, _LINES, 0.0),
    ):
        alone, _ = await cost_us(nothing, lanes, count, pause_s)
        cpu, wall = await cost_us(write, lanes, count, pause_s)
        print(f"sync {sync:<6} {name:<24} CPU {cpu - alone:6.1f} µs   wall {wall:7.1f} µs a line")
    began = time.process_time()
    await log.write(entry(), 120, [entry()] * 1_000)
    print(
        f"sync {sync:<6} {'a batch of 1000':<24} CPU {(time.process_time() - began) * 1e3:6.1f} µs"
    )
    await log.close()


def measure_verify(directory: Path) -> None:
    """Print how fast a long log is read."""
    source = directory / "none.jsonl"
    size = source.stat().st_size
    key = CheckpointKey(SecretBytes(_KEY.reveal())).public_key
    began = time.process_time()
    report = verify([source], {key.key_id: key})
    spent = time.process_time() - began
    assert report.findings == (), report.findings  # noqa: S101
    print(
        f"verify: {size / 1e6 / spent:.0f} MB a second, {report.lines / spent:,.0f} lines a second"
        f" ({size / report.lines:.0f} bytes a line)"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--directory", type=Path, help="on the disk to measure")
    arguments = parser.parse_args()
    configure_log("error", "json")
    os.sched_setaffinity(0, {0})
    with tempfile.TemporaryDirectory(dir=arguments.directory) as name:
        for sync in ("none", "batch"):
            uvloop.run(measure(Path(name), sync))
        measure_verify(Path(name))


if __name__ == "__main__":
    main()
