import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs

from fakes import FakeStore
from privyseald.errors import (
    CredentialMalformed,
    KeyExists,
    KeyUnknown,
    PrivysealError,
    SecretStoreForbidden,
    SecretStoreSealed,
)
from privyseald.key import KeyState
from privyseald.secretstore.escrow_directory import EscrowDirectory
from privyseald.usecases import reconcile_watch
from privyseald.usecases.reconcile import Finding, Outcome
from privyseald.usecases.reconcile_watch import ReconcileWatch
from usecases.desk import LONGEST_MS, Desk, document

ID = "8b1f3a52-5f0e-4a1c-9a51-0b8f1d6f7c11"
SEALED = SecretStoreSealed("sealed")
FIELDS = {"using_key": "wallet", "description": "desk one", "attempt": "1"}
RESERVATION = replace(
    document("aster"), fields=FIELDS, material=None, state=KeyState.CREATING, request_id=ID
)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A desk with nothing on it."""
    return Desk(tmp_path)


@pytest.fixture(autouse=True)
def _log() -> None:
    structlog.reset_defaults()


async def leave(desk: Desk, key_id: str = "new", *, reserved: bool = True) -> Path:
    """Leave a key in escrow, as an outage does."""
    if reserved:
        await desk.store.create(key_id, RESERVATION)
    place = await desk.escrow.take_place(desk.store, key_id, ID, "1")
    path, _ = await desk.escrow.seal(place, replace(document(), request_id=ID), 1)
    return path


def away(desk: Desk, failure: PrivysealError, method: str = "complete") -> None:
    """Let one of the store's methods fail."""

    async def before(called: str, _key_id: str) -> None:
        if called == method:
            raise failure

    desk.store.before = before


def back(desk: Desk) -> None:
    """Let the store work again."""
    desk.store.before = FakeStore().before


async def outcomes(desk: Desk) -> list[Outcome]:
    """Return what becomes of the records."""
    return [finding.outcome for finding in await desk.reconcile.records()]


async def test_nothing_to_do_is_nothing_told(desk: Desk) -> None:
    """An empty escrow asks nothing of the store."""
    assert () == await desk.reconcile.records()
    assert ({}, {}, []) == (desk.reconcile.findings, desk.reconcile.totals, desk.store.calls)


@pytest.mark.parametrize("reserved", [True, False])
async def test_a_record_is_moved(desk: Desk, *, reserved: bool) -> None:
    """The key takes its reservation's place, or an empty one, and the record is erased."""
    await leave(desk, reserved=reserved)

    assert (Finding(Outcome.MOVED, "new", "whitebit"),) == await desk.reconcile.records()
    assert "public-key-1" == (await desk.store.get("new")).public_id
    assert (["lock"], {}, {Outcome.MOVED: 1}) == (
        desk.escrow_files(),
        desk.reconcile.findings,
        desk.reconcile.totals,
    )


async def test_a_record_that_the_store_has_already_is_only_erased(desk: Desk) -> None:
    """A crash between the store's write and the erasing does nothing twice."""
    path = await leave(desk)
    content = path.read_bytes()
    await desk.reconcile.records()
    held = await desk.store.get("new")
    path.write_bytes(content)

    assert [Outcome.MOVED] == await outcomes(desk)
    assert held == await desk.store.get("new")


@pytest.mark.parametrize("failure", [SEALED, SecretStoreForbidden("no")])
@pytest.mark.parametrize("method", ["complete", "own_key"])
async def test_a_store_that_is_away_is_waited_for(
    desk: Desk, failure: PrivysealError, method: str
) -> None:
    """The record stays as it is, and the finding says why."""
    path = await leave(desk)
    away(desk, failure, method)

    (finding,) = await desk.reconcile.records()
    assert (Outcome.WAITING, "new", failure.reason) == (
        finding.outcome,
        finding.key_id,
        finding.cause,
    )
    assert path.exists()
    assert {Outcome.WAITING: 1} == desk.reconcile.findings


