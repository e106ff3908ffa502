import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from fakes import Answer, answer
from privyseald.audit.entry import Entry
from privyseald.errors import (
    Held,
    KeyCreating,
    KeyExists,
    KeyUnknown,
    PrivysealError,
    SecretStoreForbidden,
    SecretStoreSealed,
    SecretStoreUnreachable,
    VenueOutcomeUnknown,
    VenueRefused,
    VenueUnreachable,
)
from privyseald.holds.hold import Scope, ScopeKind
from privyseald.holds.known_holds import KnownHolds
from privyseald.key import Key, KeyState
from privyseald.usecases import create_key_saga
from privyseald.usecases.create_key import CreateKeyCommand, Generated, VenueIssued
from privyseald.usecases.create_key_saga import Step
from privyseald.venues.venue import KeyOrder
from usecases.desk import ISSUED, OPERATOR, Desk, document, success, wallet

SEALED = SecretStoreSealed("sealed")
OTHER_ID = "0c9e6a1e-3a0b-4f0e-8f43-6f1f8f7f2f10"
ID = "8b1f3a52-5f0e-4a1c-9a51-0b8f1d6f7c11"


@pytest.fixture
async def desk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Desk:
    """A desk with a wallet, where repeated writes do not take their time."""
    monkeypatch.setattr(create_key_saga, "_WRITE_PAUSES_S", (0.0,) * 4)
    monkeypatch.setattr(create_key_saga, "_RESERVE_PAUSES_S", (0.0,) * 2)
    desk = Desk(tmp_path)
    await desk.store.create("wallet", wallet())
    desk.store.calls.clear()
    return desk


def issued(request_id: str = "") -> CreateKeyCommand:
    """Return the order of a key that Aster issues."""
    source = VenueIssued("wallet", KeyOrder("desk one", (), {}))
    return CreateKeyCommand("new", "aster", "", source, {}, request_id, b"f")


def generated(request_id: str = "") -> CreateKeyCommand:
    """Return the order of a key that is made here."""
    return CreateKeyCommand("new", "aster-v3", "", Generated("secp256k1"), {}, request_id, b"f")


async def create(desk: Desk, command: CreateKeyCommand) -> Key:
    """Create as the operator."""
    return await desk.create_key(OPERATOR, command, Entry("rpc"))


def failing(desk: Desk, method: str, *failures: PrivysealError) -> None:
    """Let the first calls of a method fail."""
    left = list(failures)

    async def before(called: str, _key_id: str) -> None:
        if called == method and left:
            raise left.pop(0)

    desk.store.before = before


def unsaid(desk: Desk, method: str) -> None:
    """Let the first call of a method take effect, and its answer be lost."""
    left = [SecretStoreUnreachable("the answer was lost")]

    async def after(called: str, _key_id: str) -> None:
        if called == method and left:
            raise left.pop()

    desk.store.after = after


def writes(desk: Desk) -> list[str]:
    """Return the store's methods that were called for the new key."""
    return [method for method, key_id in desk.store.calls if key_id == "new"]


async def test_the_id_is_reserved_before_the_venue_is_asked(desk: Desk) -> None:
    """When Aster sees the order, the store has proved that it can be written."""
    seen: list[KeyState] = []

    def look() -> Answer:
        seen.append(desk.store._held["new"][0].state)
        return success(ISSUED)

    desk.aster = look
    key = await create(desk, issued())

    assert [KeyState.CREATING] == seen
    assert (KeyState.ENABLED, "issued-key-1", ["create", "complete"]) == (
        key.state,
        key.public_id,
        writes(desk),
    )
    assert "issued-key-1" == (await desk.open_key("new")).credential.fields["api_key"]


@pytest.mark.parametrize("failure", [SEALED, SecretStoreForbidden("no"), KeyExists("taken")])
async def test_without_a_reservation_the_venue_is_not_asked(
    desk: Desk, failure: PrivysealError
) -> None:
    """A store that can't be written costs nothing at the venue."""
    failing(desk, "create", *[failure] * 3)
    with pytest.raises(type(failure)):
        await create(desk, issued())

    assert [] == desk.outbound.sent


@pytest.mark.parametrize("away", [SEALED, SecretStoreForbidden("the token is not renewed yet")])
@pytest.mark.parametrize("times", [1, 4])
async def test_a_store_that_comes_back_gets_the_key(
    desk: Desk, away: PrivysealError, times: int
) -> None:
    """The write of what the venue issued is repeated while the store is away."""
    failing(desk, "complete", *[away] * times)

    assert KeyState.ENABLED is (await create(desk, issued())).state
    assert 1 == len(desk.orders)
    assert "issued-key-1" == (await desk.open_key("new")).credential.fields["api_key"]


@pytest.mark.parametrize("request_id", ["", ID])
async def test_a_write_whose_answer_was_lost_is_found_done(desk: Desk, request_id: str) -> None:
    """With an id or without, the repeated write meets its own key, and that is success."""
    unsaid(desk, "complete")

    assert KeyState.ENABLED is (await create(desk, issued(request_id))).state
    assert ["create", "complete", "complete"] == writes(desk)


