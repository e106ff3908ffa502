import errno
import json
import os
import resource
import socket
import stat
from dataclasses import fields
from pathlib import Path

import pytest

from fakes import NOW_MS, FakeClock
from privyseald.audit.entry import Entry
from privyseald.audit.log import AuditLog
from privyseald.config_error import ConfigInvalid
from privyseald.errors import AuditUnavailable

RPC = "privyseal.v1.SigningService/Sign"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the log goes."""
    return tmp_path / "deep" / "audit.jsonl"


@pytest.fixture
def log(path: Path) -> AuditLog:
    """An open log."""
    return AuditLog.open_path(path, FakeClock())


def lines_of(path: Path) -> list[dict[str, object]]:
    """Return the whole lines that are JSON."""
    found = []
    for line in path.read_bytes().splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def test_a_line_says_all_that_is_known(log: AuditLog, path: Path) -> None:
    """Each field of the entry that has a value stands in the line, beside time and sequence."""
    texts = {each.name: f"the {each.name}" for each in fields(Entry) if each.name != "key_version"}
    entry = Entry(key_version=3, **texts)

    log.write(entry, 1_234)

    expected = {
        "time_us": NOW_MS * 1_000,
        "sequence": 1,
        "replica": socket.gethostname(),
        **texts,
        "key_version": 3,
        "duration_us": 1_234,
    }
    assert [expected] == lines_of(path)


def test_what_is_not_known_is_left_out(log: AuditLog, path: Path) -> None:
    """Empty fields take no room."""
    log.write(Entry(RPC), 5)

    assert [{"time_us", "sequence", "replica", "rpc", "duration_us"}] == [
        set(line) for line in lines_of(path)
    ]


def test_a_worker_is_named_beside_its_host(path: Path) -> None:
    """Lines of several workers on one host can be told apart by their replica."""
    for worker in (1, 2):
        log = AuditLog.open_path(path, FakeClock(), worker=worker)
        log.write(Entry(RPC), 1)
        log.close()

    host = socket.gethostname()
    assert [f"{host}/worker-1", f"{host}/worker-2"] == [each["replica"] for each in lines_of(path)]


def test_lines_are_numbered(log: AuditLog, path: Path) -> None:
    """The sequence grows by one a line, so that a gap shows."""
    for _ in range(100):
        log.write(Entry(RPC), 1)

    assert list(range(1, 101)) == [line["sequence"] for line in lines_of(path)]


def test_a_text_can_not_forge_a_line(log: AuditLog, path: Path) -> None:
    """Line breaks and quotes of a caller's stay inside their field."""
    forged = '"}\n{"rpc":"forged"}\r\u2028\x00\x1b[2J'
    log.write(Entry(RPC, key=forged), 1)

    assert 1 == path.read_bytes().count(b"\n")
    assert [forged] == [line["key"] for line in lines_of(path)]


def test_the_file_is_private(path: Path) -> None:
    """Nobody else reads who signed what."""
    AuditLog.open_path(path, FakeClock()).close()

    assert 0o600 == stat.S_IMODE(path.stat().st_mode)


def test_lines_are_added_to_those_that_are_there(path: Path) -> None:
    """A restart goes on below the old lines."""
    for _ in range(2):
        log = AuditLog.open_path(path, FakeClock())
        log.write(Entry(RPC), 1)
        log.close()

    assert [1, 1] == [line["sequence"] for line in lines_of(path)]


def test_without_a_path_lines_go_to_standard_output(capfd: pytest.CaptureFixture[str]) -> None:
    """For a container whose output is collected."""
    log = AuditLog.open_path(None, FakeClock())
    log.write(Entry(RPC), 1)
    log.close()

    assert RPC == json.loads(capfd.readouterr().out)["rpc"]
    os.fstat(1)


def test_a_path_that_can_not_be_opened_is_named(tmp_path: Path) -> None:
    """A directory, or a path below a file, is the operator's to correct."""
    (tmp_path / "file").write_bytes(b"")

    for wrong in (tmp_path, tmp_path / "file" / "audit.jsonl"):
        with pytest.raises(ConfigInvalid, match=rf"^audit.file: {wrong} can't be opened"):
            AuditLog.open_path(wrong, FakeClock())


def test_a_full_device_is_an_error() -> None:
    """A line that is not written is never passed over."""
    log = AuditLog.open_path(Path("/dev/full"), FakeClock())
    with pytest.raises(AuditUnavailable, match="withheld") as caught:
        log.write(Entry(RPC), 1)

    assert 1_000 == caught.value.retry_after_ms
    log.close()


def test_a_line_that_is_cut_off_is_an_error_and_spoils_no_other(log: AuditLog, path: Path) -> None:
    """When the disk fills up inside a line, the caller hears of it; the next line is whole."""
    log.write(Entry(RPC), 1)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 20, before[1]))
    try:
        for _ in range(3):
            with pytest.raises(AuditUnavailable):
                log.write(Entry(RPC), 1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    for _ in range(2):
        log.write(Entry(RPC), 1)

    assert [1, 5, 6] == [line["sequence"] for line in lines_of(path)]
    assert 4 == len(path.read_bytes().splitlines())


def test_a_short_write_is_finished(
    log: AuditLog, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipe may take a part at a time; the line goes out whole."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:7]))
    for _ in range(3):
        log.write(Entry(RPC), 1)

    assert [1, 2, 3] == [line["sequence"] for line in lines_of(path)]
    assert 3 == len(path.read_bytes().splitlines())


def test_a_reader_that_is_gone_is_an_error() -> None:
    """A closed pipe withholds the answer too."""
    reader, writer = os.pipe()
    os.close(reader)
    log = AuditLog(writer, FakeClock())

    with pytest.raises(AuditUnavailable):
        log.write(Entry(RPC), 1)
    log.close()


def test_closing_twice_is_harmless(log: AuditLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second close touches no descriptor, and after it every line is refused."""
    synced: list[int] = []
    fsync = os.fsync

    def note(file: int) -> None:
        synced.append(file)
        fsync(file)

    monkeypatch.setattr(os, "fsync", note)
    log.close()
    log.close()

    assert 1 == len(synced)
    with pytest.raises(AuditUnavailable):
        log.write(Entry(RPC), 1)


def test_a_disk_that_fails_at_the_end_still_lets_the_file_go(
    log: AuditLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sync that fails does not leave the descriptor open."""
    descriptor = log._file

    def broken(_file: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    log.close()

    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
