import asyncio
import errno
import gc
import os
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from disk import full_disk
from privyseald.clock import SystemClock
from privyseald.config_error import ConfigInvalid
from privyseald.errors import StateUnavailable
from privyseald.state.counter import Counter
from privyseald.state.embedded import EmbeddedState
from privyseald.state.high_water_file import HighWaterFile
from privyseald.state.state import HIGHEST
from privyseald.state.values import Values
from state_home import step_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the marks are."""
    return tmp_path / "deep" / "nonces.high-water"


@pytest.fixture
async def state(path: Path) -> AsyncIterator[EmbeddedState]:
    """A state that is closed at the end."""
    opened = EmbeddedState.open_path(path)
    yield opened
    await opened.close()


@contextmanager
def blocked_replacement(path: Path) -> Iterator[None]:
    """Let a directory stand where the new file is written before it replaces the old one."""
    path.with_name(path.name + ".new").mkdir()
    try:
        yield
    finally:
        path.with_name(path.name + ".new").rmdir()


def opened(path: Path, compact_after: int) -> EmbeddedState:
    """Return a state whose high-water file is replaced after so many lines."""
    file = HighWaterFile.open_path(path, compact_after=compact_after)
    clock = SystemClock()
    return EmbeddedState(file, Values(file.beside(".values"), clock), clock)


def mark(value: int) -> Counter:
    """Return a counter as a line with a mark alone says it."""
    return Counter(value, value)


def lines_in(path: Path) -> int:
    """Return how long the file is."""
    return len(path.read_bytes().splitlines())


def marks_in(path: Path) -> dict[str, int]:
    """Return the marks that a process which starts now would find."""
    copy = path.with_name("copy")
    copy.write_bytes(path.read_bytes())
    file = HighWaterFile.open_path(copy)
    file.close()
    return {name: counter.given for name, counter in file.marks.items()}


def test_the_file_is_private_and_made_with_its_directory(path: Path) -> None:
    """A first start makes what is missing, for this user alone."""
    HighWaterFile.open_path(path).close()

    assert 0o600 == stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("room", [0, 5])
async def test_a_full_disk_gives_no_value(path: Path, state: EmbeddedState, room: int) -> None:
    """Where the mark can't be written, also not whole, the step is refused and nothing is lost."""
    first = await state.advance("n", step_of(1_000, HIGHEST, 10))
    with full_disk(path, room):
        for _ in range(3):
            with pytest.raises(StateUnavailable, match="high-water") as caught:
                await state.advance("n", step_of(2_000, HIGHEST, 10))
        with pytest.raises(StateUnavailable):
            await state.advance("longer-name", step_of(2_000_000, HIGHEST, 10))
    assert 1_000 == caught.value.retry_after_ms

    assert 2_000 == await state.advance("n", step_of(2_000, HIGHEST, 10))
    assert 5 == await state.advance("m", step_of(5, HIGHEST, 0))
    assert 1_000 == first
    assert {"n": 2_010, "m": 5} == marks_in(path)


async def test_values_that_were_marked_ahead_outlive_a_full_disk(
    path: Path, state: EmbeddedState
) -> None:
    """Up to the mark on disk steps go on, and a write ahead that fails harms nobody."""
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _loop, context: complaints.append(context)
    )
    await state.advance("n", step_of(1_000, HIGHEST, 100))
    with full_disk(path):
        answers = [await state.advance("n", step_of(0, HIGHEST, 100)) for _ in range(100)]
        await asyncio.sleep(0.05)
        gc.collect()
        with pytest.raises(StateUnavailable):
            await state.advance("n", step_of(0, HIGHEST, 100))

    assert (list(range(1_001, 1_101)), []) == (answers, complaints)


