import asyncio
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from fakes import FakeClock
from privyseal.v1 import venue_service_pb2 as pb
from privyseald.audit.log import AuditLog
from privyseald.caller import Caller
from privyseald.log import configure_log
from privyseald.rpc.call import Call, Procedure
from privyseald.rpc.pipeline import Limits, Pipeline, RpcFailed
from service import failure_in

_CALLER = Caller("spiffe://privyseal.test/operator", "mtls-spiffe")
_MARK = "canary-5d1f"


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """The service's own log, as text."""
    stream = io.StringIO()
    configure_log("debug", "json", stream)
    yield stream
    structlog.reset_defaults()


def pipeline(audit_file: Path) -> Pipeline:
    """Return a pipeline that writes to a file."""
    return Pipeline(AuditLog.open_path(audit_file, FakeClock()), FakeClock(), Limits())


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
    with pytest.raises(RpcFailed) as caught:
        await pipeline(audit).run(procedure(fails), b"", lambda: _CALLER)
    failure = failure_in(caught.value.status)
    error_id = failure.metadata["errorId"]
    assert (failure.code, failure.message) == ("INTERNAL", f"internal error {error_id}")
    line, event = json.loads(audit.read_text()), json.loads(log.getvalue())
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
    task = asyncio.ensure_future(pipeline(audit).run(procedure(waits), b"", lambda: _CALLER))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert json.loads(audit.read_text())["code"] == "CANCELLED"


async def test_a_cancelled_rpc_stays_cancelled_without_an_audit_log(log: io.StringIO) -> None:
    """A full disk does not turn a cancellation into another failure."""
    run = pipeline(Path("/dev/full")).run(procedure(waits), b"", lambda: _CALLER)
    task = asyncio.ensure_future(run)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert "audit line not written" in log.getvalue()


async def test_a_refusal_that_can_not_be_audited(log: io.StringIO) -> None:
    """Where the line of a refusal can't be written the caller hears of the audit log."""
    with pytest.raises(RpcFailed) as caught:
        await pipeline(Path("/dev/full")).run(procedure(fails), b"", lambda: _CALLER)
    assert failure_in(caught.value.status).reason == "AUDIT_UNAVAILABLE"
    assert "audit line not written" in log.getvalue()


async def test_an_rpc_that_is_over_makes_room(tmp_path: Path) -> None:
    """The count of RPCs under way goes down after failures and cancellations too."""
    audit = AuditLog.open_path(tmp_path / "audit.jsonl", FakeClock())
    one_at_a_time = Pipeline(audit, FakeClock(), Limits(concurrent_rpcs=1))
    for _ in range(3):
        task = asyncio.ensure_future(one_at_a_time.run(procedure(waits), b"", lambda: _CALLER))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        with pytest.raises(RpcFailed) as caught:
            await one_at_a_time.run(procedure(fails), b"", lambda: _CALLER)
        assert failure_in(caught.value.status).code == "INTERNAL"
