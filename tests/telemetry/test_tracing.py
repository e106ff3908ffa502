import asyncio
import io
import json
import logging
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import structlog
from pydantic import ValidationError

from bao import BaoServer, free_port
from privyseal.v1 import signing_service_pb2 as pb
from privyseald.config_error import ConfigInvalid
from privyseald.log import configure_log
from privyseald.sandbox.faults import Fault
from privyseald.telemetry.open_tracer import open_tracer
from privyseald.tracing_config import TracingConfig
from replicas import shared
from service import (
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
from telemetry.collector import Collector, collecting, facts_of
from valkey_server import ValkeyServer

SIGN = "privyseal.v1.SigningService/Sign"
TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
SAMPLED = (("traceparent", f"00-{TRACE}-{PARENT}-01"),)
NOT_SAMPLED = (("traceparent", f"00-{TRACE}-{PARENT}-00"),)
ORDER = sign_request("wb", "POST", "/api/v4/orders")
# Nothing else may stand in a span.
FACTS = {
    "rpc.system",
    "rpc.service",
    "rpc.method",
    "privyseal.code",
    "privyseal.reason",
    "privyseal.outcome",
}


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Has spans sent soon, and OpenTelemetry's own log as it was."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    logger = logging.getLogger("opentelemetry")
    before = logger.handlers, logger.propagate
    yield
    logger.handlers, logger.propagate = before


@pytest.fixture
def collector() -> Iterator[Collector]:
    """A collector of traces."""
    with collecting() as collector:
        yield collector


@pytest.fixture
async def traced(tmp_path: Path, collector: Collector) -> AsyncIterator[Service]:
    """A server that traces, with a key `wb`."""
    tracing = {"enabled": True, "endpoint": collector.url}
    async with Service(tmp_path, tracing=tracing) as service:
        await import_sandbox_key(await service.as_caller(OPERATOR), "wb", WHITEBIT)
        yield service


@pytest.fixture
async def caller(traced: Service) -> Stubs:
    """The operator, at the server that traces."""
    return await traced.as_caller(OPERATOR)


async def came(collector: Collector, name: str, count: int = 1) -> None:
    """Wait until so many spans of a name came."""

    async def enough() -> bool:
        return len(collector.named(name)) >= count

    await eventually(enough)


async def test_a_callers_trace_goes_on_through_vault_and_state(
    tmp_path: Path,
    bao: BaoServer,
    prefix: str,
    valkey_server: ValkeyServer,
    collector: Collector,
) -> None:
    """One trace: the caller's span, the RPC's within it, and within that what it asked for."""
    sections = shared(tmp_path, bao, prefix, valkey_server.url)
    tracing = {"enabled": True, "endpoint": collector.url, "ratio": 0}
    async with Service(tmp_path, tracing=tracing, **sections) as service:
        operator = await service.as_caller(OPERATOR)
        await import_sandbox_key(operator, "wb", WHITEBIT)
        await operator.signing.Sign(ORDER, metadata=SAMPLED)
        await came(collector, SIGN)
        await came(collector, "vault read")
    (rpc,) = collector.named(SIGN)
    assert (rpc.trace_id.hex(), rpc.parent_span_id.hex()) == (TRACE, PARENT)
    assert facts_of(rpc) == {
        "rpc.system": "grpc",
        "rpc.service": "privyseal.v1.SigningService",
        "rpc.method": "Sign",
        "privyseal.code": "OK",
    }
    inner = [span for span in collector.spans() if span is not rpc and span.name != SIGN]
    assert {"vault read", "state advance"} <= {span.name for span in inner}
    for span in inner:
        assert span.trace_id.hex() == TRACE
        assert rpc.start_time_unix_nano <= span.start_time_unix_nano
        assert span.end_time_unix_nano <= rpc.end_time_unix_nano
    assert {rpc.span_id} == {s.parent_span_id for s in inner if s.name.startswith("vault")}
    assert set(collector.paths) == {"/v1/traces"}
    (who,) = {tuple(sorted(each.items())) for each in collector.resources()}
    assert dict(who)["service.name"] == "privyseal"
    assert dict(who)["service.instance.id"] == socket.gethostname()
    lines = {line["rpc"]: line.get("trace_id") for line in service.audit_lines()}
    assert (lines[SIGN], lines["privyseal.v1.KeyService/ImportKey"]) == (TRACE, None)


async def test_the_caller_decides_whether_its_trace_is_written(
    traced: Service, caller: Stubs, collector: Collector
) -> None:
    """What it does not sample leaves nothing; without a word the ratio counts."""
    await caller.signing.Sign(ORDER, metadata=NOT_SAMPLED)
    await caller.signing.Sign(ORDER)
    await came(collector, SIGN)
    await traced.stop()
    (rpc,) = collector.named(SIGN)
    assert rpc.trace_id.hex() != TRACE
    assert rpc.parent_span_id == b""
    told = [line.get("trace_id") for line in traced.audit_lines() if line["rpc"] == SIGN]
    assert told == [None, rpc.trace_id.hex()]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00",
        f"00-{TRACE}-{PARENT}",
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}x-{PARENT}-01",
        "x" * 4_000,
    ],
)
async def test_what_is_no_traceparent_begins_a_new_trace(
    caller: Stubs, collector: Collector, text: str
) -> None:
    """It is no reason to refuse, and nothing of it is kept."""
    await caller.signing.Sign(ORDER, metadata=(("traceparent", text),))
    await came(collector, SIGN)
    (rpc,) = collector.named(SIGN)
    assert (rpc.parent_span_id, rpc.trace_id.hex() != TRACE) == (b"", True)


