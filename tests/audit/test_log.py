import asyncio
import hashlib
import json
import os
import socket
import stat
from dataclasses import fields
from pathlib import Path

import pytest
import structlog

from audit_log import (
    RPC,
    events_of,
    fill,
    get_key,
    lines_of,
    names_beside,
    opened,
    raw_lines,
    rpcs_of,
    signed,
    status_of,
)
from fakes import NOW_MS, FakeClock
from privyseald.audit.chain import NOTHING_BEFORE
from privyseald.audit.entry import Entry
from privyseald.audit.log import AuditLog
from privyseald.audit_config import AuditConfig
from privyseald.clock import SystemClock
from privyseald.config_error import ConfigInvalid
from privyseald.errors import AuditUnavailable, SecretStoreSealed
from privyseald.log import configure_log
from privyseald.signing.secret import SecretBytes
from service import eventually


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the log goes."""
    return tmp_path / "deep" / "audit.jsonl"


async def test_a_line_says_all_that_is_known(path: Path) -> None:
    """Each field of the entry that has a value stands in the line, beside its place and time."""
    texts = {each.name: f"the {each.name}" for each in fields(Entry) if each.name != "key_version"}
    async with opened(path) as log:
        await log.write(Entry(key_version=3, **texts), 1_234)

    start, line, _, _ = lines_of(path)
    assert {
        "sequence": 2,
        "previous": hashlib.sha256(raw_lines(path)[0]).hexdigest(),
        "chain": start["chain"],
        "replica": socket.gethostname(),
        "time_us": NOW_MS * 1_000,
        **texts,
        "key_version": 3,
        "duration_us": 1_234,
    } == line


async def test_what_is_not_known_is_left_out(path: Path) -> None:
    """Empty fields take no room."""
    async with opened(path) as log:
        await log.write(Entry(RPC), 5)

    assert [{"sequence", "previous", "chain", "replica", "time_us", "rpc", "duration_us"}] == [
        set(line) for line in rpcs_of(path)
    ]


async def test_each_line_holds_the_hash_of_the_one_before(path: Path) -> None:
    """Sequences grow by one, `previous` is the SHA-256 of the line before, the first has none."""
    async with opened(path) as log:
        await fill(log, 100)

    before = NOTHING_BEFORE
    lines = raw_lines(path)
    for number, line in enumerate(lines, start=1):
        assert (number, before) == (json.loads(line)["sequence"], json.loads(line)["previous"])
        before = hashlib.sha256(line).hexdigest()
    assert 103 == len(lines)


async def test_a_life_begins_and_ends_in_the_log(path: Path) -> None:
    """The first line says that nothing was found, the last is a checkpoint behind the stop."""
    async with opened(path) as log:
        await log.write(Entry(RPC), 1)

    assert ["start", "rpc", "stop", "checkpoint"] == events_of(path)
    assert ("nothing", os.getpid()) == (lines_of(path)[0]["found"], lines_of(path)[0]["pid"])


async def test_an_event_is_recorded(path: Path) -> None:
    """What no RPC brought about has a line too, without a duration."""
    async with opened(path) as log:
        await log.record(Entry(event="session-renewed", key="keys/kx", code="OK"))

    line = lines_of(path)[1]
    assert ("session-renewed", "keys/kx") == (line["event"], line["key"])
    assert {"rpc", "duration_us"}.isdisjoint(line)


async def test_a_line_for_nobody_is_written_too(path: Path) -> None:
    """The line of a caller who has gone takes its place in the order."""
    async with opened(path) as log:
        log.note(Entry(RPC, code="CANCELLED"), 1)
        await log.write(Entry(RPC, code="OK"), 1)

    assert ["CANCELLED", "OK"] == [line["code"] for line in rpcs_of(path)]


async def test_parts_stand_before_the_whole(path: Path) -> None:
    """A batch's lines come together, and the line of the whole last."""
    async with opened(path) as log:
        await log.write(Entry("batch"), 1, [Entry("batch[1]"), Entry("batch[2]")])

    assert ["batch[1]", "batch[2]", "batch"] == [line["rpc"] for line in rpcs_of(path)]


async def test_lines_at_once_keep_their_order(path: Path) -> None:
    """Lines of one turn of the event loop go out in the order in which they came."""
    async with opened(path) as log:
        await asyncio.gather(*(log.write(Entry(RPC, nonce=str(n)), n) for n in range(1_000)))

    assert list(range(1_000)) == [line["duration_us"] for line in rpcs_of(path)]


