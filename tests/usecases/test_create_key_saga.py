import asyncio
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from fakes import NOW_MS, answer
from privyseald.audit.entry import Entry
from privyseald.errors import (
    CredentialMalformed,
    EscrowUnavailable,
    KeyCreating,
    KeyEscrowed,
    KeyExists,
    KeyUnknown,
    PrivysealError,
    SecretStoreForbidden,
    SecretStoreSealed,
    SecretStoreUnreachable,
    VenueOutcomeUnknown,
    VenueRefused,
)
from privyseald.key import Key, KeyState
from privyseald.secretstore.escrow_directory import EscrowDirectory
from privyseald.usecases import create_key_saga
from privyseald.usecases.create_key import CreateKeyCommand, Generated, VenueIssued
from privyseald.usecases.create_key_saga import Step
from privyseald.usecases.reconcile import Outcome
from privyseald.venues.venue import KeyOrder
from usecases.desk import ISSUED, LONGEST_MS, OPERATOR, Desk, document, success, wallet

SEALED = SecretStoreSealed("sealed")
ID = "8b1f3a52-5f0e-4a1c-9a51-0b8f1d6f7c11"
OTHER_ID = "0c9e6a1e-3a0b-4f0e-8f43-6f1f8f7f2f10"


@pytest.fixture
async def desk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Desk:
    """A desk with a wallet, where repeated writes do not take their time."""
    monkeypatch.setattr(create_key_saga, "_WRITE_PAUSES_S", (0.0,) * 4)
    monkeypatch.setattr(create_key_saga, "_RESERVE_PAUSES_S", (0.0,) * 2)
    desk = Desk(tmp_path)
    await desk.store.create("wallet", wallet())
    return desk


def issued(request_id: str = ID, description: str = "desk one") -> CreateKeyCommand:
    """Return the order of a key that Aster issues."""
    source = VenueIssued("wallet", KeyOrder(description, (), {}))
    labels = {"desk": "one"}
    return CreateKeyCommand("new", "aster", "", source, labels, request_id, b"f")


async def create(desk: Desk, command: CreateKeyCommand) -> Key:
    """Create as the operator."""
    return await desk.create_key(OPERATOR, command, Entry("rpc"))


def away(desk: Desk, failure: PrivysealError = SEALED, *methods: str) -> None:
    """Let the store fail in these methods, or in all, until it is told otherwise."""

    async def before(called: str, _key_id: str) -> None:
        if called in methods or not methods:
            raise failure

    desk.store.before = before


def back(desk: Desk) -> None:
    """Let the store work again."""

    async def before(_called: str, _key_id: str) -> None:
        return

    desk.store.before = before


async def escrowed(desk: Desk) -> Key:
    """Order a key, and let the store go away when the venue has answered."""

    def go_away(step: Step) -> None:
        if step is Step.ANSWERED:
            away(desk)

    desk.on_step = go_away
    return await create(desk, issued())