async def test_a_span_tells_code_and_reason_and_nothing_of_the_request(
    traced: Service, caller: Stubs, collector: Collector
) -> None:
    """Failures of the RPC and of the venue show; no text of an exception, no key, no caller."""
    await import_sandbox_key(caller, "kx", KIIEX)
    traced.sandbox.faults.add(Fault("kiiex", "*", times=5, status=500))
    await failure_of(caller.signing.Login(pb.LoginRequest(key="keys/kx")))
    await failure_of(caller.signing.Sign(sign_request("wb", "POST", "/x?secret=canary-9")))
    login = "privyseal.v1.SigningService/Login"
    await came(collector, login)
    await came(collector, SIGN)
    await traced.stop()
    (asked,) = collector.named("venue kiiex login")
    (rpc,) = collector.named(login)
    assert asked.parent_span_id != b""
    assert facts_of(asked)["privyseal.outcome"] == facts_of(rpc)["privyseal.reason"] != ""
    assert (asked.status.code, rpc.status.code) == (2, 2)
    (refused,) = collector.named(SIGN)
    assert facts_of(refused)["privyseal.code"] == "INVALID_ARGUMENT"
    assert refused.status.code == 0
    for span in collector.spans():
        assert set(facts_of(span)) <= FACTS
        assert not span.events
        assert not span.status.message
        assert not span.trace_state
    sent = b"".join(collector.bodies)
    for text in (b"canary-9", b"keys/", b"wb", OPERATOR.encode(), b"Traceback"):
        assert text not in sent


async def test_a_stream_is_one_span_as_long_as_it_is_open(
    traced: Service, caller: Stubs, collector: Collector
) -> None:
    """And what the server does by itself is none."""
    await import_sandbox_key(caller, "kx", KIIEX)
    watch = caller.signing.WatchSession(pb.WatchSessionRequest(key="keys/kx"))
    await anext(aiter(watch))
    name = "privyseal.v1.SigningService/WatchSession"
    assert collector.named(name) == []
    watch.cancel()
    await came(collector, name)
    await traced.stop()
    (rpc,) = collector.named(name)
    assert facts_of(rpc)["privyseal.code"] == "CANCELLED"
    known = {span.span_id for span in collector.spans()}
    roots = {span.name for span in collector.spans() if span.parent_span_id not in known}
    assert {root.partition("/")[0] for root in roots} <= {
        "privyseal.v1.SigningService",
        "privyseal.v1.KeyService",
    }


async def test_a_collector_that_is_away_costs_nobody_anything(tmp_path: Path) -> None:
    """RPCs are served, the end is not held up, and the log says it once, without an address."""
    port = free_port()
    tracing = {"enabled": True, "endpoint": f"http://127.0.0.1:{port}"}
    stream = io.StringIO()
    before = structlog.get_config()
    configure_log("info", "json", stream)
    try:
        async with Service(tmp_path, tracing=tracing) as service:
            operator = await service.as_caller(OPERATOR)
            await import_sandbox_key(operator, "wb", WHITEBIT)
            for _ in range(20):
                await operator.signing.Sign(ORDER)
            began_s = time.monotonic()
            await service.stop()
            assert time.monotonic() - began_s < 8
    finally:
        structlog.configure(**before)
    events = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert len([each for each in events if each["event"] == "traces not sent"]) <= 1
    assert str(port) not in stream.getvalue()


