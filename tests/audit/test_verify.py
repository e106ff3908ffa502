"""Every way to change a log that was written, and what `verify` says of it."""

import asyncio
import gzip
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit_log import OTHER_KEY, PUBLIC_KEY, fill, opened, raw_lines, signed
from fakes import FakeClock
from privyseald.audit.checkpoint_key import AuditPublicKey
from privyseald.audit.finding import Finding, Findings, Severity
from privyseald.audit.log_lines import find_files
from privyseald.audit.proof import Expected
from privyseald.audit.verify import Report, verify

KEYS = {PUBLIC_KEY.key_id: PUBLIC_KEY}
SHA256 = "ab" * 32


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """A short log with several checkpoints, the last behind a stop."""
    return written(tmp_path_factory.mktemp("short") / "audit.jsonl", 14)


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """The log of another replica."""
    return written(tmp_path_factory.mktemp("other") / "audit.jsonl", 14)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """A log of ten thousand lines."""
    return written(tmp_path_factory.mktemp("long") / "audit.jsonl", 10_000, 1_000)


def written(path: Path, count: int, checkpoint_lines: int = 5) -> list[bytes]:
    """Return the lines of a log that lived in order."""

    async def write() -> None:
        async with opened(path, checkpoint_lines=checkpoint_lines) as log:
            await signed(log)
            for start in range(0, count, 500):
                await asyncio.gather(
                    *(fill(log, 1, request_sha256=SHA256) for _ in range(min(500, count - start)))
                )

    asyncio.run(write())
    return raw_lines(path)


def check(
    directory: Path,
    *files: Iterable[bytes],
    keys: Iterable[AuditPublicKey] = (PUBLIC_KEY,),
    expected: Expected | None = None,
) -> Report:
    """Verify files of these lines."""
    paths = []
    for number, file in enumerate(files):
        path = directory / f"audit-{number}.jsonl"
        path.write_bytes(b"".join(line + b"\n" for line in file))
        paths.append(path)
    return verify(paths, {key.key_id: key for key in keys}, expected)


def broken(report: Report) -> list[tuple[str, int, int]]:
    """Return kind and lines of what is broken."""
    return [
        (each.kind, each.line, each.last_line)
        for each in report.findings
        if each.severity is Severity.BROKEN
    ]


def kinds(report: Report) -> list[str]:
    """Return the kinds of all that was found."""
    return [each.kind for each in report.findings]


def names_line(report: Report, number: int) -> bool:
    """Whether the report is that something is broken at this line."""
    return any(first <= number <= last for _, first, last in broken(report))


def test_a_log_that_nobody_touched_is_intact(tmp_path: Path, lines: list[bytes]) -> None:
    """With the key all is proven, to the last line, and nothing is remarked."""
    report = check(tmp_path, lines)

    assert (Severity.NOTE, ()) == (report.worst, report.findings)
    (run,) = report.runs
    assert (len(lines), len(lines), 1) == (run.proven_sequence, run.sequence, run.first_sequence)
    assert (len(lines), 1, 4) == (report.lines, report.files, run.checkpoints)


def test_ten_thousand_lines_are_intact(tmp_path: Path, many: list[bytes]) -> None:
    """A long log with its checkpoints verifies."""
    report = check(tmp_path, many)

    assert (Severity.NOTE, ()) == (report.worst, report.findings)
    assert (11, len(many)) == (report.runs[0].checkpoints, report.runs[0].proven_sequence)


@pytest.mark.parametrize("number", [1, 2, 6, 20])
def test_every_edited_byte_is_found(tmp_path: Path, lines: list[bytes], number: int) -> None:
    """Whatever byte of a line is changed, the line is named."""
    line = lines[number - 1]
    missed = []
    for place, byte in enumerate(line):
        for new in {byte ^ 1, ord("1"), ord("x"), ord("\n")} - {byte}:
            edited = line[:place] + bytes([new]) + line[place + 1 :]
            report = check(tmp_path, [*lines[: number - 1], edited, *lines[number:]])
            if not names_line(report, number):
                missed.append((place, new, report.findings))

    assert [] == missed


@pytest.mark.parametrize("number", [2, 500, 1_000, 1_001, 1_002, 5_555, 10_000])
def test_an_edit_in_a_long_log_is_found(tmp_path: Path, many: list[bytes], number: int) -> None:
    """Among ten thousand lines it is that one which is named, and no other."""
    edited = many[number - 1].replace(b'"time_us":17', b'"time_us":16', 1)
    report = check(tmp_path, [*many[: number - 1], edited, *many[number:]])

    assert {(number, number)} == {(first, last) for _, first, last in broken(report)}