@pytest.mark.parametrize(
    ("no", "expected"),
    [
        (answer({"success": False, "code": "1", "message": "no"}), VenueRefused),
        (VenueUnreachable("away"), VenueUnreachable),
    ],
)
async def test_a_venue_that_issued_nothing_frees_the_id(
    desk: Desk, no: Answer, expected: type[PrivysealError]
) -> None:
    """After a clear no, the same id can be ordered again."""
    desk.aster = lambda: no
    with pytest.raises(expected):
        await create(desk, issued(ID))
    desk.aster = lambda: success(ISSUED)

    assert KeyState.ENABLED is (await create(desk, issued(ID))).state


@pytest.mark.parametrize("failure", [SEALED, SecretStoreForbidden("no"), KeyUnknown("gone")])
@pytest.mark.parametrize("method", ["get", "delete"])
async def test_a_no_is_told_also_where_the_id_can_not_be_freed(
    desk: Desk, failure: PrivysealError, method: str
) -> None:
    """The caller hears the venue's answer, not the trouble that came after it."""
    desk.aster = lambda: answer({"success": False, "code": "1", "message": "no"})
    failing(desk, method, failure)
    with pytest.raises(VenueRefused):
        await create(desk, issued())

    assert KeyState.CREATING is (await desk.store.get("new")).state


async def test_giving_up_removes_nothing_that_came_since(desk: Desk) -> None:
    """A key that a custodian put under the id meanwhile stays."""

    def replaced() -> Answer:
        desk.store._put("new", document(), 1)
        return answer({"success": False, "code": "1", "message": "no"})

    desk.aster = replaced
    with pytest.raises(VenueRefused):
        await create(desk, issued())

    assert "public-key-1" == (await desk.store.get("new")).public_id


@pytest.mark.parametrize(
    "lost",
    [
        VenueOutcomeUnknown("no answer", metadata={"host": "venue"}),
        answer({"success": True, "code": "000000", "data": {"apiKey": "only half"}}),
        answer({}, status=502),
    ],
)
async def test_an_unknown_outcome_keeps_the_reservation(desk: Desk, lost: Answer) -> None:
    """The order is never repeated by itself: the id stays taken until a custodian looked."""
    desk.aster = lambda: lost
    with pytest.raises(VenueOutcomeUnknown, match="keys/new stays reserved") as caught:
        await create(desk, issued(ID))
    assert "keys/new" == caught.value.metadata["key"]

    for _ in range(2):
        with pytest.raises(VenueOutcomeUnknown, match="named 'desk one', on the account of"):
            await create(desk, issued(ID))
    with pytest.raises(KeyExists):
        await create(desk, issued(OTHER_ID))
    with pytest.raises(KeyCreating):
        await desk.open_key("new")
    assert 1 == len(desk.orders)


@pytest.mark.parametrize("request_id", ["", ID])
@pytest.mark.parametrize("make", [issued, generated])
@pytest.mark.parametrize("turns", range(0, 24, 3))
async def test_a_caller_who_goes_away_midway_loses_nothing(
    desk: Desk, make: Callable[[str], CreateKeyCommand], request_id: str, turns: int
) -> None:
    """Whenever the caller is cancelled, the key still reaches the store, once."""

    async def slow(_method: str, _key_id: str) -> None:
        for _ in range(3):
            await asyncio.sleep(0)

    desk.store.before = desk.store.after = slow
    caller = asyncio.ensure_future(create(desk, make(request_id)))
    for _ in range(turns + 2):
        await asyncio.sleep(0)
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    await desk.idempotency.settle()

    assert KeyState.ENABLED is (await desk.store.get("new")).state
    assert (make is issued) == len(desk.orders)


@pytest.mark.parametrize("make", [issued, generated])
async def test_a_new_key_is_not_hidden_by_an_old_one(
    desk: Desk, make: Callable[[], CreateKeyCommand]
) -> None:
    """A key that was removed past this server, and is still in memory, ends with the new one."""
    await desk.store.create("new", document())
    await desk.open_key("new")
    await desk.store.delete("new")

    key = await create(desk, make())

    assert key.public_id == (await desk.open_key("new")).credential.key.public_id


@pytest.mark.parametrize("scope", [Scope(ScopeKind.KEY, "wallet"), Scope(ScopeKind.KEY, "new")])
@pytest.mark.parametrize("after", ["the reservation", "the venue's nonce"])
async def test_a_hold_comes_before_the_order_does(desk: Desk, scope: Scope, after: str) -> None:
    """No order leaves the server, nothing is left behind, and later the key can be made."""

    def nonce_and_stop() -> Answer:
        desk.stop(scope)
        return nonce()

    nonce = desk.nonce
    if after == "the venue's nonce":
        desk.nonce = nonce_and_stop
    else:
        desk.on_step = lambda step: desk.stop(scope) if step is Step.RESERVED else None
    with pytest.raises(Held):
        await create(desk, issued(ID))
    assert ([], ["lock"]) == (desk.orders, desk.escrow_files())
    with pytest.raises(KeyUnknown):
        await desk.store.get("new")

    desk.holds.take(KnownHolds())
    desk.nonce, desk.on_step = nonce, desk.steps.append
    assert "issued-key-1" == (await create(desk, issued(ID))).public_id


@pytest.mark.parametrize("at", ["", "put"])
async def test_a_hold_comes_before_a_key_is_generated(desk: Desk, at: str) -> None:
    """Nothing is written for it, also when the hold comes while the id is claimed."""
    desk.stop(Scope(ScopeKind.VENUE, "aster-v3"), at)
    with pytest.raises(Held):
        await create(desk, generated(ID))
    assert [] == writes(desk)
