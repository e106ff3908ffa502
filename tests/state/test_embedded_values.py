import asyncio
import errno
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from disk import full_disk
from fakes import FakeClock
from privyseald.config_error import ConfigInvalid
from privyseald.errors import StateUnavailable
from privyseald.state.embedded import EmbeddedState
from privyseald.state.values import Values
from service import eventually
from state_home import step_of

HOUR_MS = 3_600_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the high-water file is."""
    return tmp_path / "nonces.high-water"


@pytest.fixture
def values_path(tmp_path: Path) -> Path:
    """Where the values are."""
    return tmp_path / "nonces.high-water.values"


@pytest.fixture
def clock() -> FakeClock:
    """The clock of all that is opened."""
    return FakeClock()


def crash(state: EmbeddedState) -> None:
    """End the state without a goodbye."""
    state._thread.shutdown()
    state._file.close()
    state._values.abandon()


async def names_after_crash(state: EmbeddedState, path: Path, clock: FakeClock) -> list[str]:
    """End the state without a goodbye, and return the names that the next one finds."""
    crash(state)
    again = EmbeddedState.open_path(path, clock)
    names = sorted(await again.list(""))
    await again.close()
    return names


def change(path: Path, damage: Callable[[bytes], bytes]) -> None:
    """Change the content of a file from outside."""
    content = path.read_bytes()
    path.write_bytes(damage(content))
    assert content != path.read_bytes()


def rows_in(values_path: Path) -> list[str]:
    """Return the names in the file itself."""
    with sqlite3.connect(values_path) as connection:
        rows = [row[0] for row in connection.execute("SELECT name FROM value ORDER BY name")]
    connection.close()
    return rows


async def test_the_files_are_private(path: Path, values_path: Path, clock: FakeClock) -> None:
    """Nobody else reads what stands there, the log included."""
    state = EmbeddedState.open_path(path, clock)
    await state.put("n", b"one")

    files = sorted(path.parent.glob("*.values*"))
    assert values_path in files
    assert len(files) > 1
    assert {0o600} == {stat.S_IMODE(file.stat().st_mode) for file in files}
    await state.close()


@pytest.mark.parametrize("step_ms", [-24 * HOUR_MS, 24 * HOUR_MS])
async def test_times_run_by_the_monotonic_clock(path: Path, clock: FakeClock, step_ms: int) -> None:
    """A clock that is set neither ends a value nor keeps it, and a restart after it does not
    either.
    """
    state = EmbeddedState.open_path(path, clock)
    await state.put("short", b"", ttl_ms=60_000)
    await state.put("long", b"", ttl_ms=120_000)

    clock.step(step_ms)
    assert ["long", "short"] == sorted(await state.list(""))
    clock.advance(59_999)
    assert ["long", "short"] == sorted(await state.list(""))
    await state.put("other", b"")
    clock.advance(1)
    assert ["long", "other"] == sorted(await state.list(""))

    assert ["long", "other"] == await names_after_crash(state, path, clock)
    clock.advance(60_000)
    again = EmbeddedState.open_path(path, clock)
    assert ["other"] == sorted(await again.list(""))
    await again.close()


async def test_an_orderly_end_notes_a_clock_that_was_set(path: Path, clock: FakeClock) -> None:
    """Also when nothing was written since."""
    state = EmbeddedState.open_path(path, clock)
    await state.put("n", b"", ttl_ms=60_000)
    clock.step(HOUR_MS)
    await state.close()

    again = EmbeddedState.open_path(path, clock)
    assert ["n"] == list(await again.list(""))
    clock.advance(60_000)
    assert {} == await again.list("")
    await again.close()


async def test_a_clock_set_back_meanwhile_lengthens_no_life(path: Path, clock: FakeClock) -> None:
    """No value lives longer after a restart than it was given at first."""
    state = EmbeddedState.open_path(path, clock)
    await state.put("n", b"", ttl_ms=60_000)
    await state.close()
    clock.step(-HOUR_MS)

    again = EmbeddedState.open_path(path, clock)
    clock.advance(59_999)
    assert ["n"] == list(await again.list(""))
    clock.advance(1)
    assert {} == await again.list("")
    await again.close()


async def test_a_value_ends_while_the_server_is_down(
    path: Path, values_path: Path, clock: FakeClock
) -> None:
    """By the wall clock; and what is over is taken out of the file at the start."""
    state = EmbeddedState.open_path(path, clock)
    await state.put("short", b"", ttl_ms=60_000)
    await state.put("long", b"", ttl_ms=HOUR_MS)
    await state.close()
    clock.advance(60_000)

    again = EmbeddedState.open_path(path, clock)
    assert ["long"] == list(await again.list(""))
    await again.close()
    assert ["long"] == rows_in(values_path)


async def test_what_is_over_is_swept_from_the_file(
    path: Path, values_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the next write, and without one too, before long."""
    monkeypatch.setattr("privyseald.state.values._SWEEP_S", 0.01)
    state = EmbeddedState.open_path(path, clock)
    for name in ("one", "two"):
        await state.put(name, b"", ttl_ms=1_000)
    await state.put("kept", b"")
    clock.advance(1_000)

    async def is_swept() -> bool:
        values = state._values
        return not (values._memory.is_ending or values._gone or values._writing)

    await eventually(is_swept)
    crash(state)
    assert ["kept"] == rows_in(values_path)