@pytest.mark.parametrize("failure", [KeyExists("taken"), CredentialMalformed("edited")])
async def test_nothing_is_overwritten(desk: Desk, failure: PrivysealError) -> None:
    """Where something else stands the record is kept and told, and moves in once that is gone."""
    path = await leave(desk, reserved=False)
    await desk.store.create("new", document())
    if not isinstance(failure, KeyExists):
        away(desk, failure)

    (finding,) = await desk.reconcile.records()
    assert (Outcome.BLOCKED, failure.reason) == (finding.outcome, finding.cause)
    assert (KeyState.ENABLED, True) == ((await desk.whole_store.get("new")).state, path.exists())

    back(desk)
    await desk.store.delete("new")
    assert [Outcome.MOVED] == await outcomes(desk)


async def test_a_block_ends_with_an_outage(desk: Desk) -> None:
    """What was blocked and then can't be tried counts as waiting again."""
    await leave(desk)
    away(desk, KeyExists("taken"))
    await outcomes(desk)
    away(desk, SEALED)

    assert [Outcome.WAITING] == await outcomes(desk)
    assert KeyState.ESCROWED is (await desk.whole_store.get("new")).state


async def test_a_record_of_another_store_is_kept(desk: Desk) -> None:
    """A record sealed to a key that this store does not have says which store to bring back."""
    path = await leave(desk)
    theirs = desk.store._own_keys.pop("escrow")

    (finding,) = await desk.reconcile.records()
    assert (Outcome.UNREADABLE, "sealed to another key") == (finding.outcome, finding.cause)
    assert "point the service at the store that it was sealed for" in finding.advice
    desk.store._own_keys["escrow"] = theirs
    assert ([Outcome.MOVED], False) == (await outcomes(desk), path.exists())


async def test_a_changed_record_is_kept(desk: Desk) -> None:
    """A record that somebody edited is told as such, and left."""
    path = await leave(desk)
    path.write_bytes(path.read_bytes().replace(b"public-key-1", b"public-key-2"))

    (finding,) = await desk.reconcile.records()
    assert (Outcome.UNREADABLE, "damaged", True) == (finding.outcome, finding.cause, path.exists())


async def test_a_damaged_file_is_told_by_its_name(desk: Desk) -> None:
    """What is no record is shown with the file to restore."""
    path = await leave(desk)
    path.write_bytes(path.read_bytes()[:40])

    (finding,) = await desk.reconcile.records()
    assert (Outcome.UNREADABLE, "new") == (finding.outcome, finding.key_id)
    assert path.name in finding.advice


async def test_a_record_that_is_deleted_meanwhile_is_not_brought_back(desk: Desk) -> None:
    """A custodian's delete in the middle of a move holds."""
    path = await leave(desk)

    async def before(called: str, _key_id: str) -> None:
        if called == "own_key":
            path.unlink()
            del desk.store._held["new"]

    desk.store.before = before
    assert () == await desk.reconcile.records()
    with pytest.raises(KeyUnknown):
        await desk.store.get("new")


async def test_of_two_reconcilers_at_once_each_record_is_moved_once(desk: Desk) -> None:
    """Two looks at the same time, as a server and a command take them, write one key."""
    for number in range(4):
        await leave(desk, f"key-{number}")
    await asyncio.gather(*(desk.reconcile.records() for _ in range(3)))

    assert [1] * 4 == [desk.store.calls.count(("complete", f"key-{n}")) for n in range(4)]
    assert ["lock"] == desk.escrow_files()


async def test_a_change_is_logged_once(desk: Desk) -> None:
    """The same state of things is not told at every look."""
    await leave(desk)
    away(desk, SEALED)
    with capture_logs() as logs:
        for _ in range(3):
            await desk.reconcile.records()
        back(desk)
        await desk.reconcile.records()

    assert [
        ("key creation left over", "warning", "waiting", "new"),
        ("key creation reconciled", "info", "moved", "new"),
    ] == [(log["event"], log["log_level"], log["outcome"], log["key"]) for log in logs]
    assert {Outcome.WAITING: 1, Outcome.MOVED: 1} == desk.reconcile.totals