async def test_what_is_logged_during_an_rpc_names_it(
    caller: Stubs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By RPC, request id and trace id; what is logged afterwards does not."""
    stream = io.StringIO()
    before = structlog.get_config()
    configure_log("info", "json", stream)
    request_id = "01890a5d-ac96-774b-bcce-b302099a8057"

    async def breaks(*_: Any) -> None:
        raise LookupError("canary")

    monkeypatch.setattr("privyseald.usecases.sign.Sign.__call__", breaks)
    try:
        request = sign_request("wb", "POST", "/api/v4/orders", request_id=request_id)
        assert (await failure_of(caller.signing.Sign(request, metadata=SAMPLED))).code == "INTERNAL"
        structlog.get_logger().info("afterwards")
    finally:
        structlog.configure(**before)
    events = [json.loads(line) for line in stream.getvalue().splitlines()]
    (broken,) = [each for each in events if each["event"] == "internal error"]
    assert (broken["rpc"], broken["request_id"], broken["trace_id"]) == (SIGN, request_id, TRACE)
    (afterwards,) = [each for each in events if each["event"] == "afterwards"]
    assert not {"rpc", "request_id", "trace_id"} & set(afterwards)


async def test_without_the_extra_a_start_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says what to install; with tracing off nobody misses it."""
    monkeypatch.delitem(sys.modules, "privyseald.telemetry.otel", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    async with AsyncExitStack() as opened:
        assert open_tracer(TracingConfig(), 0, opened) is None
        with pytest.raises(ConfigInvalid, match=r"pip install privyseald\[tracing\]"):
            open_tracer(TracingConfig(enabled=True), 0, opened)


async def test_variables_that_make_no_sense_refuse_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As settings do, and without a word of what they say."""
    monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "s3cret")
    async with AsyncExitStack() as opened:
        with pytest.raises(ConfigInvalid, match=r"OTEL_\*") as caught:
            open_tracer(TracingConfig(enabled=True), 0, opened)
    assert "s3cret" not in str(caught.value)


async def test_rpcs_at_the_same_time_are_not_mixed_up(
    traced: Service, caller: Stubs, collector: Collector
) -> None:
    """Each span and each audit line is in the trace of its own caller."""
    callers = {str(uuid.uuid4()): f"{number:032x}" for number in range(1, 101)}

    async def sign(request_id: str, trace: str) -> None:
        request = sign_request("wb", "POST", "/api/v4/orders", request_id=request_id)
        metadata = (
            ("traceparent", f"00-{trace}-{PARENT}-01"),
            ("tracestate", "evil=1"),
            ("baggage", "evil=1"),
        )
        await caller.signing.Sign(request, metadata=metadata)

    await asyncio.gather(*(sign(*each) for each in callers.items()))
    await came(collector, SIGN, 100)
    await traced.stop()
    lines = [line for line in traced.audit_lines() if line["rpc"] == SIGN]
    assert {line["request_id"]: line["trace_id"] for line in lines} == callers
    rpcs = {span.span_id: span for span in collector.named(SIGN)}
    assert sorted(span.trace_id.hex() for span in rpcs.values()) == sorted(callers.values())
    for name in ("state advance", "state put"):
        steps = collector.named(name)
        assert len(steps) >= 100
        for step in steps:
            assert rpcs[step.parent_span_id].trace_id == step.trace_id
        assert len({step.parent_span_id for step in steps}) == 100
    assert b"evil" not in b"".join(collector.bodies)


def test_what_is_off_is_not_even_imported() -> None:
    """The server's modules bring no OpenTelemetry along."""
    code = (
        "import sys, privyseald.cli.app, privyseald.app; sys.exit('opentelemetry' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


async def test_the_endpoint_may_come_from_the_environment(
    tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By OpenTelemetry's own variables, and so may the service's name."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setenv("OTEL_SERVICE_NAME", "signer-eu")
    async with Service(tmp_path, tracing={"enabled": True}) as service:
        operator = await service.as_caller(OPERATOR)
        await import_sandbox_key(operator, "wb", WHITEBIT)
    assert collector.paths[0] == "/v1/traces"
    assert collector.resources()[0]["service.name"] == "signer-eu"


@pytest.mark.parametrize(
    "tracing", [{"ratio": 1.1}, {"ratio": -0.1}, {"endpoint": "collector:4318"}, {"sampler": "x"}]
)
def test_a_setting_that_makes_no_sense_is_refused(tracing: dict[str, Any]) -> None:
    """As everywhere in the configuration."""
    with pytest.raises(ValidationError, match=next(iter(tracing))):
        TracingConfig.model_validate(tracing)
