"""A sink that is full, stuck or gone: what waits, what is withheld, and how it heals."""

import asyncio
import errno
import os
import resource
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from audit_log import (
    PUBLIC_KEY,
    RPC,
    answered,
    content_of,
    events_of,
    fill,
    get_key,
    lines_of,
    opened,
    put,
    rpcs_of,
    signed,
    status_of,
)
from fifo import Fifo
from privyseald.audit.entry import Entry
from privyseald.audit.finding import Severity
from privyseald.audit.log import AuditLog
from privyseald.audit.log_stream import LogStream
from privyseald.audit.verify import verify
from privyseald.audit_config import AuditConfig
from privyseald.clock import SystemClock
from privyseald.errors import AuditUnavailable, Overloaded
from service import eventually

KEYS = {PUBLIC_KEY.key_id: PUBLIC_KEY}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the log goes."""
    return tmp_path / "audit.jsonl"


@contextmanager
def full_beyond(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@asynccontextmanager
async def to_fifo(fifo: Fifo, **settings: Any) -> AsyncIterator[AuditLog]:
    """Open a log that goes into the pipe."""
    async with opened(fifo.path, SystemClock(), **settings) as log:
        await signed(log)
        yield log
        fifo.resume()


@pytest.fixture
def fifo(tmp_path: Path) -> Iterator[Fifo]:
    """A pipe whose reader reads."""
    with Fifo(tmp_path / "audit.fifo") as pipe:
        yield pipe


async def fill_up(log: AuditLog) -> None:
    """Write until the pipe is full and a write gives up."""

    async def fill_up_to_the_end() -> None:
        for _ in range(100):
            await asyncio.gather(*(log.write(Entry(RPC, code="OK"), 1) for _ in range(50)))

    with pytest.raises(AuditUnavailable, match="the answer is withheld"):
        await fill_up_to_the_end()


async def has_room(log: AuditLog) -> bool:
    """Whether an RPC could begin."""
    try:
        log.check_room()
    except (AuditUnavailable, Overloaded):
        return False
    return True


async def test_a_stalled_reader_withholds_answers_and_heals(fifo: Fifo) -> None:
    """Writers get an error in time, new work is refused at once, and all is as before when the
    reader reads; the log knows which answers went out.
    """
    async with to_fifo(fifo, timeout_ms=200) as log:
        await fill(log, 3)
        fifo.stop()
        done: set[int] = set()
        given_up = 0
        loop = asyncio.get_running_loop()
        for round_ in range(40):
            begun = loop.time()
            results = await asyncio.gather(
                *(log.write(Entry(RPC), 100 * round_ + n) for n in range(20)),
                return_exceptions=True,
            )
            assert loop.time() - begun < 5
            done |= {100 * round_ + n for n, each in enumerate(results) if each is None}
            given_up += sum(isinstance(each, AuditUnavailable) for each in results)
            if given_up:
                break
        assert given_up
        assert not log.is_writable
        with pytest.raises(AuditUnavailable, match="nothing was begun") as caught:
            log.check_room()
        assert 1_000 == caught.value.retry_after_ms
        fifo.resume()

        async def is_back() -> bool:
            return await has_room(log)

        await eventually(is_back)
        await fill(log, 3)
    await eventually_ends(fifo)
    lines = fifo.lines()
    went_out = [line["duration_us"] for line in lines if line["sequence"] in answered(lines)]
    assert sorted([*done, 0, 1, 2, 0, 1, 2]) == sorted(went_out)
    assert given_up == len([line for line in lines if "rpc" in line]) - len(went_out)
    (refused,) = {line["refused"] for line in lines if "refused" in line} or {0}
    assert refused >= 1


async def test_a_reader_s_log_is_a_chain_after_a_stall(fifo: Fifo, path: Path) -> None:
    """What came out of the pipe verifies, the stall and all."""
    async with to_fifo(fifo, timeout_ms=100) as log:
        fifo.stop()
        await fill_up(log)
        fifo.resume()

        async def is_back() -> bool:
            return await has_room(log)

        await eventually(is_back)
        await fill(log, 2)
    await eventually_ends(fifo)
    put(path, fifo.content)

    assert () == verify([path], KEYS).findings


async def eventually_ends(fifo: Fifo) -> None:
    """Return once the last checkpoint was read."""

    async def is_read() -> bool:
        events = [line.get("event") for line in fifo.lines()]
        return events[-2:] == ["stop", "checkpoint"]

    await eventually(is_read)


async def test_the_event_loop_never_waits_for_the_sink(fifo: Fifo) -> None:
    """While the pipe is full other tasks of the loop go on."""
    async with to_fifo(fifo, timeout_ms=300) as log:
        fifo.stop()
        task = asyncio.create_task(fill_up(log))
        longest, loop = 0.0, asyncio.get_running_loop()
        while not task.done():
            before = loop.time()
            await asyncio.sleep(0.001)
            longest = max(longest, loop.time() - before)
        await task
    assert longest < 0.25


async def test_the_queue_is_bounded_by_lines(fifo: Fifo) -> None:
    """From half of it on new work is refused with a delay; beyond the bound lines are lost, and
    counted.
    """
    async with to_fifo(fifo, timeout_ms=60_000, queue_lines=2_048) as log:
        fifo.stop()
        tasks = [asyncio.create_task(log.write(Entry(RPC), n)) for n in range(1_024)]
        await asyncio.sleep(0)
        assert await has_room(log)
        tasks += [asyncio.create_task(log.write(Entry(RPC), n)) for n in range(1_024)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded) as caught:
            log.check_room()
        assert 200 == caught.value.retry_after_ms
        with pytest.raises(AuditUnavailable):
            await log.write(Entry(RPC), 1)
        log.note(Entry(RPC), 1)
        fifo.resume()
        await asyncio.gather(*tasks)
        assert await has_room(log)
        await fill(log, 1)
    await eventually_ends(fifo)
    (told,) = [line for line in fifo.lines() if line.get("event") == "withheld"]
    assert (1, 2) == (told["refused"], told["lost"])
    assert 2_049 == len(answered(fifo.lines()))


async def test_the_queue_is_bounded_by_bytes(fifo: Fifo) -> None:
    """Few long lines fill it as many short ones do."""
    async with to_fifo(fifo, timeout_ms=60_000, queue_bytes=2_097_152) as log:
        fifo.stop()
        write = log.write(Entry("batch"), 1, [Entry(RPC, operation="x" * 1_000)] * 1_100)
        task = asyncio.create_task(write)
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            log.check_room()
        with pytest.raises(AuditUnavailable):
            await log.write(Entry("batch"), 1, [Entry(RPC, operation="x" * 1_000)] * 1_000)
        fifo.resume()
        await task


async def test_a_caller_who_leaves_while_the_line_is_written_is_told_of(fifo: Fifo) -> None:
    """An answer that nobody waited for any more is named, whether the line was on its way or
    waited itself.
    """
    async with to_fifo(fifo, timeout_ms=60_000) as log:
        fifo.stop()
        big = asyncio.create_task(log.write(Entry("big"), 1, [Entry(RPC, key="k" * 900)] * 200))
        await asyncio.sleep(0.05)
        waiting = asyncio.create_task(log.write(Entry("waiting"), 1))
        await asyncio.sleep(0)
        for task in (big, waiting):
            task.cancel()
        await asyncio.gather(big, waiting, return_exceptions=True)
        fifo.resume()
        await fill(log, 1)
    await eventually_ends(fifo)
    lines = fifo.lines()
    assert [True] == [line["withheld"] for line in lines if line.get("rpc") == "waiting"]
    (told,) = [line for line in lines if line.get("event") == "withheld"]
    (whole,) = [line["sequence"] for line in lines if line.get("rpc") == "big"]
    assert [[whole - 200, whole]] == told["sequences"]
    assert 1 == len(answered(lines))


async def test_the_end_does_not_wait_for_ever(fifo: Fifo) -> None:
    """A stalled sink does not keep the process from stopping."""
    log = AuditLog.open(AuditConfig(file=fifo.path, timeout_ms=50), SystemClock(), get_key=get_key)
    await log.start()
    fifo.stop()
    await fill_up(log)
    async with asyncio.timeout(10):
        await log.close()
    fifo.resume()


async def test_a_full_disk_is_an_error_at_once_and_heals(path: Path) -> None:
    """Where the disk is full every answer is withheld at once; nothing half-written stays, and
    with room again the log says what happened.
    """
    async with opened(path, SystemClock()) as log:
        await signed(log)
        await fill(log, 2)
        size = status_of(path).st_size
        with full_beyond(size + 300):
            results = await asyncio.gather(
                *(log.write(Entry(RPC, key="k" * 50), 100 + n) for n in range(5)),
                return_exceptions=True,
            )
            assert [AuditUnavailable] * 5 == [type(each) for each in results]
            assert size == status_of(path).st_size
            for _ in range(3):
                with pytest.raises(AuditUnavailable, match="nothing was begun"):
                    log.check_room()
            with pytest.raises(AuditUnavailable, match="withheld"):
                await log.write(Entry(RPC), 200)

        async def is_back() -> bool:
            return log.is_writable

        await eventually(is_back)
        await fill(log, 2)

    report = verify([path], KEYS)
    assert () == report.findings
    lines = lines_of(path)
    assert [100, 101, 102, 103, 104, 200] == [
        line["duration_us"] for line in lines if line.get("withheld")
    ]
    (told,) = [line for line in lines if line.get("event") == "withheld"]
    assert (3, True) == (told["refused"], told["since_us"] > 0)
    assert "sequences" not in told
    assert 4 == len(answered(lines))


async def test_a_full_disk_heals_without_a_caller(path: Path) -> None:
    """Where nobody asks any more, because the server is not ready, the log looks by itself."""
    async with opened(path, SystemClock()) as log:
        await signed(log)
        with full_beyond(status_of(path).st_size):
            with pytest.raises(AuditUnavailable):
                await log.write(Entry(RPC), 1)

            async def is_away() -> bool:
                return not log.is_writable

            await eventually(is_away)
            await asyncio.sleep(1.3)
            assert not log.is_writable

        async def is_back() -> bool:
            return log.is_writable

        await eventually(is_back)

    assert () == verify([path], KEYS).findings
    assert ["start", "rpc", "withheld", "checkpoint", "stop", "checkpoint"] == events_of(path)


async def test_a_full_device_is_an_error() -> None:
    """A line that is not written is never passed over."""
    async with opened(Path("/dev/full")) as log:
        with pytest.raises(AuditUnavailable) as caught:
            await log.write(Entry(RPC), 1)

    assert 1_000 == caught.value.retry_after_ms


async def test_a_line_that_can_not_be_taken_back_is_closed_off(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the file can't be cut back, whole lines stay in the chain, and the part of one is
    closed off and told of.
    """

    def refuse(_file: int, _size: int) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "ftruncate", refuse)
    async with opened(path, SystemClock()) as log:
        await signed(log)
        size = status_of(path).st_size
        with full_beyond(size + 1_000):
            results = await asyncio.gather(
                *(log.write(Entry(RPC), 100 + n) for n in range(9)), return_exceptions=True
            )
            assert {AuditUnavailable} == {type(each) for each in results}
            assert size + 1_000 == status_of(path).st_size

        async def is_back() -> bool:
            return log.is_writable

        await eventually(is_back)
        await fill(log, 1)

    report = verify([path], KEYS)
    assert [("no-line", Severity.NOTE)] == [(each.kind, each.severity) for each in report.findings]
    lines = lines_of(path)
    assert [*range(100, 109), 0] == [line["duration_us"] for line in rpcs_of(path)]
    assert 1 == len(answered(lines))
    assert 1 == events_of(path).count("torn")


