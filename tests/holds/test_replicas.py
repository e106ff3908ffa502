"""Holds of several servers on a real Vault and a real Valkey."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from bao import BaoServer
from hold_trials import Replicas
from privyseal.v1 import hold_service_pb2 as pb
from privyseal.v1 import signing_service_pb2
from replicas import shared
from served import Served
from service import (
    ASTER_WALLET,
    KIIEX,
    OPERATOR,
    WHITEBIT,
    Service,
    Stubs,
    eventually,
    failure_of,
    import_sandbox_key,
    sign_request,
)
from valkey_server import ValkeyServer

_MAX_AGE_S = 2.0


class Fleet:
    """Three servers, each as the operator reaches it, with keys `wb` and `wallet`."""

    def __init__(self, services: list[Service], stubs: list[Stubs]) -> None:
        self.services = services
        self.stubs = stubs

    async def sign(self, number: int) -> str:
        """Sign a message, which needs no nonce; return why not."""
        request = signing_service_pb2.SignRequest(key="keys/wallet")
        request.personal_message.message = b"hello"
        return await reason(lambda: self.stubs[number].signing.Sign(request))

    async def all_say(self, *reasons: str) -> bool:
        """Whether this is what all servers say now."""
        return {await self.sign(number) for number in range(len(self.stubs))} == set(reasons)

    async def hold(self, number: int = 0, **scope: Any) -> str:
        """Create a hold and return its name."""
        request = pb.CreateHoldRequest(hold=pb.Hold(cause="why", **scope))
        name: str = (await self.stubs[number].holds.CreateHold(request)).hold.name
        return name

    async def restart(self) -> None:
        """Restart all servers, on their disks."""
        for number, service in enumerate(self.services):
            await service.restart()
            self.stubs[number] = await service.as_caller(OPERATOR)


async def reason(call: Callable[[], Awaitable[object]]) -> str:
    """Return why an RPC was refused, nothing where it was answered."""
    outcome = (await asyncio.gather(call(), return_exceptions=True))[0]
    if not isinstance(outcome, BaseException):
        return ""

    async def failing() -> object:
        raise outcome

    return (await failure_of(failing())).reason


@pytest.fixture
async def fleet(
    tmp_path: Path, bao: BaoServer, prefix: str, valkey_server: ValkeyServer
) -> AsyncIterator[Fleet]:
    """All is up, and nothing is held."""
    sections = shared(tmp_path, bao, prefix, valkey_server.url)
    (tmp_path / "first").mkdir()
    async with Service(tmp_path / "first", **sections) as first:
        services = [first, await first.replica(), await first.replica()]
        stubs = [await service.as_caller(OPERATOR) for service in services]
        await import_sandbox_key(stubs[0], "wb", WHITEBIT)
        await import_sandbox_key(stubs[0], "wallet", ASTER_WALLET)
        yield Fleet(services, stubs)


async def test_a_hold_stops_all_replicas_in_time(fleet: Fleet) -> None:
    """From the call of CreateHold no replica signs for longer than two seconds, ten times."""
    orders = sign_request("wb", "POST", "/api/v4/orders")
    async with Replicas(fleet.stubs, orders) as replicas:
        trials = await replicas.trials(10, pb.Hold(venue="whitebit", cause="drill"))
    assert max(trial.stop_ms for trial in trials) < 1_000 * _MAX_AGE_S
    assert max(trial.lift_ms for trial in trials) < 1_000 * _MAX_AGE_S


async def test_a_hold_is_lifted_at_any_replica(fleet: Fleet) -> None:
    """Created at one, listed at the second, lifted at the third."""
    name = await fleet.hold(0, all=True)
    await eventually(lambda: fleet.all_say("HELD"))
    assert [name] == [
        hold.name for hold in (await fleet.stubs[1].holds.ListHolds(pb.ListHoldsRequest())).holds
    ]
    await fleet.stubs[2].holds.DeleteHold(pb.DeleteHoldRequest(name=name))
    await eventually(lambda: fleet.all_say(""))


@pytest.mark.parametrize("loss", ["restart", "flush"])
async def test_a_valkey_without_memory_lifts_nothing(
    fleet: Fleet, valkey_server: ValkeyServer, loss: str
) -> None:
    """Nobody signs meanwhile, and who starts later knows the hold too."""
    await fleet.hold(key="keys/wallet")
    await eventually(lambda: fleet.all_say("HELD"))
    if loss == "restart":
        await asyncio.to_thread(valkey_server.restart, empty=True)
    else:
        valkey_server.command("FLUSHALL")

    async def is_put_back() -> bool:
        assert await fleet.all_say("HELD")
        return b'"wallet"' in valkey_server.dump()

    await eventually(is_put_back)
    fourth = await fleet.services[0].replica()
    fleet.stubs.append(await fourth.as_caller(OPERATOR))
    assert await fleet.all_say("HELD")


async def test_disks_bring_back_what_all_memories_lost(
    fleet: Fleet, valkey_server: ValkeyServer
) -> None:
    """Valkey and all servers restart at once: the servers' files know."""
    await fleet.hold(key="keys/wallet")
    await eventually(lambda: fleet.all_say("HELD"))
    for service in fleet.services:
        await service.stop()
    await asyncio.to_thread(valkey_server.restart, empty=True)
    await fleet.restart()
    assert await fleet.all_say("HELD")


