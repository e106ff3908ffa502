import asyncio
import json
import os
import signal
from pathlib import Path

from privyseald.telemetry.catalogue import OF_A_SUPERVISOR
from privyseald.telemetry.exposition import merged
from privyseald.workers.report import LONGEST_LINE, Report
from telemetry.scraped import STANDARD, Scraped, fetch, scrape
from workers.crew import Crew, running

TINY = "privyseal_tiny_total"


async def test_one_page_has_the_metrics_of_all(tmp_path: Path) -> None:
    """Each worker's own, and the supervisor's as worker 0; every metric in one piece."""
    async with running(Crew(tmp_path)) as crew:
        await crew.until_health(ready=True)
        found = await scrape(crew.supervisor.http_port)
        assert [found.value(TINY, worker=str(number)) for number in (1, 2)] == [1, 2]
        for metric in OF_A_SUPERVISOR:
            assert found.labels[metric.name] == {frozenset({*metric.labels, "worker"})}
        assert found.value("privyseal_workers", state="configured", worker="0") == 2
        assert found.value("privyseal_workers", state="ready", worker="0") == 2
        own = {name for name in found.kinds if not name.startswith(STANDARD)}
        assert own == {metric.name for metric in OF_A_SUPERVISOR} | {TINY}


async def test_a_worker_that_stands_still_is_left_out_and_counted(tmp_path: Path) -> None:
    """The scrape comes back after a second with the others; and is whole again after it."""
    async with running(Crew(tmp_path)) as crew:
        await crew.until_health(ready=True)
        (pid,) = crew.pids(1)
        os.kill(pid, signal.SIGSTOP)
        try:
            async with asyncio.timeout(5):
                pages = await asyncio.gather(*(scrape(crew.supervisor.http_port) for _ in range(3)))
            for found in pages:
                assert (found.value(TINY, worker="1"), found.value(TINY, worker="2")) == (0, 2)
        finally:
            os.kill(pid, signal.SIGCONT)
        async with asyncio.timeout(10):
            while (found := await scrape(crew.supervisor.http_port)).value(TINY, worker="1") != 1:
                pass
        assert found.value("privyseal_worker_scrape_failures_total", worker="0") >= 1


async def test_a_dead_worker_is_counted_and_not_ready(tmp_path: Path) -> None:
    """Readiness names it; the next life tells its metrics."""
    async with running(Crew(tmp_path)) as crew:
        await crew.until_health(ready=True)
        page = await fetch(crew.supervisor.http_port, "/readyz")
        assert (page.status, json.loads(page.body)) == (
            200,
            {"ready": True, "checks": {"worker_1": "ok", "worker_2": "ok"}},
        )
        crew.set_mood(1, "not ready")
        await crew.until_health(ready=False)
        page = await fetch(crew.supervisor.http_port, "/readyz")
        assert (page.status, json.loads(page.body)) == (
            503,
            {"ready": False, "checks": {"worker_1": "not ready", "worker_2": "ok"}},
        )
        crew.set_mood(1, "ready")
        os.kill(crew.pids(1)[0], signal.SIGKILL)
        await crew.until(lambda: len(crew.pids(1)) == 2)
        await crew.until_health(ready=True)
        found = await scrape(crew.supervisor.http_port)
        assert found.value("privyseal_worker_deaths_total", worker="0") == 1
        assert (await fetch(crew.supervisor.http_port, "/livez")).status == 200


async def test_the_port_may_be_off(tmp_path: Path) -> None:
    """The supervisor listens nowhere then."""
    async with running(Crew(tmp_path, http_ops_listen="off")) as crew:
        await crew.until_health(ready=True)
        assert crew.supervisor.http_port == 0


def test_metrics_too_long_for_the_link_stay_away() -> None:
    """The report goes, without them: a line that is too long would look like a worker gone mad."""
    report = Report(is_ready=True, metrics="x" * LONGEST_LINE)
    assert Report.of_line(report.to_line()) == Report(is_ready=True)
    report = Report(is_ready=True, metrics='a{b="c\\n"} 1\n' * 1_000)
    assert Report.of_line(report.to_line()) == report


def test_texts_are_merged_by_metric() -> None:
    """A metric that only one worker has is told too, and labels may hold anything."""
    one = (
        b'# HELP a A.\n# TYPE a gauge\na{l="# HELP b",worker="1"} 1\n# HELP b B.\n# TYPE b gauge\n'
    )
    two = (
        b'# HELP b B.\n# TYPE b gauge\nb{worker="2"} 2\n'
        b'# HELP a A.\n# TYPE a gauge\na{worker="2"} 3\n'
    )
    found = Scraped(merged([one, two]).decode())
    assert found.value("a", l="# HELP b", worker="1") == 1
    assert (found.value("a", worker="2"), found.value("b", worker="2")) == (3, 2)
    assert merged([]) == b""