@contextmanager
def full_disk() -> Iterator[None]:
    """Let no file of this process grow beyond a few bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_the_steps_are_taken_in_the_order_of_the_table(desk: Desk) -> None:
    """One creation takes each step of the enumeration once, in its order."""
    await create(desk, issued())

    assert list(Step) == desk.steps
    assert dict.fromkeys(Step, 1) == desk.saga.steps
    assert ["lock"] == desk.escrow_files()


async def test_a_reservation_tells_what_the_venue_was_asked_for(desk: Desk) -> None:
    """When Aster sees the order, request, wallet and description stand in the store."""
    told: list[tuple[str, str, str]] = []

    def look(step: Step) -> None:
        if step is Step.RESERVED:
            _, held = desk.store._held["new"]
            told.append((held.request_id, held.fields["using_key"], held.fields["description"]))

    desk.on_step = look
    await create(desk, issued(ID.upper()))

    assert [(ID, "wallet", "desk one")] == told


async def test_a_key_that_the_store_does_not_take_is_escrowed(desk: Desk) -> None:
    """The answer is OK, with all public facts; get and list say ESCROWED, and use is refused."""
    key = await escrowed(desk)
    got = await desk.keys.get(OPERATOR, "new", Entry("rpc"))
    with pytest.raises(KeyEscrowed, match="keys/new is issued and sealed in escrow") as caught:
        await desk.open_key("new")
    back(desk)
    page = await desk.keys.list(OPERATOR, "", 10)

    assert key == got == page.keys[0]
    assert (KeyState.ESCROWED, "issued-key-1", "aster", {"desk": "one"}, 1, NOW_MS) == (
        key.state,
        key.public_id,
        key.venue,
        key.labels,
        key.version,
        key.create_time_ms,
    )
    assert {"key": "keys/new"} == caught.value.metadata
    assert desk.escrow.changed.is_set()


async def test_an_escrowed_key_can_not_change_state(desk: Desk) -> None:
    """Disable and enable say what the key waits for."""
    await escrowed(desk)
    back(desk)
    for change in (desk.keys.disable, desk.keys.enable):
        with pytest.raises(KeyEscrowed):
            await change(OPERATOR, "new", Entry("rpc"))


async def test_an_escrowed_key_comes_into_the_store(desk: Desk) -> None:
    """Once the store is back the reconciler moves the key, and it opens with all its facts."""
    await escrowed(desk)
    assert [Outcome.WAITING] == [each.outcome for each in await desk.reconcile.records()]
    back(desk)
    assert [Outcome.MOVED] == [each.outcome for each in await desk.reconcile.records()]

    desk.cache.forget("new")
    credential = (await desk.open_key("new")).credential
    assert (KeyState.ENABLED, {"desk": "one"}, "issued-key-1") == (
        credential.key.state,
        credential.key.labels,
        credential.fields["api_key"],
    )
    assert () == await desk.reconcile.records()
    assert ["lock"] == desk.escrow_files()


@pytest.mark.parametrize("restarts", [False, True])
async def test_a_retry_of_an_escrowed_order_is_told_so(desk: Desk, *, restarts: bool) -> None:
    """A retry returns the escrowed key, in this life or the next, and asks no venue."""
    first = await escrowed(desk)
    if restarts:
        desk.restart()

    assert first == await create(desk, issued())
    assert 1 == len(desk.orders)


async def test_another_order_of_an_escrowed_id_is_refused(desk: Desk) -> None:
    """The id is taken, with the reservation or without it."""
    await escrowed(desk)
    back(desk)
    with pytest.raises(KeyExists):
        await create(desk, issued(OTHER_ID))
    await desk.store.delete("new")
    with pytest.raises(KeyExists):
        await create(desk, issued(OTHER_ID))

    assert 1 == len(desk.orders)


async def test_a_retry_after_the_end_returns_the_key(desk: Desk) -> None:
    """A server that was started again gives a retry the key that the order made."""
    first = await create(desk, issued())
    desk.restart()

    assert first == await create(desk, issued())
    assert 1 == len(desk.orders)


async def test_a_retry_of_a_generated_key_returns_the_key(desk: Desk) -> None:
    """A write that landed while its answer was lost is not told as a taken id."""
    command = CreateKeyCommand("new", "aster-v3", "", Generated("secp256k1"), {}, ID, b"f")
    first = await create(desk, command)
    desk.restart()

    assert first == await create(desk, command)
    with pytest.raises(KeyExists):
        await create(desk, replace(command, request_id=OTHER_ID))
    desk.restart()
    with pytest.raises(KeyExists):
        await create(desk, issued())


async def test_a_generated_key_that_was_never_completed_says_so(desk: Desk) -> None:
    """A reservation without a venue's order, as transit custody makes it, is told as such."""
    command = CreateKeyCommand("new", "aster", "", Generated("secp256k1"), {}, ID, b"f")
    reservation = replace(document("aster"), material=None, state=KeyState.CREATING, request_id=ID)
    await desk.store.create("new", reservation)
    with pytest.raises(KeyCreating, match="no venue was asked; 'privyseal keys delete new'"):
        await create(desk, command)


async def test_a_reservation_whose_answer_was_lost_is_known(desk: Desk) -> None:
    """The store took the reservation and did not say so: the order goes on, once."""
    left = [SecretStoreUnreachable("the answer was lost")]

    async def after(called: str, _key_id: str) -> None:
        if called == "create" and left:
            raise left.pop()

    desk.store.after = after

    assert KeyState.ENABLED is (await create(desk, issued())).state
    assert 1 == len(desk.orders)


async def test_a_store_that_comes_back_is_asked_again_for_the_id(desk: Desk) -> None:
    """Of a change of leaders in Vault the caller hears nothing."""
    left: list[PrivysealError] = [SEALED, SEALED]

    async def before(called: str, _key_id: str) -> None:
        if called == "create" and left:
            raise left.pop()

    desk.store.before = before

    assert KeyState.ENABLED is (await create(desk, issued())).state


@pytest.mark.parametrize("method", ["own_key", "create"])
async def test_a_store_that_is_away_costs_nothing_at_the_venue(desk: Desk, method: str) -> None:
    """Without a key to seal to, or a reservation, no venue is asked, and no file is left."""
    away(desk, SEALED, method)
    with pytest.raises(SecretStoreSealed):
        await create(desk, issued())

    assert [] == desk.outbound.sent
    assert ["lock"] == desk.escrow_files()