async def test_without_valkey_nothing_is_signed_for_long(
    fleet: Fleet, valkey_server: ValkeyServer
) -> None:
    """Whether there is a hold can't be known: two seconds later all refuse, and then go on."""
    assert await fleet.all_say("")
    valkey_server.kill()
    killed_s = last_s = time.monotonic()

    async def is_refused() -> bool:
        nonlocal last_s
        asked_s = time.monotonic()
        said = [await fleet.sign(number) for number in range(3)]
        if "" in said:
            last_s = asked_s
        return said == ["STATE_UNAVAILABLE"] * 3

    await eventually(is_refused)
    assert last_s - killed_s <= _MAX_AGE_S
    await asyncio.to_thread(valkey_server.restart)
    await eventually(lambda: fleet.all_say(""))


async def test_a_hold_ends_the_session_everywhere(fleet: Fleet) -> None:
    """What was opened before is used by no replica after, also when the hold is lifted."""
    await import_sandbox_key(fleet.stubs[0], "kx", KIIEX)
    request = sign_request("kx", "POST", "/ap/GetUserInfo")

    async def headers(number: int) -> set[str]:
        signed = (await fleet.stubs[number].signing.Sign(request)).signed_http_request
        return {header.name for header in signed.headers}

    await fleet.stubs[0].signing.Login(signing_service_pb2.LoginRequest(key="keys/kx"))
    assert [{"aptoken"}] * 3 == [await headers(number) & {"aptoken"} for number in range(3)]
    name = await fleet.hold(1, key="keys/kx")
    await fleet.stubs[2].holds.DeleteHold(pb.DeleteHoldRequest(name=name))

    async def is_stateless() -> bool:
        return not set().union(*[await headers(number) for number in range(3)]) & {"aptoken"}

    await eventually(is_stateless)


async def test_a_process_that_stood_still_signs_nothing_old(
    tmp_path: Path, bao: BaoServer, prefix: str, valkey_server: ValkeyServer
) -> None:
    """Stopped by a signal while the hold comes: its very first answer is no signature."""
    sections = shared(tmp_path, bao, prefix, valkey_server.url)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    async with (
        Served(tmp_path / "one", **sections) as one,
        Served(tmp_path / "two", **sections) as two,
    ):
        awake, sleeper = await one.as_caller(OPERATOR), await two.as_caller(OPERATOR)
        await import_sandbox_key(awake, "wallet", ASTER_WALLET)
        fleet = Fleet([], [awake, sleeper])
        assert await fleet.all_say("")
        os.kill(two.pid, signal.SIGSTOP)
        waiting = [asyncio.ensure_future(fleet.sign(1)) for _ in range(20)]
        await asyncio.sleep(_MAX_AGE_S + 0.2)
        await fleet.hold(0, key="keys/wallet")
        os.kill(two.pid, signal.SIGCONT)
        assert {"HELD", "STATE_UNAVAILABLE"} >= set(await asyncio.gather(*waiting))
        await eventually(lambda: fleet.all_say("HELD"))
