import asyncio
import select
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from privyseald.workers.link import WorkerLink
from privyseald.workers.report import Report
from workers.crew import TINY, config_of


@pytest.mark.parametrize("report", [Report(), Report(is_ready=True), Report(invalid='"\n\u2028é')])
def test_a_report_arrives_as_it_was(report: Report) -> None:
    """One line each, whatever the words."""
    line = report.to_line()
    assert (1, True) == (line.count(b"\n"), line.endswith(b"\n"))
    assert report == Report.of_line(line)


@pytest.mark.parametrize("line", [b"", b"{", b"{}", b"[]", b'{"ready": 1, "invalid": ""}', b"\xff"])
def test_what_no_worker_says_is_refused(line: bytes) -> None:
    """Half a line of a worker that died is no report."""
    with pytest.raises(ValueError, match=r"."):
        Report.of_line(line)


def test_a_worker_can_not_be_started_by_hand(tmp_path: Path) -> None:
    """Without a supervisor at the other end of standard input, with a file or an empty socket."""
    ours, theirs = socket.socketpair()
    ours.close()
    for stdin in (subprocess.DEVNULL, theirs.fileno()):
        done = subprocess.run(
            [sys.executable, "-m", "privyseald", "serve", "--worker", "1"],
            stdin=stdin,
            capture_output=True,
            text=True,
            cwd=tmp_path,
            timeout=30,
            check=False,
        )
        assert (2, "") == (done.returncode, done.stdout)
        assert "error: --worker is for the workers that 'privyseal serve' starts" in done.stderr
        assert "Traceback" not in done.stderr
    theirs.close()


def test_a_supervisor_that_is_gone_hears_nothing(tmp_path: Path) -> None:
    """A worker that finds fault when nobody listens any more ends all the same."""
    ours, theirs = socket.socketpair()
    ours.close()
    WorkerLink(theirs, config_of(tmp_path)).refuse("store.key_file: can't read it")
    theirs.close()


def test_a_worker_whose_supervisor_is_gone_does_not_start(tmp_path: Path) -> None:
    """The configuration may still be there to be read when nobody is who sent it."""
    ours, theirs = socket.socketpair()
    ours.sendall(config_of(tmp_path).model_dump_json().encode() + b"\n")
    ours.close()
    done = subprocess.run(
        [sys.executable, str(TINY), str(tmp_path / "mood")],
        stdin=theirs.fileno(),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    theirs.close()
    assert 1 == done.returncode
    assert "ConfigInvalid: --worker is for the workers" in done.stderr


async def test_reports_end_with_the_supervisor(tmp_path: Path) -> None:
    """Whoever reports hears when there is nobody left, in order or by a reset."""
    for is_read in (True, False):
        ours, theirs = socket.socketpair()
        reports = asyncio.create_task(WorkerLink(theirs, config_of(tmp_path)).report(lambda: True))
        await asyncio.to_thread(select.select, [ours], [], [], 5)
        if is_read:
            assert Report(is_ready=True) == Report.of_line(ours.recv(100))
        ours.close()
        async with asyncio.timeout(5):
            await reports


async def test_metrics_that_fail_end_no_worker(tmp_path: Path) -> None:
    """It goes on to report: a worker that says nothing would be killed. Nobody hears the text."""

    def broken() -> bytes:
        raise AttributeError("s3cret")

    ours, theirs = socket.socketpair()
    with ours, capture_logs() as events:
        link = WorkerLink(theirs, config_of(tmp_path))
        reports = asyncio.create_task(link.report(lambda: True, broken))
        reader, writer = await asyncio.open_unix_connection(sock=ours)
        async with asyncio.timeout(5):
            for _ in range(3):
                writer.write(b"m")
                assert Report(is_ready=True) == Report.of_line(await reader.readline())
        writer.close()
        await writer.wait_closed()
        await reports
    assert events[0]["event"] == "internal error in metrics"
    assert "s3cret" not in str(events)