async def test_the_oldest_that_end_make_room(
    path: Path, values_path: Path, clock: FakeClock
) -> None:
    """Values with a time are bounded together, in memory and in the file; others stay."""
    state = EmbeddedState.open_path(path, clock)
    state._values._memory._capacity_bytes = 10_000
    await state.put("kept", bytes(20_000))
    for index in range(6):
        await state.put(f"n{index}", bytes(2_500), ttl_ms=HOUR_MS)
    await state.put("n3", bytes(2_500), ttl_ms=HOUR_MS)

    assert ["kept", "n3", "n4", "n5"] == sorted(await state.list(""))
    await state.put("large", bytes(50_000), ttl_ms=HOUR_MS)
    assert ["kept", "large"] == sorted(await state.list(""))
    await state.close()
    assert ["kept", "large"] == rows_in(values_path)


async def test_the_bound_holds_after_a_restart(tmp_path: Path, clock: FakeClock) -> None:
    """A file with more than fits is opened, and the newest are kept."""
    values = Values(tmp_path / "values", clock)
    for index in range(6):
        await values.put(f"n{index}", bytes(2_500), None, HOUR_MS)
    await values.close()

    again = Values(tmp_path / "values", clock, capacity_bytes=10_000)
    assert ["n3", "n4", "n5"] == sorted(again.under(""))
    await again.close()
    assert ["n3", "n4", "n5"] == rows_in(tmp_path / "values")


async def test_writes_at_once_share_a_commit(path: Path, clock: FakeClock) -> None:
    """Those that arrive while one is under way go together with the next one."""
    state = EmbeddedState.open_path(path, clock)
    commits: list[int] = []
    write = state._values._file.write

    def note(rows: list[object], *others: object) -> None:
        commits.append(len(rows))
        write(rows, *others)  # type: ignore[arg-type]

    state._values._file.write = note  # type: ignore[assignment,method-assign]
    await asyncio.gather(*(state.put(f"n{index}", b"") for index in range(200)))

    assert 200 == sum(commits)
    assert len(commits) <= 3
    await state.close()


async def test_a_refused_write_waits_for_no_disk(path: Path, clock: FakeClock) -> None:
    """What writes nothing commits nothing."""
    state = EmbeddedState.open_path(path, clock)
    await state.put("n", b"one")
    with full_disk(path.parent / "nonces.high-water"):
        assert None is await state.put("n", b"two", version=0)
        assert await state.delete("other")
        assert not await state.delete("n", version=0)
    await state.close()


@pytest.mark.parametrize("room", [0, 3_000, 9_000])
async def test_a_full_disk_refuses_writes_and_heals(
    path: Path, values_path: Path, clock: FakeClock, room: int
) -> None:
    """Nothing is half written, what stands is read on, and all works again with space."""
    state = EmbeddedState.open_path(path, clock)
    await state.put("kept", b"before")
    before = await state.put("gone", b"before")
    log = values_path.with_name(values_path.name + "-wal")
    with full_disk(log, room), capture_logs() as logs:
        answers = await asyncio.gather(
            *(state.put(f"n{index}", bytes(5_000)) for index in range(20)),
            state.put("kept", b"after"),
            state.delete("gone"),
            return_exceptions=True,
        )
        assert {StateUnavailable} == {type(answer) for answer in answers}
        assert ["gone", "kept"] == sorted(await state.list(""))
    assert "state.path" in str(answers[0])
    assert {"values of the state can't be written"} == {line["event"] for line in logs}

    after = await state.put("kept", b"after", version=1)
    assert after
    assert before
    assert after > before
    assert await state.delete("gone", version=before)
    assert ["kept"] == await names_after_crash(state, path, clock)


async def test_a_sweep_that_found_the_disk_full_is_made_up_for(
    path: Path, values_path: Path, clock: FakeClock
) -> None:
    """What was to be removed then is removed with the next write."""
    state = EmbeddedState.open_path(path, clock)
    await state.put("short", b"", ttl_ms=1_000)
    clock.advance(1_000)
    with full_disk(path), capture_logs():
        state._values._sweep()
        with pytest.raises(StateUnavailable):
            await state.put("n", b"")

    await state.put("n", b"")
    crash(state)
    assert ["n"] == rows_in(values_path)