async def test_a_disk_that_does_not_sync_withholds_the_answer(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `sync = "batch"` a line that may not be on the disk is not good enough."""

    def refuse(_file: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    async with opened(path, SystemClock(), sync="batch") as log:
        await signed(log)
        await fill(log, 1)
        with monkeypatch.context() as patch:
            patch.setattr(os, "fdatasync", refuse)
            with pytest.raises(AuditUnavailable):
                await log.write(Entry(RPC), 77)

        async def is_back() -> bool:
            return log.is_writable

        await eventually(is_back)

    assert () == verify([path], KEYS).findings
    assert [0, 77] == [line["duration_us"] for line in rpcs_of(path)]
    assert 1 == len(answered(lines_of(path)))


async def test_a_reader_that_is_gone_is_an_error() -> None:
    """A closed pipe withholds the answer too; whole lines that it took stay in the chain."""
    reader, writer = os.pipe()
    log = AuditLog(LogStream(writer), SystemClock())
    await log.start()
    await log.write(Entry(RPC), 1)
    os.close(reader)

    with pytest.raises(AuditUnavailable):
        await log.write(Entry(RPC), 1)
    assert not log.is_writable
    await log.close()


async def test_a_short_write_is_finished(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe may take a part at a time; the line goes out whole."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:7]))
    async with opened(path) as log:
        await fill(log, 3)
    monkeypatch.undo()

    assert 3 == len(rpcs_of(path))
    assert content_of(path).endswith(b"\n")
    assert () == verify([path], KEYS).findings