async def test_a_reservation_left_behind_is_told(desk: Desk) -> None:
    """Once no server can be at it any more, with what to look for and what to do then."""
    await desk.store.create("new", RESERVATION)
    await desk.store.create("whole", document())
    assert ((), True) == await desk.reconcile.reservations()
    desk.clock.advance(LONGEST_MS)

    (finding,), is_any_young = await desk.reconcile.reservations()
    assert (Outcome.UNKNOWN, "new", "aster", False) == (
        finding.outcome,
        finding.key_id,
        finding.venue,
        is_any_young,
    )
    assert (
        "look at aster (production) for a key named 'desk one', on the account of keys/wallet, "
        "and remove it there; then 'privyseal keys delete new' and begin anew"
    ) == finding.advice
    assert {Outcome.UNKNOWN: 1} == desk.reconcile.findings


async def test_a_reservation_with_a_record_is_not_left_behind(desk: Desk) -> None:
    """What lies in escrow is not told as unknown."""
    await leave(desk)
    desk.clock.advance(LONGEST_MS)

    assert ((), False) == await desk.reconcile.reservations()


@pytest.mark.parametrize("failure", [KeyUnknown("gone"), CredentialMalformed("edited")])
async def test_a_reservation_that_tells_nothing_is_passed_over(
    desk: Desk, failure: PrivysealError
) -> None:
    """One that is gone by the time it is looked at, or was written by hand, stops nothing."""
    await desk.store.create("new", RESERVATION)
    desk.clock.advance(LONGEST_MS)
    away(desk, failure, "origin")

    assert ((), False) == await desk.reconcile.reservations()


async def test_all_pages_are_looked_through(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store with more keys than a page has is read to its end."""
    monkeypatch.setattr("privyseald.usecases.reconcile._PAGE", 2)
    for number in range(5):
        await desk.store.create(f"key-{number}", RESERVATION)
    desk.clock.advance(LONGEST_MS)

    findings, _ = await desk.reconcile.reservations()
    assert [f"key-{number}" for number in range(5)] == [each.key_id for each in findings]


@asynccontextmanager
async def watching(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Run the reconciler in the background, in a hurry."""
    monkeypatch.setattr(reconcile_watch, "_FIRST_PAUSE_S", 0.005)
    monkeypatch.setattr(reconcile_watch, "_LAST_PAUSE_S", 0.01)
    runner = ReconcileWatch(desk.reconcile, desk.escrow, longest_ms=0)
    task = asyncio.create_task(runner.run())
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def until(desk: Desk, outcome: Outcome, number: int = 1) -> None:
    """Return once this came about so many times."""
    async with asyncio.timeout(5):
        while desk.reconcile.totals[outcome] < number:  # noqa: ASYNC110  # a counter has no event
            await asyncio.sleep(0.005)


async def test_the_watch_moves_records_when_the_store_is_back(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is woken by an escrowed key, tries again while the store is away, and moves it."""
    async with watching(desk, monkeypatch):
        await asyncio.sleep(0.02)
        away(desk, SEALED)
        await leave(desk)
        desk.escrow.changed.set()
        await until(desk, Outcome.WAITING)
        await asyncio.sleep(0.05)
        assert desk.store.calls.count(("complete", "new")) > 1
        back(desk)
        await until(desk, Outcome.MOVED)

    assert KeyState.ENABLED is (await desk.whole_store.get("new")).state


async def test_the_watch_outlives_a_store_that_is_away_at_the_start(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reservations are looked through once the store answers, and young ones again later."""
    await desk.store.create("new", RESERVATION)
    away(desk, SEALED, "list")
    async with watching(desk, monkeypatch):
        await asyncio.sleep(0.03)
        back(desk)
        await asyncio.sleep(0.03)
        assert 0 == desk.reconcile.totals[Outcome.UNKNOWN]
        desk.clock.advance(LONGEST_MS)
        await until(desk, Outcome.UNKNOWN)


async def test_the_watch_outlives_a_disk_that_fails(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A directory that can't be read is logged, and read again later."""

    def records(_: EscrowDirectory) -> None:
        raise OSError(5, "Input/output error")

    await leave(desk)
    with monkeypatch.context() as broken, capture_logs() as logs:
        broken.setattr(EscrowDirectory, "records", records)
        async with watching(desk, monkeypatch):
            await asyncio.sleep(0.03)
            broken.undo()
            await until(desk, Outcome.MOVED)

    assert "escrow directory can't be read" == logs[0]["event"]