async def test_a_sync_that_fails_gives_no_value(
    path: Path, state: EmbeddedState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line that was written and not synced does not count, and spoils no later one."""

    def broken(_file: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", broken)
        with pytest.raises(StateUnavailable):
            await state.advance("a-long-name-of-a-counter", step_of(123_456_789, HIGHEST, 10))

    assert 7 == await state.advance("n", step_of(7, HIGHEST, 0))
    assert {"n": 7} == marks_in(path)


async def test_a_replacement_counts_when_its_directory_is_synced(
    state: EmbeddedState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No line is added to a new file that a crash could still turn back into the old one."""
    synced: list[str] = []
    fsync, fdatasync = os.fsync, os.fdatasync

    def note_fsync(file: int) -> None:
        is_directory = stat.S_ISDIR(os.fstat(file).st_mode)
        if is_directory and not synced.count("refused"):
            synced.append("refused")
            raise OSError(errno.EIO, "Input/output error")
        synced.append("directory" if is_directory else "file")
        fsync(file)

    def note_fdatasync(file: int) -> None:
        synced.append("line")
        fdatasync(file)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "fdatasync", note_fdatasync)
    with pytest.raises(OSError, match="Input/output"):
        state._file.rewrite({"n": mark(1)})
    await state.advance("n", step_of(7, HIGHEST, 0))
    await state.advance("n", step_of(8, HIGHEST, 0))

    assert ["file", "refused", "directory", "line", "line"] == synced


async def test_a_compaction_that_fails_harms_nothing(path: Path) -> None:
    """Marks count as long as they can be added; the compaction is tried again, and told of."""
    state = opened(path, compact_after=5)
    with blocked_replacement(path), capture_logs() as log:
        for value in range(1, 8):
            assert value == await state.advance("n", step_of(value, HIGHEST, 0))
    assert 7 == lines_in(path)

    for value in range(8, 11):
        await state.advance("n", step_of(value, HIGHEST, 0))

    assert ["high-water file not compacted"] == [line["event"] for line in log]
    assert ({"n": 10}, 1) == (marks_in(path), lines_in(path))
    await state.close()


async def test_a_compaction_keeps_the_marks_of_all(path: Path) -> None:
    """The file stays small, whatever the number of steps, and holds every counter."""
    state = opened(path, compact_after=10)
    for value in range(1, 101):
        steps = [state.advance(f"n{each}", step_of(value, HIGHEST, 0)) for each in range(3)]
        await asyncio.gather(*steps)

    assert lines_in(path) < 3 + 10
    assert {"n0": 100, "n1": 100, "n2": 100} == marks_in(path)
    await state.close()


async def test_an_orderly_end_on_a_full_disk_is_told_and_safe(path: Path) -> None:
    """A close that can't write leaves the higher marks, and lets the lock go."""
    state = EmbeddedState.open_path(path)
    given = await state.advance("n", step_of(1_000, HIGHEST, 100))
    with blocked_replacement(path), capture_logs() as log:
        await state.close()

    assert ["high-water file not rewritten"] == [line["event"] for line in log]
    again = EmbeddedState.open_path(path)
    assert given < await again.advance("n", step_of(0, HIGHEST, 100))
    await again.close()


@pytest.mark.parametrize("torn", [b"n 99", b"n 9999999", b"n", b"\0\0\0\0", b"\xff\xfe"])
def test_a_torn_last_line_is_dropped(path: Path, torn: bytes) -> None:
    """What a crash cut off was handed out to nobody; the whole lines count."""
    path.parent.mkdir()
    path.write_bytes(b"n 1000\nm 5\n" + torn)

    file = HighWaterFile.open_path(path)
    file.put("n", mark(1_001))
    file.close()

    assert b"n 1000\nm 5\nn 1001\n" == path.read_bytes()
    assert {"n": 1_001, "m": 5} == marks_in(path)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"n",
        b"n 12x",
        b"n  12",
        b"n -1",
        b"n 1.5",
        b"n 12 ",
        b"\xff 12",
        b"\0\0",
        b"n 1" * 9,
        b"n 1 2 3",
        b"n 1 2 3 4 5 x",
    ],
)
def test_a_damaged_line_is_refused_by_name(path: Path, line: bytes) -> None:
    """A line that can't be read stops the start, and the message names line and file."""
    path.parent.mkdir()
    path.write_bytes(b"n 1000\n" + line + b"\nm 5\n")

    with pytest.raises(ConfigInvalid, match=rf"^state.path: line 2 of {path} is damaged"):
        EmbeddedState.open_path(path)

    path.write_bytes(b"n 1000\n")
    HighWaterFile.open_path(path).close()