def test_every_removed_line_is_found(tmp_path: Path, lines: list[bytes]) -> None:
    """The line behind the gap is named; without the last line the end is not proven."""
    for number in range(1, len(lines)):
        report = check(tmp_path, [*lines[: number - 1], *lines[number:]])
        assert [("missing", number, number)] == broken(report), number
    assert ["end"] == kinds(check(tmp_path, lines[:-1]))


@pytest.mark.parametrize("count", [2, 7, 1_000, 3_333])
def test_several_removed_lines_are_counted(tmp_path: Path, many: list[bytes], count: int) -> None:
    """The gap says how many lines are missing."""
    report = check(tmp_path, [*many[:4_000], *many[4_000 + count :]])

    assert [("missing", 4_001, 4_001)] == broken(report)
    assert f"{count} removed" in report.findings[0].message


def test_every_swap_of_neighbours_is_found(tmp_path: Path, lines: list[bytes]) -> None:
    """Two lines that change places are both named."""
    for number in range(2, len(lines)):
        swapped = [*lines[: number - 1], lines[number], lines[number - 1], *lines[number + 1 :]]
        report = check(tmp_path, swapped)
        assert names_line(report, number), number
        assert names_line(report, number + 1), number


def test_every_repeated_line_is_found(tmp_path: Path, lines: list[bytes]) -> None:
    """A line that stands there twice is named where it stands the second time."""
    for number in range(1, len(lines) + 1):
        report = check(tmp_path, [*lines[:number], lines[number - 1], *lines[number:]])
        assert [(number + 1, number + 1)] == [found[1:] for found in broken(report)], number


def test_every_inserted_line_is_found(
    tmp_path: Path, lines: list[bytes], others: list[bytes]
) -> None:
    """A line of another log, a made-up one, and what is no line are each named."""
    for number in range(1, len(lines) + 2):
        for inserted in (others[6], b'{"rpc":"forged"}', b"", b"\xff"):
            report = check(tmp_path, [*lines[: number - 1], inserted, *lines[number - 1 :]])
            assert names_line(report, number), (number, inserted)


def test_a_forged_line_that_fits_is_told_from_the_real_one(
    tmp_path: Path, lines: list[bytes]
) -> None:
    """An inserted line with the right sequence and hash is found by what the next line holds."""
    for number in range(2, len(lines)):
        forged = json.dumps({**json.loads(lines[number - 1]), "key": "keys/forged"}).encode()
        before = check(tmp_path, [*lines[: number - 1], forged, *lines[number - 1 :]])
        behind = check(tmp_path, [*lines[:number], forged, *lines[number:]])
        assert names_line(before, number), number
        assert names_line(behind, number + 1), number


def test_a_tail_without_a_checkpoint_is_not_proven(tmp_path: Path, lines: list[bytes]) -> None:
    """Wherever it is cut: either no checkpoint is behind the last line, or no stop before it."""
    for count in range(1, len(lines)):
        report = check(tmp_path, lines[:count])
        is_signed = json.loads(lines[count - 1]).get("event") == "checkpoint"
        assert ["open-end" if is_signed else "end"] == kinds(report), count
        assert (Severity.NOTE if is_signed else Severity.UNPROVEN) == report.worst


def test_a_cut_is_found_by_who_knows_what_must_be_there(tmp_path: Path, lines: list[bytes]) -> None:
    """A sequence, or a hash, that was kept elsewhere tells a shorter log from a whole one."""
    last = check(tmp_path, lines).runs[0]
    whole, cut = lines, lines[:6]
    for expected in (Expected(last.sequence), Expected(last.sequence, last.sha256)):
        assert [] == broken(check(tmp_path, whole, expected=expected))
        assert [("cut", 0, 0)] == broken(check(tmp_path, cut, expected=expected))
    wrong = Expected(last.sequence, "00" * 32)
    assert [("cut", 0, 0)] == broken(check(tmp_path, whole, expected=wrong))


def test_a_known_hash_proves_as_a_signature_does(tmp_path: Path, lines: list[bytes]) -> None:
    """Without a key, lines up to the one whose hash is known are proven, and no others."""
    last = check(tmp_path, lines).runs[0]
    expected = Expected(last.sequence, last.sha256)

    assert Severity.NOTE is check(tmp_path, lines, keys=(), expected=expected).worst
    middle = Expected(5, json.loads(lines[5])["previous"])
    assert ["no-key"] == kinds(check(tmp_path, lines, keys=(), expected=middle))


