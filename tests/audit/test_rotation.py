import asyncio
import re
from pathlib import Path

import pytest

from audit_log import (
    PUBLIC_KEY,
    events_of,
    fill,
    lines_of,
    move,
    names_beside,
    opened,
    rpcs_of,
    signed,
)
from fakes import FakeClock
from privyseald.audit.log_lines import find_files
from privyseald.audit.verify import Report, verify
from service import eventually

KEYS = {PUBLIC_KEY.key_id: PUBLIC_KEY}
NAME = re.compile(r"audit\.[0-9]{8}T[0-9]{6}Z-[0-9]{12}\.jsonl")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the log goes."""
    return tmp_path / "log" / "audit.jsonl"


def verified(path: Path) -> Report:
    """Return what a verifier says of all files beside the log."""
    return verify(find_files([path.parent]), KEYS)


def rotated(path: Path) -> list[Path]:
    """Return the old files, the oldest first."""
    return [path.with_name(name) for name in names_beside(path) if name != path.name]


async def test_rotation_under_load_loses_nothing(path: Path) -> None:
    """While fifty write at once the log goes from file to file, and every line is there once."""
    async with opened(path, rotate_bytes=20_000, checkpoint_lines=100) as log:
        await signed(log)
        await asyncio.gather(*(fill(log, 40, caller=str(lane)) for lane in range(50)))

    report = verified(path)
    assert ((), 1) == (report.findings, len(report.runs))
    lines = [line for file in [*rotated(path), path] for line in rpcs_of(file)]
    assert {(str(lane), number) for lane in range(50) for number in range(40)} == {
        (line["caller"], line["duration_us"]) for line in lines
    }
    assert 2_000 == len(lines)
    assert report.files > 10


async def test_old_files_have_names_that_sort_and_end_signed(path: Path) -> None:
    """The name has time and last sequence; the last line is a checkpoint, the first names the
    file before.
    """
    clock = FakeClock()
    async with opened(path, clock, rotate_bytes=4_096) as log:
        await signed(log)
        for _ in range(60):
            await fill(log, 1)
            clock.advance(100)

    files = rotated(path)
    assert len(files) >= 3
    before = ""
    for file in files:
        assert NAME.fullmatch(file.name), file.name
        first, *_, last = lines_of(file)
        assert ("checkpoint", last["sequence"]) == (
            last["event"],
            int(file.stem.rpartition("-")[2]),
        )
        assert before == first.get("previous_file", "")
        before = file.name
    sequences = [line["sequence"] for file in [*files, path] for line in lines_of(file)]
    assert list(range(1, len(sequences) + 1)) == sequences


async def test_a_file_may_be_rotated_by_age(path: Path) -> None:
    """After a while the file is closed, if anything was written to it since."""
    clock = FakeClock()
    async with opened(path, clock, rotate_age_ms=60_000, timeout_ms=20) as log:
        await signed(log)
        await fill(log, 1)
        clock.advance(60_000)

        async def is_rotated() -> bool:
            return len(names_beside(path)) == 2

        await eventually(is_rotated)
        await asyncio.sleep(0.1)
        assert 2 == len(names_beside(path))

    assert () == verified(path).findings
    assert ["file", "stop", "checkpoint"] == events_of(path)


async def test_only_so_many_old_files_are_kept(path: Path) -> None:
    """The oldest go, and the log says which before they do."""
    async with opened(path, rotate_bytes=4_096, keep_files=2) as log:
        await signed(log)
        path.with_name("other.20261122T101500Z-000000000001.jsonl").write_bytes(b"not ours")
        for _ in range(80):
            await fill(log, 1)

        async def are_removed() -> bool:
            return len(names_beside(path)) == 4

        await eventually(are_removed)

    kept = [file for file in rotated(path) if file.name.startswith("audit.")]
    said = [
        line["file"]
        for file in [*kept, path]
        for line in lines_of(file)
        if line.get("event") == "delete"
    ]
    assert 2 == len(kept)
    assert said
    assert sorted(said) == said
    assert all(NAME.fullmatch(name) and not path.with_name(name).exists() for name in said)
    assert {"begins-later"} == {each.kind for each in verify([*kept, path], KEYS).findings}


async def test_a_file_that_somebody_moved_is_followed_by_a_new_one(path: Path) -> None:
    """Where a tool of the host rotates, lines go on at the path within seconds, in one chain."""
    clock = FakeClock()
    moved = path.with_name("audit.jsonl.1")
    async with opened(path, clock, timeout_ms=20) as log:
        await signed(log)
        await fill(log, 2)
        move(path, moved)
        await fill(log, 2)
        clock.advance(5_000)

        async def is_there() -> bool:
            return path.name in names_beside(moved)

        await eventually(is_there)
        await fill(log, 2)

    assert ["start", "rpc", "rpc", "rpc", "rpc"] == events_of(moved)
    assert ["file", "rpc", "rpc", "stop", "checkpoint"] == events_of(path)
    assert "moved" == lines_of(path)[0]["found"]
    assert () == verify([path, moved], KEYS).findings


async def test_a_rotation_that_fails_is_put_off(path: Path) -> None:
    """Where no new file can be made, lines go on in the old one, and nothing is lost."""
    async with opened(path, rotate_bytes=4_096) as log:
        await signed(log)
        blocked = path.with_name("audit.jsonl.next")
        blocked.mkdir()
        await fill(log, 60)
        blocked.rmdir()
        assert ["audit.jsonl"] == names_beside(path)

    assert 60 == len(rpcs_of(path))
    assert () == verified(path).findings