async def test_a_full_disk_is_found_before_the_venue_is_asked(desk: Desk) -> None:
    """Room for the record is taken first; without it the order is refused and nothing stays."""
    with full_disk(), pytest.raises(EscrowUnavailable, match="no venue was asked") as caught:
        await create(desk, issued())

    assert ({"key": "keys/new"}, 5_000) == (caught.value.metadata, caught.value.retry_after_ms)
    assert [] == desk.outbound.sent
    with pytest.raises(KeyUnknown):
        await desk.store.get("new")
    assert ["lock"] == desk.escrow_files()


async def test_a_disk_that_fills_up_meanwhile_harms_nothing(desk: Desk) -> None:
    """The record goes where room was taken for it, also when nothing else can grow."""
    key = None

    def fill_up(step: Step) -> None:
        if step is Step.ANSWERED:
            away(desk)
            soft = 16 * 1_024
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, before[1]))

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    desk.on_step = fill_up
    try:
        key = await create(desk, issued())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert KeyState.ESCROWED is key.state


def broken_escrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the disk fail when a record is written."""

    def fill(*_: object) -> Path:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(EscrowDirectory, "fill", fill)


async def test_a_disk_that_fails_leaves_the_store(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the record can't be written the store still gets the key."""
    broken_escrow(monkeypatch)

    assert KeyState.ENABLED is (await create(desk, issued())).state
    assert Step.SEALED not in desk.steps


