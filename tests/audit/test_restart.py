"""What a process finds that another left, and how it goes on so that this is provable."""

import asyncio
import hashlib
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from audit_log import (
    PUBLIC_KEY,
    append,
    content_of,
    events_of,
    fill,
    lines_of,
    move,
    names_beside,
    opened,
    put,
    put_lines,
    raw_lines,
    rpcs_of,
    signed,
    status_of,
)
from privyseald.audit.finding import Severity
from privyseald.audit.log_lines import find_files
from privyseald.audit.verify import Report, verify
from privyseald.clock import Clock, SystemClock

KEYS = {PUBLIC_KEY.key_id: PUBLIC_KEY}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the log goes."""
    return tmp_path / "audit.jsonl"


async def live(path: Path, count: int = 3, clock: Clock | None = None) -> None:
    """Start, write some lines, and stop in order."""
    async with opened(path, clock, checkpoint_lines=100) as log:
        await signed(log)
        await fill(log, count)


def verified(path: Path) -> Report:
    """Return what a verifier says of all files beside the log."""
    return verify(find_files([path.parent]), KEYS)


def found(path: Path) -> list[str]:
    """Return what each start found."""
    return [line["found"] for line in lines_of(path) if line.get("event") == "start"]


async def test_a_chain_goes_on_after_a_stop(path: Path) -> None:
    """One chain over three lives, each with its start and its stop, all of it proven."""
    for _ in range(3):
        await live(path)

    report = verified(path)
    assert () == report.findings
    assert (1, 18) == (len(report.runs), report.runs[0].proven_sequence)
    assert ["nothing", "whole", "whole"] == found(path)


async def test_a_tail_that_was_cut_off_before_a_start_is_named(path: Path) -> None:
    """Wherever the last life's lines were cut, the next start shows that it did not end so."""
    await live(path)
    whole = raw_lines(path)
    for count in range(1, len(whole)):
        put_lines(path, whole[:count])
        await live(path)
        report = verified(path)
        assert Severity.UNPROVEN is report.worst, count
        assert [("restart", count + 1)] == [(each.kind, each.line) for each in report.findings]


async def test_a_whole_life_that_was_cut_off_is_found_by_who_knows_its_end(path: Path) -> None:
    """Cut back to the stop of an earlier life the chain is whole; only what was kept elsewhere
    tells.
    """
    await live(path)
    earlier = raw_lines(path)
    await live(path)
    put_lines(path, earlier)
    await live(path)

    assert () == verified(path).findings


@pytest.mark.parametrize("size", [1, 40, 200])
async def test_a_line_that_was_cut_off_is_closed_off(path: Path, size: int) -> None:
    """A part of a line stays, ends there, and the next line says what it is."""
    await live(path)
    part = raw_lines(path)[1][:size]
    append(path, part)
    await live(path)

    assert ["nothing", "torn"] == found(path)
    start = lines_of(path)[6]
    assert (size, hashlib.sha256(part).hexdigest()) == (start["torn_bytes"], start["torn_sha256"])
    assert part == raw_lines(path)[6]
    (finding,) = verified(path).findings
    assert (Severity.NOTE, "no-line", 7) == (finding.severity, finding.kind, finding.line)


async def test_a_line_that_lacks_its_newline_alone_is_whole(path: Path) -> None:
    """It is in the chain, and gets its newline."""
    await live(path)
    put(path, content_of(path)[:-1])
    await live(path)

    assert () == verified(path).findings
    assert ["nothing", "whole"] == found(path)


async def test_another_cut_line_is_not_taken_for_ours(path: Path) -> None:
    """What the start says is torn is that part and no other."""
    await live(path)
    append(path, b'{"half')
    await live(path)
    lines = raw_lines(path)
    put_lines(path, [*lines[:6], b'{"other', *lines[7:]])

    assert [("no-line", 7)] == [(each.kind, each.line) for each in verified(path).findings]
    assert Severity.BROKEN is verified(path).worst