def test_without_a_key_it_says_so(tmp_path: Path, lines: list[bytes]) -> None:
    """The chain alone proves nothing against who could write all of it."""
    report = check(tmp_path, lines, keys=())

    assert (Severity.UNPROVEN, ["no-key"]) == (report.worst, kinds(report))
    assert "whoever could write the files could write all of them anew" in (
        report.findings[0].message
    )


def test_another_key_is_not_the_key(tmp_path: Path, lines: list[bytes]) -> None:
    """Checkpoints of a key that was not given are named; one of two keys may be the right one."""
    report = check(tmp_path, lines, keys=(OTHER_KEY,))

    assert {"wrong-key"} == {kind for kind, *_ in broken(report)}
    assert PUBLIC_KEY.key_id in report.findings[0].message
    assert () == check(tmp_path, lines, keys=(OTHER_KEY, PUBLIC_KEY)).findings


def test_a_forged_checkpoint_is_found(tmp_path: Path, lines: list[bytes]) -> None:
    """A log written anew with a chain that holds fails at its first signature."""
    path = tmp_path / "audit.jsonl"
    forged = [line.replace(b"keys/0", b"keys/9") for line in lines]
    rechained: list[bytes] = []
    for line in forged:
        previous = json.loads(line)["previous"].encode()
        rechained.append(
            line.replace(previous, sha256_of(rechained[-1]).encode()) if rechained else line
        )
    path.write_bytes(b"".join(line + b"\n" for line in rechained))
    report = verify([path], KEYS)

    assert {"bad-signature"} == {kind for kind, *_ in broken(report)}
    assert 4 == len(broken(report))


def sha256_of(line: bytes) -> str:
    """Return what the next line must hold."""
    return hashlib.sha256(line).hexdigest()


def test_two_chains_do_not_mix(tmp_path: Path, lines: list[bytes], others: list[bytes]) -> None:
    """One file has one writer: lines of two logs in turns, or in blocks, are found."""
    turns = [line for pair in zip(lines, others, strict=True) for line in pair]
    blocks = [*lines[:7], *others[:7], *lines[7:], *others[7:]]
    for mixed in (turns, blocks):
        report = check(tmp_path, mixed)
        assert {"foreign", "mixed"} & {kind for kind, *_ in broken(report)}


def test_one_chain_may_follow_another(
    tmp_path: Path, lines: list[bytes], others: list[bytes]
) -> None:
    """What standard output collected over two starts is two chains, each proven."""
    report = check(tmp_path, [*lines, *others])

    assert ((), 2) == (report.findings, len(report.runs))


def test_a_chain_that_ended_without_proof_is_named_before_the_next(
    tmp_path: Path, lines: list[bytes], others: list[bytes]
) -> None:
    """The end of each chain counts, not only that of the last."""
    report = check(tmp_path, [*lines[:-1], *others])

    assert ["end"] == kinds(report)
    assert len(lines) - 1 == report.findings[0].line


def test_a_missing_file_is_named(tmp_path: Path, many: list[bytes]) -> None:
    """Where one of three files is not there the first line of the next is named."""
    files = [many[:3_000], many[3_000:6_000], many[6_000:]]
    assert () == check(tmp_path, *files).findings
    report = check(tmp_path, files[0], files[2])

    assert [("missing", 1, 1)] == broken(report)
    assert "is a file missing?" in report.findings[0].message


def test_the_order_of_the_names_does_not_matter(tmp_path: Path, many: list[bytes]) -> None:
    """Files are put in order by what they hold."""
    assert () == check(tmp_path, many[6_000:], many[:3_000], many[3_000:6_000]).findings


def test_a_copy_of_a_file_is_named(tmp_path: Path, many: list[bytes]) -> None:
    """Lines that were given twice are one finding, not thousands."""
    report = check(tmp_path, many[:3_000], many[:3_000], many[3_000:])
    assert Severity.BROKEN is report.worst
    assert {"repeated"} <= {kind for kind, *_ in broken(report)}
    assert len(report.findings) < 10


def test_old_files_need_not_be_given(tmp_path: Path) -> None:
    """A chain may begin later, with the first line of a file; what is before is not proven."""

    async def rotate() -> None:
        async with opened(tmp_path / "audit.jsonl", rotate_bytes=4_096) as log:
            await signed(log)
            await fill(log, 60)

    asyncio.run(rotate())
    files = find_files([tmp_path])
    assert len(files) > 3
    assert () == verify(files, KEYS).findings
    report = verify(files[1:], KEYS)
    assert (Severity.NOTE, ["begins-later"]) == (report.worst, kinds(report))
    assert report.runs[0].first_sequence > 1


