"""The state remembers how far a log had come, so that a start knows what is missing."""

from collections.abc import Callable
from pathlib import Path

import pytest

from audit_log import (
    PUBLIC_KEY,
    GetKey,
    events_of,
    fill,
    get_key,
    lines_of,
    move,
    put_lines,
    raw_lines,
    signed,
)
from fakes import FakeClock
from privyseald.audit.finding import Severity
from privyseald.audit.log import AuditLog
from privyseald.audit.log_lines import find_files
from privyseald.audit.verify import verify
from privyseald.audit_config import AuditConfig
from privyseald.errors import SecretStoreSealed
from privyseald.signing.secret import SecretBytes
from privyseald.state.embedded import EmbeddedState
from privyseald.state.sealed_values import SealedValues
from service import eventually

KEYS = {PUBLIC_KEY.key_id: PUBLIC_KEY}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the log goes."""
    return tmp_path / "log" / "audit.jsonl"


async def sealing_key() -> SecretBytes:
    """Return the key that seals the state."""
    return SecretBytes(bytes(32))


async def live(
    path: Path,
    until: Callable[[], bool] = lambda: True,
    *,
    key: GetKey = sealing_key,
    count: int = 3,
) -> None:
    """Start on a state that is opened anew, write some lines, and stop in order."""
    state = EmbeddedState.open_path(path.parent.parent / "nonces.high-water")
    values = SealedValues(state, key)
    log = AuditLog.open(AuditConfig(file=path), FakeClock(), get_key=get_key, values=values)
    await log.start()
    await signed(log)
    await fill(log, count)

    async def is_so() -> bool:
        witness = log._witness
        return until() and witness is not None and (key is away or witness._is_compared)

    await eventually(is_so)
    await log.close()
    await state.close()


async def away() -> SecretBytes:
    """Raise, as a secret store that is sealed."""
    raise SecretStoreSealed("sealed")


def found(path: Path) -> list[tuple[str, Severity]]:
    """Return what a verifier finds in all files beside the log."""
    report = verify(find_files([path.parent]), KEYS)
    return [(each.kind, each.severity) for each in report.findings]


async def test_a_log_that_nobody_touched_is_recognised(path: Path) -> None:
    """Start after start the log is the one that was noted."""
    for _ in range(3):
        await live(path)

    assert [] == found(path)
    assert "cut" not in events_of(path)


async def test_a_life_that_was_cut_off_whole_is_told(path: Path) -> None:
    """Even where the cut is right behind an orderly stop, the next start misses the lines."""
    await live(path)
    earlier = raw_lines(path)
    await live(path)
    last = lines_of(path)[-1]
    put_lines(path, earlier)
    await live(path, lambda: "cut" in events_of(path))

    assert [("found-cut", Severity.BROKEN)] == found(path)
    (told,) = [line for line in lines_of(path) if line.get("event") == "cut"]
    assert (last["chain"], last["sequence"]) == (told["noted_chain"], told["noted_sequence"])
    await live(path)
    assert 1 == events_of(path).count("cut")


async def test_a_log_that_is_gone_is_told(path: Path) -> None:
    """Where the file was removed, or moved while nobody wrote, the new chain names the old one."""
    await live(path)
    move(path, path.with_name("elsewhere"))
    await live(path, lambda: "cut" in events_of(path))

    assert [("found-other", Severity.UNPROVEN)] == found(path)


async def test_what_can_not_be_compared_now_is_compared_later(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the state's key is away nothing is noted, so that what was noted stays."""
    await live(path)
    earlier = raw_lines(path)
    await live(path)
    put_lines(path, earlier)
    await live(path, key=away, count=1)
    assert "cut" not in events_of(path)
    monkeypatch.setattr("privyseald.audit.witness._PAUSE_S", 0.01)
    await live(path, lambda: "cut" in events_of(path), count=0)

    assert [("found-cut", Severity.BROKEN)] == found(path)
