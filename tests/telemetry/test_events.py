"""What happens once moves what it should, by one, and nothing else."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from fifo import Fifo
from privyseal.v1 import hold_service_pb2 as hold_pb
from privyseal.v1 import key_service_pb2 as key_pb
from privyseal.v1 import signing_service_pb2 as pb
from privyseald.sandbox.faults import Fault
from service import (
    KIIEX,
    OPERATOR,
    POLICY,
    STRANGER,
    TRADER,
    WHITEBIT,
    Service,
    Stubs,
    eventually,
    failure_of,
    import_sandbox_key,
    sign_request,
)
from telemetry.scraped import STANDARD, Scraped, scrape

ORDER = sign_request("desk-wb", "POST", "/api/v4/orders")
SIGN = "privyseal.v1.SigningService/Sign"
# These go on by themselves, or are looked at elsewhere.
ELSEWHERE = (
    *STANDARD,
    "privyseal_event_loop_lag",
    "privyseal_state_request",
    "privyseal_audit_",
    "privyseal_key_cache",
    "privyseal_nonce_lead",
    "privyseal_certificate_life",
    "privyseal_session_life",
    "privyseal_rpc_duration",
    "privyseal_venue_request_duration",
)
REQUEST_ID = "01890a5d-ac96-774b-bcce-b302099a8057"
Deltas = dict[tuple[str, ...], float]


async def found(service: Service) -> Scraped:
    """Return what the server tells now."""
    return await scrape(service.app.telemetry.port)


def moved(before: Scraped, after: Scraped) -> Deltas:
    """Return what changed, by name without its prefix and the values of its labels in order."""
    deltas: Deltas = {}
    for name, labels in sorted(before.samples.keys() | after.samples.keys(), key=str):
        delta = after.samples.get((name, labels), 0) - before.samples.get((name, labels), 0)
        if delta and not name.startswith(ELSEWHERE):
            values = (value for _, value in sorted(labels))
            deltas[name.removeprefix("privyseal_"), *values] = delta
    return deltas


@pytest.fixture
async def desk(tmp_path: Path) -> Any:
    """A server with two keys, and a trader who may sign once an hour."""
    policy = POLICY.replace(
        "allow: [sign, login]", "allow: [sign, login]\n    limits: [{rate: 1, window: 1h}]"
    )
    service = Service(tmp_path)
    service.take_policy(policy.encode())
    async with service:
        operator = await service.as_caller(OPERATOR)
        await import_sandbox_key(operator, "desk-wb", WHITEBIT)
        await import_sandbox_key(operator, "desk-kx", KIIEX)
        trader = await service.as_caller(TRADER)
        await trader.signing.Sign(ORDER)
        await operator.signing.Sign(
            sign_request("desk-wb", "POST", "/api/v4/a", request_id=REQUEST_ID)
        )

        async def is_ready() -> bool:
            return service.app.server.is_ready

        await eventually(is_ready)
        yield service


async def _hold(operator: Stubs) -> None:
    request = hold_pb.CreateHoldRequest()
    request.hold.venue, request.hold.cause = "whitebit", "test"
    await operator.holds.CreateHold(request)


def _rpc(code: str, reason: str, rpc: str = SIGN) -> tuple[str, ...]:
    return "rpc_requests_total", code, reason, rpc


OK = _rpc("OK", "")
SIGNED: Deltas = {
    OK: 1,
    ("nonces_total", "whitebit"): 1,
    ("signatures_total", "hmac-sha512", "whitebit"): 1,
}
CASES: dict[str, tuple[str, Any, Deltas]] = {
    "signed": (OPERATOR, ORDER, SIGNED),
    "validated": (
        OPERATOR,
        sign_request("desk-wb", "POST", "/api/v4/orders", validate_only=True),
        {OK: 1},
    ),
    "repeated": (
        OPERATOR,
        sign_request("desk-wb", "POST", "/api/v4/a", request_id=REQUEST_ID),
        {OK: 1, ("idempotency_hits_total", "memory"): 1},
    ),
    "limited": (
        TRADER,
        ORDER,
        {
            _rpc("RESOURCE_EXHAUSTED", "LIMIT_EXCEEDED"): 1,
            ("limits_exceeded_total", "trader"): 1,
        },
    ),
    "denied": (
        STRANGER,
        ORDER,
        {_rpc("PERMISSION_DENIED", "POLICY_DENIED"): 1, ("policy_denials_total", ""): 1},
    ),
    "unknown": (
        OPERATOR,
        sign_request("nobody", "POST", "/"),
        {_rpc("NOT_FOUND", "KEY_UNKNOWN"): 1},
    ),
}


@pytest.mark.parametrize("case", CASES)
async def test_a_sign_moves_what_it_should(desk: Service, case: str) -> None:
    """Each way that it can end."""
    caller, request, expected = CASES[case]
    stubs = await desk.as_caller(caller)
    before = await found(desk)
    call = stubs.signing.Sign(request)
    if _rpc("OK", "") in expected:
        await call
    else:
        await failure_of(call)
    assert moved(before, await found(desk)) == expected


async def test_a_hold_counts_what_it_refuses_and_is_gone_when_lifted(desk: Service) -> None:
    """Once a request, also within a batch."""
    operator = await desk.as_caller(OPERATOR)
    before = await found(desk)
    await _hold(operator)
    await failure_of(operator.signing.Sign(ORDER))
    await operator.signing.BatchSign(pb.BatchSignRequest(requests=[ORDER] * 3))
    held = moved(before, await found(desk))
    assert held[_rpc("FAILED_PRECONDITION", "HELD")] == 1
    assert held["hold_refusals_total", "hold"] == 4
    assert held["batch_requests_total", "FAILED_PRECONDITION", "HELD"] == 3
    assert held["holds", "venue"] == 1
    (hold,) = (await operator.holds.ListHolds(hold_pb.ListHoldsRequest())).holds
    await operator.holds.DeleteHold(hold_pb.DeleteHoldRequest(name=hold.name))
    before = await found(desk)
    await operator.signing.Sign(ORDER)
    assert (moved(before, await found(desk)), before.total("privyseal_holds")) == (SIGNED, 0)


async def test_a_login_is_counted_by_what_the_venue_said(desk: Service) -> None:
    """A refusal, the wait after it that asks nobody, and a login that works."""
    operator = await desk.as_caller(OPERATOR)
    request, login = pb.LoginRequest(key="keys/desk-kx"), "privyseal.v1.SigningService/Login"
    refusal = "VENUE_CREDENTIAL_REJECTED"
    desk.sandbox.faults.add(Fault("kiiex", "*", times=1, status=401))
    steps: tuple[tuple[Callable[[], Awaitable[object]], Deltas], ...] = (
        (
            lambda: failure_of(operator.signing.Login(request)),
            {
                _rpc("FAILED_PRECONDITION", refusal, login): 1,
                ("venue_requests_total", "login", refusal, "kiiex"): 1,
                ("nonces_total", "kiiex"): 1,
            },
        ),
        (
            lambda: failure_of(operator.signing.Login(request)),
            {_rpc("FAILED_PRECONDITION", "LOGIN_BACKING_OFF", login): 1},
        ),
        (
            lambda: operator.keys.EnableKey(key_pb.EnableKeyRequest(name="keys/desk-kx")),
            {_rpc("OK", "", "privyseal.v1.KeyService/EnableKey"): 1},
        ),
        (
            lambda: operator.signing.Login(request),
            {
                _rpc("OK", "", login): 1,
                ("venue_requests_total", "login", "ok", "kiiex"): 1,
                ("nonces_total", "kiiex"): 1,
                ("sessions_open", "kiiex"): 1,
            },
        ),
    )
    for act, expected in steps:
        before = await found(desk)
        await act()
        assert moved(before, await found(desk)) == expected


async def test_an_audit_log_that_is_stuck_and_heals(tmp_path: Path) -> None:
    """It stalls once; while it does nothing is begun, and what waited is gone afterwards."""
    with Fifo(tmp_path / "audit.fifo") as fifo:
        audit = {"file": fifo.path, "timeout_ms": 200}
        async with Service(tmp_path, audit=audit) as service:
            operator = await service.as_caller(OPERATOR)
            await import_sandbox_key(operator, "desk-wb", WHITEBIT)
            fifo.stop()
            try:

                async def is_stuck() -> bool:
                    await asyncio.gather(
                        *(operator.signing.Sign(ORDER) for _ in range(50)), return_exceptions=True
                    )
                    return (await found(service)).value("privyseal_audit_is_writable") == 0

                await eventually(is_stuck)
                before = await found(service)
                assert before.value("privyseal_audit_stalls_total") == 1
                assert before.value("privyseal_audit_queue_bytes") > 0
                await failure_of(operator.signing.Sign(ORDER))
                deltas = moved(before, await found(service))
                assert deltas.pop(("ready",), -1) == -1
                assert deltas == {_rpc("UNAVAILABLE", "AUDIT_UNAVAILABLE"): 1}
            finally:
                fifo.resume()

            async def is_healed() -> bool:
                now = await found(service)
                queued = now.total("privyseal_audit_queue_lines")
                return (now.value("privyseal_audit_is_writable"), queued) == (1, 0)

            await eventually(is_healed)
            now = await found(service)
            assert now.value("privyseal_audit_stalls_total") == 1
            assert now.value("privyseal_audit_queue_bytes") == 0


async def test_an_overload_is_counted_as_shed(tmp_path: Path) -> None:
    """By priority; the places are free again afterwards."""
    limits = {"max_concurrent_rpcs": 2}
    policy = orjson.dumps(
        {
            "version": 1,
            "rules": [
                {
                    "name": "operator",
                    "callers": [OPERATOR],
                    "keys": ["*"],
                    "allow": ["sign", "import-key"],
                }
            ],
        }
    )
    service = Service(tmp_path, server=limits)
    service.take_policy(policy)
    async with service:
        operator = await service.as_caller(OPERATOR)
        await import_sandbox_key(operator, "desk-wb", WHITEBIT)
        before = await found(service)
        calls = [operator.signing.Sign(ORDER) for _ in range(100)]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        refused = sum(isinstance(outcome, Exception) for outcome in outcomes)
        now = await found(service)
        deltas = moved(before, now)
        assert refused > 0
        assert deltas[_rpc("RESOURCE_EXHAUSTED", "OVERLOADED")] == refused
        assert deltas["rpcs_shed_total", "normal"] == refused
        assert deltas[OK] == 100 - refused
        assert now.value("privyseal_rpcs_in_flight") == 0
        assert now.value("privyseal_rpcs_in_flight_limit") == 2