def test_packed_files_are_read(tmp_path: Path, many: list[bytes]) -> None:
    """What an operator compressed is verified as it is; one that is damaged is named."""
    content = b"".join(line + b"\n" for line in many)
    path = tmp_path / "audit.1.jsonl.gz"
    path.write_bytes(gzip.compress(content))
    assert () == verify(find_files([tmp_path]), KEYS).findings

    path.write_bytes(gzip.compress(content)[:-2_000])
    assert "unreadable" in kinds(verify([path], KEYS))


def test_a_line_without_an_end_is_not_proven(tmp_path: Path, lines: list[bytes]) -> None:
    """Half a line at the end is what a writer at work leaves, or one that died."""
    path = tmp_path / "audit.jsonl"
    path.write_bytes(b"".join(line + b"\n" for line in lines)[:-5])
    report = verify([path], KEYS)

    assert (Severity.UNPROVEN, ["torn", "end"]) == (report.worst, kinds(report))


def test_nothing_is_no_proof(tmp_path: Path) -> None:
    """An empty file, or one of other lines, is not intact."""
    assert ["empty"] == kinds(check(tmp_path, []))
    assert [("no-line", 1, 2)] == broken(check(tmp_path, [b"a", b"b"]))


def test_a_clock_that_was_set_back_is_only_remarked(tmp_path: Path) -> None:
    """Time is what the machine said; the order is that of the sequences."""

    async def write() -> None:
        clock = FakeClock()
        async with opened(tmp_path / "audit.jsonl", clock) as log:
            await signed(log)
            await fill(log, 2)
            clock.step(-3_600_000)
            await fill(log, 2)

    asyncio.run(write())
    report = verify(find_files([tmp_path]), KEYS)
    assert (Severity.NOTE, [("clock", 4)]) == (
        report.worst,
        [(each.kind, each.line) for each in report.findings],
    )


def test_findings_are_bounded() -> None:
    """A log of noise fills no memory: neighbours are one, the rest is counted."""
    findings = Findings(limit=10)
    for number in range(1, 1_001):
        findings.add(Finding(Severity.BROKEN, "no-line", "a", number, number, "is no line"))
    for number in range(1, 1_001):
        findings.add(Finding(Severity.NOTE, "clock", "b", number * 2, number * 2, "back"))

    assert (10, 991) == (len(findings.listed), findings.left_out)
    assert ("a:1-1000", "b:2") == (findings.listed[0].place, findings.listed[1].place)
    assert Severity.BROKEN is findings.worst


def test_an_endless_line_is_read_in_bounded_memory(tmp_path: Path, lines: list[bytes]) -> None:
    """A file of hundreds of megabytes without a newline is no line, whatever its size."""
    path = tmp_path / "audit.jsonl"
    with path.open("wb") as file:
        file.write(b"".join(line + b"\n" for line in lines))
        for _ in range(40):
            file.write(b"x" * 1_048_576)
        file.write(b"\n")
    report = verify([path], KEYS)

    assert [("no-line", 21, 23)] == broken(report)


_EDIT = st.tuples(
    st.sampled_from(["change", "remove", "repeat", "move", "insert"]),
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.integers(0, 255),
)


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(edits=st.lists(_EDIT, min_size=1, max_size=4))
def test_no_combination_of_edits_goes_unnoticed(
    tmp_path: Path, lines: list[bytes], edits: list[tuple[str, int, int, int]]
) -> None:
    """A log whose bytes before the last checkpoint differ from what was written is never intact."""
    changed = list(lines)
    for kind, first, second, byte in edits:
        _apply(changed, kind, first % len(changed), second, byte)
    report = check(tmp_path, changed)

    if b"\n".join(changed) == b"\n".join(lines):
        assert () == report.findings
    elif changed == lines[: len(changed)]:
        assert set(kinds(report)) <= {"end", "open-end"} != set()
    else:
        assert report.worst is not Severity.NOTE


def _apply(lines: list[bytes], kind: str, place: int, other: int, byte: int) -> None:
    line = lines[place]
    if kind == "change" and line:
        at = other % len(line)
        lines[place] = line[:at] + bytes([byte]) + line[at + 1 :]
    elif kind == "remove" and len(lines) > 1:
        del lines[place]
    elif kind == "repeat":
        lines.insert(other % (len(lines) + 1), line)
    elif kind == "move":
        lines.insert(other % len(lines), lines.pop(place))
    elif kind == "insert":
        lines.insert(place, bytes([byte]) * (other % 50))
