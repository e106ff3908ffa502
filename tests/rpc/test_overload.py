"""A server with more to do than it takes: who gets in, and who hears that there is no place."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from privyseal.v1 import hold_service_pb2, key_service_pb2, venue_service_pb2
from privyseal.v1 import signing_service_pb2 as pb
from privyseald.caller import Caller
from privyseald.errors import Overloaded
from privyseald.rpc.admission import Admission, Bounds
from privyseald.rpc.priority import Priority, places_of
from privyseald.venues.registry import Venues
from service import (
    OPERATOR,
    TRADER,
    WHITEBIT,
    Service,
    Stubs,
    eventually,
    failure_of,
    import_sandbox_key,
    sign_request,
)
from valkey_server import ValkeyServer

_SIGN = "privyseal.v1.SigningService/Sign"
_PRIORITY = Priority(Venues())
_A, _B, _C = (Caller(name, "mtls-spiffe") for name in "abc")


def order(key_id: str = "wb") -> pb.SignRequest:
    """Return a new order."""
    return sign_request(key_id, "POST", "/api/v4/order/new", b"{}")


def cancel(key_id: str = "wb") -> pb.SignRequest:
    """Return a cancel of an order."""
    return sign_request(key_id, "POST", "/api/v4/order/cancel", b"{}")


def batch(*requests: pb.SignRequest) -> pb.BatchSignRequest:
    """Return a batch."""
    return pb.BatchSignRequest(requests=requests)


@pytest.mark.parametrize(
    ("name", "request_message", "expected"),
    [
        (_SIGN, order(), False),
        (_SIGN, cancel(), True),
        (_SIGN, sign_request("k", "POST", "/API/v4/Order/Cancel/", b"{}"), True),
        (_SIGN, sign_request("k", "POST", "/api/v4/order/cancel?x=1", b"{}"), True),
        (_SIGN, sign_request("k", "DELETE", "/fapi/v1/order"), True),
        (_SIGN, sign_request("k", "POST", "/fapi/v1/order"), False),
        (_SIGN, sign_request("k", "POST", "/ap/CancelOrder"), True),
        (_SIGN, sign_request("k", "POST", "/" + "x" * 100_000), False),
        (_SIGN, pb.SignRequest(key="keys/k"), False),
        (_SIGN, pb.SignRequest(personal_message=pb.PersonalMessage(message=b"cancel")), False),
        ("privyseal.v1.SigningService/BatchSign", batch(cancel(), cancel()), True),
        ("privyseal.v1.SigningService/BatchSign", batch(cancel(), order()), False),
        ("privyseal.v1.SigningService/Login", pb.LoginRequest(), False),
        ("privyseal.v1.SigningService/Logout", pb.LogoutRequest(), True),
        ("privyseal.v1.KeyService/DisableKey", key_service_pb2.DisableKeyRequest(), True),
        ("privyseal.v1.KeyService/EnableKey", key_service_pb2.EnableKeyRequest(), False),
        ("privyseal.v1.HoldService/CreateHold", hold_service_pb2.CreateHoldRequest(), True),
        ("privyseal.v1.HoldService/ListHolds", hold_service_pb2.ListHoldsRequest(), True),
        ("privyseal.v1.HoldService/DeleteHold", hold_service_pb2.DeleteHoldRequest(), True),
        ("privyseal.v1.VenueService/ListVenues", venue_service_pb2.ListVenuesRequest(), False),
    ],
)
def test_what_stops_things_is_urgent(name: str, request_message: Any, expected: bool) -> None:
    """Cancels at any venue, logouts, holds, and the end of a key; nothing else."""
    assert expected is _PRIORITY.is_urgent(name, request_message)


@pytest.mark.parametrize(("count", "places"), [(1, 1), (9, 1), (10, 2), (95, 10), (1_000, 101)])
def test_a_batch_takes_room_by_its_size(count: int, places: int) -> None:
    """Ten requests of a batch are as much as one more RPC."""
    assert places == places_of(batch(*[order()] * count))
    assert 1 == places_of(order())


class Crowd:
    """RPCs under way at one server."""

    def __init__(self, total: int, per_caller: int) -> None:
        self.admission = Admission(Bounds(total, per_caller), _PRIORITY)
        self.open = ExitStack()

    def enter(self, request: Any, caller: Caller = _A) -> bool:
        """Whether one more gets in."""
        try:
            self.open.enter_context(self.admission.enter(_SIGN, caller, request))
        except Overloaded:
            return False
        return True

    def fill(self, request: Any, caller: Caller = _A) -> int:
        """Let in as many as get in, and return how many that were."""
        return next(count for count in range(1_000) if not self.enter(request, caller))


def test_orders_leave_a_fifth_to_cancels() -> None:
    """Of all places and of each caller's own; the rest is told that there is none."""
    crowd = Crowd(100, 100)
    assert [80, 20, 0] == [crowd.fill(order()), crowd.fill(cancel()), crowd.fill(order())]

    shared = Crowd(100, 50)
    assert [40, 10] == [shared.fill(order()), shared.fill(cancel())]
    assert [30, 20] == [shared.fill(order(), _B), shared.fill(cancel(), _B)]
    assert [0, 0] == [shared.fill(order(), _C), shared.fill(cancel(), _C)]


