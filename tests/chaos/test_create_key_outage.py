"""Vault goes away between a venue's answer and the write of what it issued."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import grpc
import pytest

from bao import MOUNT, BaoServer
from privyseal.v1 import key_pb2, key_service_pb2
from privyseald.usecases import create_key_saga, reconcile_watch
from privyseald.usecases.create_key_saga import Step
from rpc.test_create_key import issued, orders
from secret_store_home import store_policy
from service import (
    ASTER_WALLET,
    OPERATOR,
    Service,
    Stubs,
    eventually,
    failure_of,
    import_sandbox_key,
    sign_request,
)

_FORM = b"symbol=BTCUSDT&side=BUY&type=MARKET"
_ID = "8b1f3a52-5f0e-4a1c-9a51-0b8f1d6f7c11"


class Desk:
    """A server over a Vault that can be struck when the venue has answered."""

    def __init__(self, bao: BaoServer, folder: Path, prefix: str) -> None:
        (folder / "token").write_text(bao.token(store_policy(prefix)))
        (folder / "token").chmod(0o600)
        self.bao = bao
        self.strike: Callable[[], None] = lambda: None
        self.service = Service(
            folder,
            store={"url": f"vault://{MOUNT}/{prefix}", "key_file": None},
            vault={"address": bao.url, "token_file": folder / "token", "timeout_ms": 500},
            escrow={"path": folder / "escrow"},
        )
        self.service.on_step = self._on_step
        self.stubs: Stubs

    def _on_step(self, step: Step) -> None:
        if step is Step.ANSWERED:
            self.strike()


@pytest.fixture
async def desk(
    frail_bao: BaoServer, tmp_path: Path, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Desk]:
    """A server with a wallet, whose patience is short."""
    monkeypatch.setattr(create_key_saga, "_WRITE_PAUSES_S", (0.05,))
    monkeypatch.setattr(reconcile_watch, "_FIRST_PAUSE_S", 0.1)
    monkeypatch.setattr(reconcile_watch, "_LAST_PAUSE_S", 0.2)
    desk = Desk(frail_bao, tmp_path, prefix)
    async with desk.service:
        desk.stubs = await desk.service.as_caller(OPERATOR)
        await import_sandbox_key(desk.stubs, "wallet", ASTER_WALLET)
        yield desk
    await asyncio.to_thread(frail_bao.restart)


async def is_whole(desk: Desk) -> bool:
    """Whether the key came into the store."""
    answer = await desk.stubs.keys.GetKey(key_service_pb2.GetKeyRequest(name="keys/new"))
    return bool(answer.key.state == key_pb2.KEY_STATE_ENABLED)


@pytest.mark.parametrize("fault", ["stop", "seal"])
async def test_an_outage_after_the_answer_ends_in_escrow_and_heals(desk: Desk, fault: str) -> None:
    """The caller gets OK and ESCROWED; use is refused by name; when Vault is back the key moves
    in by itself and signs, and the venue was asked once.
    """
    desk.strike = getattr(desk.bao, fault)
    key = (await desk.stubs.signing.CreateKey(issued(request_id=_ID, labels={"desk": "a"}))).key
    got = await desk.stubs.keys.GetKey(key_service_pb2.GetKeyRequest(name="keys/new"))
    signing = sign_request("new", "POST", "/fapi/v1/order", _FORM)
    failure = await failure_of(desk.stubs.signing.Sign(signing))
    again = (await desk.stubs.signing.CreateKey(issued(request_id=_ID, labels={"desk": "a"}))).key

    assert (key_pb2.KEY_STATE_ESCROWED, {"desk": "a"}, "aster") == (
        key.state,
        dict(key.labels),
        key.venue,
    )
    assert key == got.key == again
    assert ("FAILED_PRECONDITION", "KEY_ESCROWED", {"key": "keys/new"}) == (
        failure.code,
        failure.reason,
        failure.metadata,
    )
    await asyncio.to_thread(desk.bao.restart)
    await eventually(lambda: is_whole(desk))
    answer = await desk.stubs.signing.Sign(signing)
    assert (key.public_id, 1) == (
        {each.name: each.value for each in answer.signed_http_request.headers}["X-MBX-APIKEY"],
        orders(desk.service),
    )


async def test_a_restart_of_vault_in_mid_flight_is_waited_for(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Vault that comes back within the retries has the key before the caller is answered."""
    monkeypatch.setattr(create_key_saga, "_WRITE_PAUSES_S", (0.2,) * 60)

    def start_later() -> None:
        time.sleep(0.3)
        desk.bao.start()

    starting = threading.Thread(target=start_later)

    def strike() -> None:
        desk.bao.stop()
        starting.start()

    desk.strike = strike
    key = (await desk.stubs.signing.CreateKey(issued())).key
    await asyncio.to_thread(starting.join)

    assert (key_pb2.KEY_STATE_ENABLED, 1) == (key.state, orders(desk.service))


async def test_a_policy_that_was_taken_away_ends_in_escrow(
    desk: Desk, prefix: str, tmp_path: Path
) -> None:
    """A token without rights is an outage for the key: it waits until they are back."""
    token = desk.bao.token(store_policy(prefix))

    def strike() -> None:
        desk.bao.revoke((tmp_path / "token").read_text())

    desk.strike = strike
    key = (await desk.stubs.signing.CreateKey(issued())).key
    assert key_pb2.KEY_STATE_ESCROWED == key.state
    (tmp_path / "token").write_text(token)
    await eventually(lambda: is_whole(desk))


async def test_a_server_that_starts_without_vault_knows_what_waits(desk: Desk) -> None:
    """An escrowed key outlives a restart of the server in the middle of the outage."""
    desk.strike = desk.bao.stop
    await desk.stubs.signing.CreateKey(issued())
    await desk.service.restart()
    desk.stubs = await desk.service.as_caller(OPERATOR)
    got = await desk.stubs.keys.GetKey(key_service_pb2.GetKeyRequest(name="keys/new"))
    assert key_pb2.KEY_STATE_ESCROWED == got.key.state

    await asyncio.to_thread(desk.bao.start)
    await eventually(lambda: is_whole(desk))
    assert 1 == orders(desk.service)


async def test_servers_that_share_the_escrow_tell_the_same_and_move_it_once(desk: Desk) -> None:
    """Two workers of a host: a key that one of them escrowed is escrowed at the other too, also
    for a retry, and once Vault is back they move it in together.
    """
    other = await (await desk.service.replica()).as_caller(OPERATOR)
    desk.strike = desk.bao.stop
    order = issued(request_id=_ID)
    key = (await desk.stubs.signing.CreateKey(order)).key
    got = (await other.keys.GetKey(key_service_pb2.GetKeyRequest(name="keys/new"))).key
    again = (await other.signing.CreateKey(order)).key
    assert (key_pb2.KEY_STATE_ESCROWED, key, key) == (key.state, got, again)

    await asyncio.to_thread(desk.bao.start)
    for stubs in (desk.stubs, other):

        async def signs(stubs: Stubs = stubs) -> bool:
            signing = stubs.signing.Sign(sign_request("new", "POST", "/fapi/v1/order", _FORM))
            return not isinstance(
                (await asyncio.gather(signing, return_exceptions=True))[0], grpc.RpcError
            )

        await eventually(signs)
    escrow = desk.service.directory / "escrow"
    assert (1, {"lock"}) == (orders(desk.service), {file.name for file in escrow.iterdir()})
