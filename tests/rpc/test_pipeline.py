import asyncio
import io
import json
import math
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog

from fakes import FakeClock
from privyseal.v1 import venue_service_pb2 as pb
from privyseald.audit.entry import Entry
from privyseald.audit.log import AuditLog
from privyseald.audit_config import AuditConfig
from privyseald.caller import Caller
from privyseald.holds.hold import Hold, Scope, ScopeKind
from privyseald.holds.holds import Holds
from privyseald.holds.known_holds import KnownHolds
from privyseald.key import Key, KeyState
from privyseald.log import configure_log
from privyseald.rpc.admission import Bounds
from privyseald.rpc.call import Call, Procedure
from privyseald.rpc.pipeline import Pipeline, RpcFailed
from privyseald.rpc.priority import Priority
from privyseald.venues.registry import Venues
from service import failure_in

_CALLER = Caller("spiffe://privyseal.test/operator", "mtls-spiffe")
_MARK = "canary-5d1f"
_KEY = Key("one", "kiiex", "production", "hmac-sha256", "public", KeyState.ENABLED, 1, 0, 0)


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """The service's own log, as text."""
    stream = io.StringIO()
    configure_log("debug", "json", stream)
    yield stream
    structlog.reset_defaults()


@asynccontextmanager
async def pipeline(
    audit_file: Path, bounds: Bounds | None = None, holds: Holds | None = None
) -> AsyncIterator[Pipeline]:
    """Open a pipeline that writes to a file."""
    audit = AuditLog.open(AuditConfig(file=audit_file), FakeClock())
    await audit.start()
    yield Pipeline(
        audit, FakeClock(), bounds or Bounds(), Priority(Venues()), holds or Holds(FakeClock())
    )
    await audit.close()


def line_of_rpc(audit_file: Path) -> dict[str, Any]:
    """Return the only line about an RPC."""
    lines = [json.loads(line) for line in audit_file.read_text().splitlines()]
    (line,) = [line for line in lines if "rpc" in line]
    return dict(line)


async def fails(_request: Any, _call: Call) -> Any:
    """Fail as a mistake of a programmer would, with a secret in the exception's text."""
    try:
        int(_MARK)
    except ValueError as error:
        raise KeyError(f"{_MARK} again") from error


async def waits(_request: Any, _call: Call) -> Any:
    """Never come back."""
    await asyncio.Event().wait()


def procedure(method: Any) -> Procedure:
    """Return an RPC with this method behind it."""
    return Procedure("privyseal.v1.VenueService/GetVenue", pb.GetVenueRequest, method)


async def test_what_nobody_foresaw_is_an_internal_error(tmp_path: Path, log: io.StringIO) -> None:
    """The caller hears an id; the log has types and places under it, and no exception's text."""
    audit = tmp_path / "audit.jsonl"
    async with pipeline(audit) as pipes:
        with pytest.raises(RpcFailed) as caught:
            await pipes.run(procedure(fails), b"", lambda: _CALLER)
    failure = failure_in(caught.value.status)
    error_id = failure.metadata["errorId"]
    assert (failure.code, failure.message) == ("INTERNAL", f"internal error {error_id}")
    line, event = line_of_rpc(audit), json.loads(log.getvalue())
    assert (line["code"], line["reason"], line["error_id"]) == ("INTERNAL", "INTERNAL", error_id)
    assert (event["event"], event["level"], event["error_id"]) == (
        "internal error",
        "error",
        error_id,
    )
    assert event["cause"].startswith("KeyError < ")
    assert "ValueError" in event["cause"]
    assert " fails" in event["cause"]
    assert _MARK not in f"{failure}{line}{log.getvalue()}"


async def test_a_cancelled_rpc_is_audited_and_stays_cancelled(tmp_path: Path) -> None:
    """Cancellation is not swallowed, and leaves a line."""
    audit = tmp_path / "audit.jsonl"
    async with pipeline(audit) as pipes:
        task = asyncio.ensure_future(pipes.run(procedure(waits), b"", lambda: _CALLER))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert line_of_rpc(audit)["code"] == "CANCELLED"