async def test_what_was_changed_before_a_start_is_told_by_the_start(path: Path) -> None:
    """The service looks at the end of what it finds, says in the log that it was changed, and
    goes on.
    """
    await live(path)
    lines = raw_lines(path)
    put_lines(path, [*lines[:2], lines[2].replace(b"keys/", b"keyz/"), *lines[3:]])
    await live(path)

    assert ["nothing", "broken"] == found(path)
    report = verified(path)
    assert ["edited", "found-broken"] == [each.kind for each in report.findings]
    assert [3, 7] == [each.line for each in report.findings]


@pytest.mark.parametrize(
    ("content", "count"),
    [
        (b'{"sequence":1,"rpc":"of an older release"}\n', 1),
        (b"a\nb\nc\n", 3),
        (b"a\nb", 2),
        (b"half", 1),
        (b"\n", 1),
    ],
)
async def test_other_lines_in_the_file_stay_and_a_chain_begins(
    path: Path, content: bytes, count: int
) -> None:
    """Lines of an older release are no part of the chain, but whether they changed since shows."""
    put(path, content)
    await live(path)

    report = verified(path)
    assert [("no-line", Severity.UNPROVEN, 1, count)] == [
        (each.kind, each.severity, each.line, each.last_line) for each in report.findings
    ]
    assert content_of(path).startswith(content)
    lines = raw_lines(path)
    put_lines(path, [*lines[: count - 1], b"changed", *lines[count:]])
    assert Severity.BROKEN is verified(path).worst


async def test_an_empty_file_goes_on_where_the_rotated_one_ended(path: Path) -> None:
    """A crash between rotation and the next line does not end the chain."""
    await live(path)
    older = path.with_name("audit.20261122T101400Z-000000000001.jsonl")
    move(path, path.with_name("audit.20261122T101500Z-000000000006.jsonl"))
    put(older, b"an older one\n")
    put(path, b"")
    await live(path)
    put(older, b"")

    report = verified(path)
    assert ((), 1, 12) == (report.findings, len(report.runs), report.runs[0].sequence)
    assert "audit.20261122T101500Z-000000000006.jsonl" == lines_of(path)[0]["previous_file"]


async def test_a_missing_file_goes_on_too(path: Path) -> None:
    """The same where the crash came between the two renamings."""
    await live(path)
    move(path, path.with_name("audit.20261122T101500Z-000000000006.jsonl"))
    put(path.with_name("audit.jsonl.next"), b"")
    await live(path)

    assert () == verified(path).findings
    assert 2 == len(find_files([path.parent]))


async def test_the_end_of_a_long_file_is_read_alone(path: Path) -> None:
    """Of a file larger than what a start looks at, the chain goes on as well."""
    async with opened(path) as log:
        await signed(log)
        await asyncio.gather(*(fill(log, 1, request_sha256="ab" * 32) for _ in range(2_000)))
    assert status_of(path).st_size > 600_000
    await live(path)

    assert () == verified(path).findings
    assert ["nothing", "whole"] == found(path)


async def test_unsigned_lines_are_counted_over_a_restart(path: Path) -> None:
    """A checkpoint says how many lines it covers, also those of the life before."""
    async with opened(path, key=None) as log:
        await fill(log, 5)
    await live(path, 1)

    assert [10] == [line["count"] for line in lines_of(path) if line.get("event") == "checkpoint"]
    assert ["restart"] == [each.kind for each in verified(path).findings]


def test_a_killed_process_is_followed_provably(path: Path) -> None:
    """After kill -9 at any moment no line that was acknowledged is missing; the chain goes on."""
    program = Path(__file__).with_name("write_and_die.py")
    acknowledged = 0
    for _ in range(5):
        with subprocess.Popen(
            [sys.executable, str(program), str(path)], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                acknowledged += int(line)
                if acknowledged % 7_000 > 900:
                    break
            process.send_signal(signal.SIGKILL)
            # Those that were written and not told of yet.
            acknowledged += sum(int(line) for line in process.stdout if line.endswith("\n"))
    asyncio.run(live(path, clock=SystemClock()))

    report = verified(path)
    assert Severity.BROKEN is not report.worst, report.findings
    assert {each.kind for each in report.findings} <= {"restart", "no-line"}
    assert len(rpcs_of(path)) >= acknowledged + 3 > 1_000
    assert 6 == events_of(path).count("start")
    assert ["audit.jsonl"] == names_beside(path)