async def test_a_key_that_nothing_can_keep_is_told_with_what_to_do(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Disk and store both gone after the answer: the caller hears what to remove at the venue."""
    broken_escrow(monkeypatch)
    with pytest.raises(VenueOutcomeUnknown, match="remove that key at the venue") as caught:
        await escrowed(desk)

    assert {"key": "keys/new", "cause": "SECRET_STORE_SEALED"} == caught.value.metadata


@pytest.mark.parametrize(
    "failure",
    [KeyExists("another stands there"), CredentialMalformed("the document was edited")],
)
async def test_a_key_that_the_store_refuses_stays_in_escrow(
    desk: Desk, failure: PrivysealError
) -> None:
    """A write that can't work as things stand is not repeated; the key waits, and moves in once
    that is put right.
    """
    away(desk, failure, "complete")
    for _ in range(2):
        with pytest.raises(KeyEscrowed, match="it is safe in escrow: free the id") as caught:
            await create(desk, issued())
        assert failure.reason == caught.value.metadata["cause"]
    assert (1, 1) == (desk.store.calls.count(("complete", "new")), len(desk.orders))

    back(desk)
    assert [Outcome.MOVED] == [each.outcome for each in await desk.reconcile.records()]
    assert "issued-key-1" == (await desk.open_key("new")).credential.fields["api_key"]


async def test_a_custodian_who_frees_the_id_meanwhile_keeps_the_key(desk: Desk) -> None:
    """A reservation that was removed in the store while Aster was asked is made again."""

    def deleted(step: Step) -> None:
        if step is Step.ANSWERED:
            del desk.store._held["new"]

    desk.on_step = deleted

    assert KeyState.ENABLED is (await create(desk, issued())).state


async def test_a_key_that_was_deleted_while_it_was_written_is_gone(desk: Desk) -> None:
    """A custodian deletes the key while the store is away from its writer: it does not return."""
    tries: list[str] = []

    async def before(called: str, _key_id: str) -> None:
        if called == "complete":
            tries.append(called)
            if len(tries) == 1:
                for path, _ in desk.escrow.records():
                    path.unlink()
                del desk.store._held["new"]
                raise SEALED

    desk.store.before = before
    with pytest.raises(KeyUnknown):
        await create(desk, issued())

    assert () == await desk.reconcile.records()


async def test_an_escrowed_key_can_be_deleted(desk: Desk) -> None:
    """DeleteKey removes the record with the reservation, also where that is gone already."""
    await escrowed(desk)
    back(desk)
    await desk.keys.delete(OPERATOR, "new", Entry("rpc"))
    with pytest.raises(KeyUnknown):
        await desk.keys.get(OPERATOR, "new", Entry("rpc"))
    desk.aster = lambda: success({**ISSUED, "apiKey": "issued-key-2"})
    desk.restart()
    await escrowed(desk)
    back(desk)
    await desk.store.delete("new")
    await desk.keys.delete(OPERATOR, "new", Entry("rpc"))

    assert () == await desk.reconcile.records()


@pytest.mark.parametrize("failure", [SEALED, SecretStoreForbidden("no")])
async def test_a_delete_that_fails_keeps_the_record(desk: Desk, failure: PrivysealError) -> None:
    """While the store is away nothing is deleted, in escrow neither."""
    await escrowed(desk)
    away(desk, failure, "delete")
    with pytest.raises(type(failure)):
        await desk.keys.delete(OPERATOR, "new", Entry("rpc"))

    assert 1 == len(desk.escrow.records())


@pytest.mark.parametrize("whole", [True, False])
async def test_deleting_another_key_of_the_id_keeps_the_record(desk: Desk, *, whole: bool) -> None:
    """What an operator put under the id goes; the issued key stays, and moves in after it."""
    await escrowed(desk)
    back(desk)
    del desk.store._held["new"]
    await desk.store.create("new", document())
    if not whole:
        away(desk, CredentialMalformed("bad"), "origin")
    await desk.keys.delete(OPERATOR, "new", Entry("rpc"))
    back(desk)

    assert [Outcome.MOVED] == [each.outcome for each in await desk.reconcile.records()]


async def test_a_retry_beside_another_server_waits(desk: Desk) -> None:
    """A reservation that another replica may work on is told as under way; when no server can
    be at it any more, as unknown, with what to look for; and a stranger hears that it is taken.
    """
    fields = {"using_key": "wallet", "description": "desk one", "attempt": "another"}
    reservation = replace(
        document("aster"), fields=fields, material=None, state=KeyState.CREATING, request_id=ID
    )
    await desk.store.create("new", reservation)
    with pytest.raises(KeyCreating, match="being created by this very request") as caught:
        await create(desk, issued())
    assert 1_000 == caught.value.retry_after_ms
    desk.clock.advance(LONGEST_MS)
    with pytest.raises(VenueOutcomeUnknown, match="is not known, so it is not asked again") as told:
        await create(desk, issued())
    with pytest.raises(KeyExists):
        await create(desk, issued(OTHER_ID))

    assert {
        "key": "keys/new",
        "venue": "aster",
        "usingKey": "keys/wallet",
        "description": "desk one",
    } == told.value.metadata
    assert [] == desk.outbound.sent
    # Told at once: only a store that is away is asked again.
    assert 3 == desk.store.calls.count(("origin", "new"))


@pytest.mark.parametrize("failure", [KeyUnknown("gone"), CredentialMalformed("edited")])
async def test_a_taken_id_that_tells_nothing_is_taken(desk: Desk, failure: PrivysealError) -> None:
    """Where it can't be read how a key came about, the id is taken, and that is all."""
    await desk.store.create("new", document())
    away(desk, failure, "origin")
    with pytest.raises(KeyExists):
        await create(desk, issued())


async def test_a_clear_no_leaves_no_file(desk: Desk) -> None:
    """After a refusal neither reservation nor place stays."""
    desk.aster = lambda: answer({"success": False, "code": "1", "message": "no"})
    with pytest.raises(VenueRefused):
        await create(desk, issued())

    assert ["lock"] == desk.escrow_files()


async def test_an_unknown_outcome_is_remembered_across_restarts(desk: Desk) -> None:
    """The next life knows at once that nobody works on the order, until the id is freed."""
    desk.aster = lambda: VenueOutcomeUnknown("no answer")
    with pytest.raises(VenueOutcomeUnknown):
        await create(desk, issued())
    desk.restart()
    with pytest.raises(VenueOutcomeUnknown, match="look at aster"):
        await create(desk, issued())
    await desk.keys.delete(OPERATOR, "new", Entry("rpc"))
    assert ((), False) == await desk.reconcile.reservations()

    desk.aster = lambda: success(ISSUED)
    assert KeyState.ENABLED is (await create(desk, issued())).state


async def test_a_fault_of_our_own_while_the_venue_is_asked_is_an_unknown_outcome(
    desk: Desk,
) -> None:
    """Whatever breaks after the order may have gone out, the order is not repeated."""

    def bug() -> VenueOutcomeUnknown:
        raise ZeroDivisionError

    desk.aster = bug
    with pytest.raises(ZeroDivisionError):
        await create(desk, issued())
    with pytest.raises(VenueOutcomeUnknown):
        await create(desk, issued())

    assert 1 == len(desk.orders)


async def test_two_orders_of_one_id_at_once_ask_the_venue_once(desk: Desk) -> None:
    """Of two requests for the same id one gets it."""
    results = await asyncio.gather(
        create(desk, issued()), create(desk, issued(OTHER_ID)), return_exceptions=True
    )

    assert [Key, KeyExists] == sorted(map(type, results), key=lambda kind: kind.__name__)
    assert 1 == len(desk.orders)