def test_one_caller_keeps_no_other_out() -> None:
    """Half of the places at most are one caller's, so a second one finds as many."""
    crowd = Crowd(100, 50)
    crowd.fill(order())
    crowd.fill(cancel())

    assert 50 == crowd.fill(order(), _B) + crowd.fill(cancel(), _B)


def test_places_come_back() -> None:
    """Whatever happens to those who had them, and nothing is kept of a caller who left."""
    crowd = Crowd(10, 10)
    for _ in range(3):
        assert 8 == crowd.fill(order())
        assert 8 == crowd.admission.taken
        crowd.open.close()
        assert (0, {}) == (crowd.admission.taken, dict(crowd.admission._of_callers))


def test_a_batch_that_is_too_large_goes_in_where_nothing_else_is() -> None:
    """It is never refused for ever."""
    crowd, large = Crowd(10, 5), batch(*[order()] * 1_000)

    assert crowd.enter(large)
    assert not crowd.enter(order(), _B)
    crowd.open.close()
    assert crowd.enter(order())
    assert not crowd.enter(large)


@pytest.mark.parametrize("total", [1, 2, 3])
def test_the_smallest_server_serves(total: int) -> None:
    """At least one gets in, of whatever kind."""
    assert 1 <= Crowd(total, 1).fill(order())
    assert 1 <= Crowd(total, 1).fill(cancel())


@pytest.fixture
async def stuck(tmp_path: Path, valkey_server: ValkeyServer) -> AsyncIterator[Service]:
    """A server of ten places, six for a caller, whose state can be made to stand still."""
    sections: Any = {
        "server": {"max_concurrent_rpcs": 10, "max_concurrent_rpcs_per_caller": 6},
        "state": {"url": valkey_server.url, "path": None, "timeout_ms": 8_000},
        "escrow": {"path": tmp_path / "escrow"},
        "holds": {"max_age_ms": 60_000},
    }
    async with Service(tmp_path, **sections) as service:
        operator = await service.as_caller(OPERATOR)
        await import_sandbox_key(operator, "wb", WHITEBIT, nonce_window="false")
        await import_sandbox_key(operator, "desk-1", WHITEBIT, nonce_window="false")
        yield service


def begun(calls: list[Awaitable[Any]]) -> list["asyncio.Future[Any]"]:
    """Let RPCs go on their way."""
    return [asyncio.ensure_future(call) for call in calls]


async def refused(tasks: list["asyncio.Future[Any]"], count: int) -> None:
    """Return when so many of the RPCs were refused as too much."""

    async def are_refused() -> bool:
        return count == sum(task.done() for task in tasks)

    await eventually(are_refused)
    for task in tasks:
        if task.done():
            failure = await failure_of(task)
            assert ("RESOURCE_EXHAUSTED", "OVERLOADED", 100) == (
                failure.code,
                failure.reason,
                failure.retry_after_ms,
            )


async def test_orders_that_are_stuck_keep_no_cancel_out(
    stuck: Service, valkey_server: ValkeyServer
) -> None:
    """Two callers' orders fill their places while the state stands still; their cancels and a
    hold get in, and are done when it goes on.
    """
    operator, trader = await stuck.as_caller(OPERATOR), await stuck.as_caller(TRADER)
    await operator.signing.Sign(order())
    await trader.signing.Sign(order("desk-1"))
    valkey_server.pause()
    of_operator = begun([operator.signing.Sign(order()) for _ in range(12)])
    await refused(of_operator, 12 - 4)
    of_trader = begun([trader.signing.Sign(order("desk-1")) for _ in range(12)])
    await refused(of_trader, 12 - 4)
    cancels = begun([operator.signing.Sign(cancel()), trader.signing.Sign(cancel("desk-1"))])
    stub: Any = health_pb2_grpc.HealthStub(trader.channel)
    health = await stub.Check(health_pb2.HealthCheckRequest())
    await asyncio.sleep(0.2)
    assert [False, False] == [task.done() for task in cancels]
    valkey_server.resume()

    assert health_pb2.HealthCheckResponse.SERVING == health.status
    left = [task for task in of_operator + of_trader if not task.done()]
    answers = await asyncio.gather(*cancels, *left)
    assert 2 + 8 == len({answer.nonce for answer in answers})
    assert await operator.signing.Sign(order())