async def test_a_log_on_the_full_disk_leaves_nobody_waiting(
    path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the failure can't even be logged, all are answered, and later ones too."""

    class FullLog:
        def error(self, *_: object, **__: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    state = EmbeddedState.open_path(path, clock)
    with full_disk(path), monkeypatch.context() as patch:
        patch.setattr("privyseald.state.values._log", FullLog())
        answers = await asyncio.gather(
            *(state.put("n", b"") for _ in range(3)), return_exceptions=True
        )
        puts = [asyncio.ensure_future(state.put("n", b"")) for _ in range(2)]
        await asyncio.sleep(0)
        puts.append(asyncio.ensure_future(state.put("m", b"")))
        answers += await asyncio.gather(*puts, return_exceptions=True)

    assert [StateUnavailable] * 6 == [type(answer) for answer in answers]
    assert await state.put("n", b"")
    await state.close()


async def test_a_disk_that_is_full_is_told_of_at_the_start(
    path: Path, tmp_path: Path, clock: FakeClock
) -> None:
    """A service that could remember nothing does not start."""
    EmbeddedState.open_path(path, clock)._file.close()
    (tmp_path / "nonces.high-water.values").unlink()
    (tmp_path / "nonces.high-water.values-wal").unlink(missing_ok=True)
    (tmp_path / "empty").write_bytes(b"")

    with full_disk(tmp_path / "empty"), pytest.raises(ConfigInvalid, match="its disk has space"):
        Values(tmp_path / "nonces.high-water.values", clock)


@pytest.mark.parametrize(
    "damage",
    [
        lambda _content: b"this is no database, but is as long as one" * 100,
        lambda content: content[:5_000],
        lambda content: content[:4_096] + bytes(len(content) - 4_096),
        lambda content: content.replace(b"canary-canary", b"canary-canarx"),
        lambda content: content.replace(b"name-of-a-value", b"name-of-a-valux"),
    ],
    ids=["other", "cut", "zeros", "data", "name"],
)
async def test_a_damaged_file_is_refused_with_what_to_do(
    path: Path, values_path: Path, clock: FakeClock, damage: Callable[[bytes], bytes]
) -> None:
    """It stops the start, and the message says what is lost when it is moved away; with that done
    the next start works.
    """
    state = EmbeddedState.open_path(path, clock)
    await state.advance("n", step_of(7))
    for index in range(40):
        await state.put(f"name-of-a-value-{index}", b"canary-canary" * 100)
    await state.close()
    change(values_path, damage)

    with pytest.raises(ConfigInvalid, match=rf"^state.path: {values_path} is damaged; restore"):
        EmbeddedState.open_path(path, clock)
    await asyncio.to_thread(values_path.rename, path.with_name("away"))
    again = EmbeddedState.open_path(path, clock)
    assert {} == await again.list("")
    assert 8 == await again.advance("n", step_of(0))
    await again.close()


async def test_a_later_schema_is_refused(path: Path, values_path: Path, clock: FakeClock) -> None:
    """A file that a later release wrote is not touched."""
    state = EmbeddedState.open_path(path, clock)
    await state.put("n", b"")
    await state.close()
    with sqlite3.connect(values_path) as connection:
        connection.execute("PRAGMA user_version = 2")
    connection.close()

    with pytest.raises(ConfigInvalid, match="later release"):
        EmbeddedState.open_path(path, clock)
    assert ["n"] == rows_in(values_path)


async def test_no_other_program_gets_in_between(
    path: Path, values_path: Path, clock: FakeClock
) -> None:
    """While a server has the file, others find it locked; and one that others hold is refused."""
    state = EmbeddedState.open_path(path, clock)
    await state.put("n", b"")
    other = sqlite3.connect(values_path, timeout=0)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("DELETE FROM value")
    await state.close()

    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(ConfigInvalid, match="no other program has it open"):
        EmbeddedState.open_path(path, clock)
    other.close()
    again = EmbeddedState.open_path(path, clock)
    assert ["n"] == list(await again.list(""))
    await again.close()


def test_a_place_that_holds_no_file_is_refused(
    path: Path, values_path: Path, clock: FakeClock
) -> None:
    """And the high-water file is let go again."""
    values_path.mkdir()
    with pytest.raises(ConfigInvalid, match=rf"^state.path: {values_path} can't be opened"):
        EmbeddedState.open_path(path, clock)

    values_path.rmdir()
    state = EmbeddedState.open_path(path, clock)
    asyncio.run(state.close())