async def test_what_a_cancelled_batch_did_is_counted_as_it_is_audited(tmp_path: Path) -> None:
    """Each of its requests that had ended, and who denied it."""
    audit = tmp_path / "audit.jsonl"

    async def signs_and_waits(_request: Any, call: Call) -> Any:
        call.parts.append(Entry("batch", code="OK", decision="allowed"))
        denied = Entry("batch", code="PERMISSION_DENIED", reason="POLICY_DENIED", rule="no")
        call.parts.append(denied)
        await asyncio.Event().wait()

    async with pipeline(audit) as pipes:
        run = pipes.run(procedure(signs_and_waits), b"", lambda: _CALLER)
        task = asyncio.ensure_future(run)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert pipes.counts.parts == {("OK", ""): 1, ("PERMISSION_DENIED", "POLICY_DENIED"): 1}
    assert pipes.counts.denied == {"no": 1}


async def test_nothing_is_begun_without_an_audit_log(log: io.StringIO) -> None:
    """Where lines can't be written the method is not even called, and the caller hears why."""
    async with pipeline(Path("/dev/full")) as pipes:
        with pytest.raises(RpcFailed) as caught:
            await pipes.run(procedure(fails), b"", lambda: _CALLER)
    failure = failure_in(caught.value.status)
    assert (failure.code, failure.reason) == ("UNAVAILABLE", "AUDIT_UNAVAILABLE")
    assert "nothing was begun" in failure.message
    events = [json.loads(line)["event"] for line in log.getvalue().splitlines()]
    assert events == ["audit log not written", "audit log not begun"]


async def test_an_rpc_that_is_over_makes_room(tmp_path: Path) -> None:
    """The count of RPCs under way goes down after failures and cancellations too."""
    async with pipeline(tmp_path / "audit.jsonl", Bounds(concurrent_rpcs=1)) as one_at_a_time:
        for _ in range(3):
            task = asyncio.ensure_future(one_at_a_time.run(procedure(waits), b"", lambda: _CALLER))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            with pytest.raises(RpcFailed) as caught:
                await one_at_a_time.run(procedure(fails), b"", lambda: _CALLER)
            assert failure_in(caught.value.status).code == "INTERNAL"


async def test_a_hold_that_comes_while_the_line_is_written_counts(tmp_path: Path) -> None:
    """The log has what was allowed, and then that it did not go out."""
    audit, signed = tmp_path / "audit.jsonl", asyncio.Event()
    holds = Holds(FakeClock())
    holds.confirm(math.inf)
    hold = Hold("a", Scope(ScopeKind.VENUE, _KEY.venue), "why", "operator", 0)

    async def signs(_request: Any, call: Call) -> pb.GetVenueResponse:
        call.uses.append(_KEY)
        signed.set()
        return pb.GetVenueResponse()

    async with pipeline(audit, holds=holds) as pipes:
        assert b"" == await pipes.run(procedure(signs), b"", lambda: _CALLER)
        signed.clear()
        late = asyncio.ensure_future(pipes.run(procedure(signs), b"", lambda: _CALLER))
        await signed.wait()
        holds.take(KnownHolds().with_hold(hold))
        with pytest.raises(RpcFailed) as caught:
            await late
    assert "HELD" == failure_in(caught.value.status).reason
    lines = [json.loads(line) for line in audit.read_text().splitlines()]
    assert [("OK", ""), ("OK", ""), ("FAILED_PRECONDITION", "HELD")] == [
        (line["code"], line.get("reason", "")) for line in lines if "rpc" in line
    ]


@pytest.mark.parametrize(
    ("left_s", "begins"), [(None, True), (0.001, True), (0, False), (-1, False)]
)
async def test_what_nobody_waits_for_is_not_begun(
    tmp_path: Path, left_s: float | None, begins: bool
) -> None:
    """Where the deadline has passed, the method is not called, and the line says why."""
    audit, called = tmp_path / "audit.jsonl", []

    async def answers(_request: Any, _call: Call) -> pb.GetVenueResponse:
        called.append(True)
        return pb.GetVenueResponse()

    async with pipeline(audit) as pipes:
        run = pipes.run(procedure(answers), b"", lambda: _CALLER, lambda: left_s)
        if begins:
            await run
        else:
            with pytest.raises(RpcFailed, match="deadline passed before"):
                await run
    assert begins == bool(called)
    line = line_of_rpc(audit)
    expected = ("OK", None) if begins else ("RESOURCE_EXHAUSTED", "OVERLOADED")
    assert expected == (line["code"], line.get("reason"))