async def test_cancels_are_served_in_a_flood_of_orders(tmp_path: Path) -> None:
    """A hundred orders at any time from one caller: each cancel, also its own, is signed at once,
    while many orders are refused.
    """
    server = {"max_concurrent_rpcs": 20, "max_concurrent_rpcs_per_caller": 10}
    async with Service(tmp_path, server=server) as service:
        operator, trader = await service.as_caller(OPERATOR), await service.as_caller(TRADER)
        for key_id in ("wb", "desk-1"):
            await import_sandbox_key(operator, key_id, WHITEBIT, nonce_window="false")
        end = time.monotonic() + 2
        codes: list[grpc.StatusCode] = []

        async def flood(stubs: Stubs) -> None:
            while time.monotonic() < end:
                try:
                    await stubs.signing.Sign(order())
                    codes.append(grpc.StatusCode.OK)
                except grpc.aio.AioRpcError as error:
                    codes.append(error.code())
                    await asyncio.sleep(0.05)

        floods = [asyncio.ensure_future(flood(operator)) for _ in range(100)]
        cancelled = 0
        while time.monotonic() < end:
            await operator.signing.Sign(cancel())
            await trader.signing.Sign(cancel("desk-1"))
            cancelled += 2
        await asyncio.gather(*floods)

    assert {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED} == set(codes)
    assert cancelled >= 10


async def test_who_went_away_takes_no_nonce(stuck: Service, valkey_server: ValkeyServer) -> None:
    """Work that waits for its limit when the caller leaves, or its deadline passes, ends there."""
    stuck.take_policy(
        b"version: 1\nrules:\n"
        b'  - {name: all, callers: ["*"], keys: ["*"], allow: [sign, login], '
        b"limits: [{rate: 1000, window: 1h}]}\n"
    )
    await stuck.restart()
    trader = await stuck.as_caller(TRADER)
    await trader.signing.Sign(order("desk-1"))
    key = "{privyseal}:counter:nonce/whitebit/production/ms/test-key"
    before = valkey_server.command("GET", key)
    assert before.startswith(b"$")
    assert not before.startswith(b"$-1")
    valkey_server.pause()
    left = begun([trader.signing.Sign(order("desk-1")) for _ in range(2)])
    late = begun([trader.signing.Sign(order("desk-1"), timeout=0.3) for _ in range(2)])
    assert {"DEADLINE_EXCEEDED"} == {(await failure_of(call)).code for call in late}
    for call in left:
        call.cancel()

    async def all_left() -> bool:
        lines = stuck.audit_lines()
        return [line["code"] for line in lines].count("CANCELLED") == 4

    await eventually(all_left)
    valkey_server.resume()
    await asyncio.sleep(0.2)
    assert before == valkey_server.command("GET", key)
    await trader.signing.Sign(order("desk-1"))


async def test_what_comes_too_late_is_not_begun(tmp_path: Path) -> None:
    """A server that stood still signs nothing for those whose deadline passed meanwhile."""
    async with Service(tmp_path) as service:
        operator = await service.as_caller(OPERATOR)
        await import_sandbox_key(operator, "wb", WHITEBIT, nonce_window="false")
        await operator.signing.Sign(order())
        lines = len(service.audit_lines())
        calls = begun([operator.signing.Sign(order(), timeout=0.1) for _ in range(20)])
        await asyncio.sleep(0)
        time.sleep(0.4)  # noqa: ASYNC251  # it stands still
        codes = {(await failure_of(call)).code for call in calls}
        assert (await operator.signing.Sign(order())).nonce
        after = service.audit_lines()[lines:]

    assert {"DEADLINE_EXCEEDED"} == codes
    assert 1 == sum(line["code"] == "OK" for line in after)


async def test_a_callers_share_can_be_set(tmp_path: Path) -> None:
    """`max_concurrent_rpcs_per_caller` is half of all unless it is told."""
    for setting, expected in (({}, 3), ({"max_concurrent_rpcs_per_caller": 8}, 8)):
        server = {"max_concurrent_rpcs": 7, **setting}
        folder = tmp_path / str(expected)
        folder.mkdir()
        async with Service(folder, server=server) as service:
            pipeline: Any = service.app.server._pipeline
            assert expected == pipeline.admission._bounds.rpcs_per_caller


def test_the_refusal_says_what_to_do() -> None:
    """How many are taken at once, of whom, and that nothing was begun."""
    crowd = Crowd(10, 5)
    crowd.fill(order())
    with (
        pytest.raises(Overloaded, match="no more than 4 RPCs of this kind of one caller at once"),
        crowd.admission.enter(_SIGN, _A, order()),
    ):
        pass