def test_the_highest_mark_of_a_name_counts(path: Path) -> None:
    """The order of lines means nothing."""
    path.parent.mkdir()
    path.write_bytes(b"n 5\nn 9\nm 1\nn 7\n")

    assert {"n": 9, "m": 1} == marks_in(path)


async def test_a_file_of_the_first_release_is_read(path: Path) -> None:
    """Its lines have a mark alone; the first step adds what a resync needs."""
    await asyncio.to_thread(path.parent.mkdir)
    await asyncio.to_thread(path.write_bytes, b"n 1000\nm 5\nn 1500\n")

    state = EmbeddedState.open_path(path)
    assert (1_500, 1_500) == await state.resync("n", 700)
    assert [1_501, 6] == [await state.advance(name, step_of(0)) for name in ("n", "m")]
    await state.close()
    assert {"n": 1_501, "m": 6} == marks_in(path)


async def test_a_resync_on_a_full_disk_changes_nothing(path: Path, state: EmbeddedState) -> None:
    """It is refused, the counter goes on where it was, and with space it is done."""
    step = replace(step_of(1_000, slack=10), gap=100)
    await state.advance("n", step)
    await state.advance("n", replace(step, floor=90_000))
    with full_disk(path), pytest.raises(StateUnavailable, match="high-water"):
        await state.resync("n", 2_000)

    assert 90_001 == await state.advance("n", step)
    assert (90_001, 2_000) == await state.resync("n", 2_000)
    assert 2_001 == await state.advance("n", step)


def test_a_second_process_is_refused_and_told_why(path: Path) -> None:
    """Two processes on one file would hand out the same values: the second does not start."""
    file = HighWaterFile.open_path(path)
    file.put("n", mark(1))
    program = (
        "import sys; from pathlib import Path; "
        "from privyseald.state.embedded import EmbeddedState; "
        "EmbeddedState.open_path(Path(sys.argv[1]))"
    )
    command = [sys.executable, "-c", program, str(path)]
    refused = subprocess.run(command, capture_output=True, check=False, timeout=60)
    file.rewrite(file.marks)
    refused_after_replacement = subprocess.run(
        command, capture_output=True, check=False, timeout=60
    )
    file.close()

    for done in (refused, refused_after_replacement):
        assert f"state.path: {path} is in use by another process".encode() in done.stderr
    subprocess.run(command, check=True, timeout=60)


def test_a_link_and_its_file_are_one_state(path: Path, tmp_path: Path) -> None:
    """A link to the file meets the same lock, and stays a link."""
    file = HighWaterFile.open_path(path)
    link = tmp_path / "link"
    link.symlink_to(path)

    with pytest.raises(ConfigInvalid, match="in use"):
        HighWaterFile.open_path(link)

    file.close()
    HighWaterFile.open_path(link).close()
    assert link.is_symlink()


def test_a_path_that_can_hold_no_file_is_refused(tmp_path: Path) -> None:
    """A directory, or a path below a file, is a mistake of the operator's, and told as one."""
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "directory").mkdir()

    for wrong in (tmp_path / "file" / "below", tmp_path / "directory"):
        with pytest.raises(ConfigInvalid, match=rf"^state.path: {wrong} can't be opened"):
            EmbeddedState.open_path(wrong)


def test_a_start_on_a_full_disk_is_refused(path: Path, tmp_path: Path) -> None:
    """A service that could give no nonce does not start, and says which disk to look at."""
    path.parent.mkdir()
    path.write_bytes(b"n 5\n")
    (tmp_path / "empty").write_bytes(b"")

    with full_disk(tmp_path / "empty"), pytest.raises(ConfigInvalid, match="with space"):
        EmbeddedState.open_path(path)

    assert {"n": 5} == marks_in(path)