async def test_where_many_come_they_are_written_together(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Above a few thousand lines a second one write takes several; each still waits for its own."""
    sizes: list[int] = []
    write = os.write

    def note(file: int, data: bytes) -> int:
        sizes.append(data.count(b"\n"))
        return write(file, data)

    async with opened(path, SystemClock(), key=None) as log:
        monkeypatch.setattr(os, "write", note)
        await asyncio.gather(*(fill(log, 100) for _ in range(20)))
        monkeypatch.undo()

    assert 2_000 == len(rpcs_of(path)) == sum(sizes)
    assert len(sizes) < 1_000


async def test_a_text_can_not_forge_a_line(path: Path) -> None:
    """Line breaks and quotes of a caller's stay inside their field."""
    forged = '"}\n{"rpc":"forged"}\r\u2028\x00\x1b[2J'
    async with opened(path, key=None) as log:
        await log.write(Entry(RPC, key=forged), 1)

    assert 3 == len(raw_lines(path))
    assert [forged] == [line["key"] for line in rpcs_of(path)]


async def test_workers_have_files_and_names_of_their_own(path: Path) -> None:
    """Each worker of a host writes beside the file that is named, and says which it is."""
    async with opened(path, worker=1), opened(path, worker=2):
        pass

    for number in (1, 2):
        lines = lines_of(path.with_name(f"audit-worker-{number}.jsonl"))
        assert {f"{socket.gethostname()}/worker-{number}"} == {line["replica"] for line in lines}
    assert ["audit-worker-1.jsonl", "audit-worker-2.jsonl"] == names_beside(path)


async def test_the_file_is_private(path: Path) -> None:
    """Nobody else reads who signed what."""
    async with opened(path):
        assert 0o600 == stat.S_IMODE(status_of(path).st_mode)


async def test_without_a_path_lines_go_to_standard_output(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """For a container whose output is collected: a chain of its own at each start."""
    configure_log("info", "json")
    for _ in range(2):
        log = AuditLog.open(AuditConfig(), FakeClock(), get_key=get_key)
        await log.start()
        await log.write(Entry(RPC), 1)
        await log.close()
    structlog.reset_defaults()

    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert ["start", "", "stop", "checkpoint"] * 2 == [line.get("event", "") for line in lines]
    assert [1, 2, 3, 4] * 2 == [line["sequence"] for line in lines]
    assert lines[0]["chain"] != lines[4]["chain"]
    os.fstat(1)


async def test_a_path_that_can_not_be_opened_is_named(tmp_path: Path) -> None:
    """A directory, or a path below a file, is the operator's to correct."""
    (tmp_path / "file").write_bytes(b"")

    for wrong in (tmp_path, tmp_path / "file" / "audit.jsonl"):
        with pytest.raises(ConfigInvalid, match=rf"^audit.file: {wrong} can't be opened"):
            AuditLog.open(AuditConfig(file=wrong), FakeClock())


async def test_a_file_has_one_writer(path: Path) -> None:
    """A second process would tear the chain, so it does not start; the name is free afterwards."""
    async with opened(path):
        with pytest.raises(ConfigInvalid, match="is written by another process"):
            AuditLog.open(AuditConfig(file=path), FakeClock())
    async with opened(path):
        pass


async def test_closing_twice_is_harmless(path: Path) -> None:
    """After the end every line is refused, and a second close adds nothing."""
    log = AuditLog.open(AuditConfig(file=path), FakeClock())
    await log.start()
    await log.close()
    await log.close()

    with pytest.raises(AuditUnavailable):
        await log.write(Entry(RPC), 1)
    with pytest.raises(AuditUnavailable):
        log.check_room()
    log.note(Entry(RPC), 1)
    assert ["start", "stop"] == events_of(path)


async def test_a_log_that_never_began_lets_its_file_go(path: Path) -> None:
    """A start that fails between opening and beginning leaves no lock."""
    await AuditLog.open(AuditConfig(file=path), FakeClock()).close()
    async with opened(path):
        pass


async def test_checkpoints_follow_the_lines(path: Path) -> None:
    """Every so many lines one is signed, and counts them."""
    async with opened(path, checkpoint_lines=10) as log:
        await fill(log, 1)
        await signed(log)
        await asyncio.gather(*(log.write(Entry(RPC), 1) for _ in range(35)))

    counts = [line["count"] for line in lines_of(path) if line.get("event") == "checkpoint"]
    assert [10, 10, 10, 8] == counts


async def test_checkpoints_follow_the_clock(path: Path) -> None:
    """Lines are signed after a while, and where there are no new lines nothing is."""
    clock = FakeClock()
    async with opened(path, clock, timeout_ms=20, checkpoint_ms=1_000) as log:
        await fill(log, 3)
        for _ in range(3):
            clock.advance(1_000)
            await asyncio.sleep(0.05)
        await fill(log, 1)
        clock.advance(1_000)

        async def is_signed() -> bool:
            return events_of(path)[-1] == "checkpoint"

        await eventually(is_signed)

    kinds = ["start", "rpc", "rpc", "rpc", "checkpoint", "rpc", "checkpoint", "stop", "checkpoint"]
    assert kinds == events_of(path)


async def test_without_its_key_the_log_says_so_and_goes_on(path: Path) -> None:
    """A store that is away at the start delays signatures, not lines."""
    refusals = [SecretStoreSealed("sealed")]

    async def key() -> SecretBytes:
        if refusals:
            raise refusals.pop()
        return await get_key()

    async with opened(path, key=key) as log:
        await fill(log, 2)
        await signed(log)

    events = events_of(path)
    assert ["checkpoint", "rpc", "rpc", "start", "stop", "unsigned"] == sorted(events)
    assert "SECRET_STORE_SEALED" == lines_of(path)[events.index("unsigned")]["reason"]
