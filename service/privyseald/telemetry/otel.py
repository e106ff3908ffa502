"""Traces by OpenTelemetry. The only place that imports it; only there when tracing is on."""

import asyncio
import logging
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import structlog
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from privyseald import __version__
from privyseald.clock import Clock, SystemClock
from privyseald.tracing_config import TracingConfig

_TIMEOUT_S = 5.0
_LAST_S = 2.0
_QUIET_MS = 60_000
# Codes that are a server's own fault, as the semantic conventions for gRPC have it.
_FAULTS = frozenset(
    {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
)
_log = structlog.get_logger("privyseald.tracing")


class OtelTracer:
    """Implements `Tracer`. Spans leave in the background; what can't be sent is dropped."""

    def __init__(self, exporter: SpanExporter, ratio: float, worker: int = 0) -> None:
        instance = socket.gethostname() + (f"/worker-{worker}" if worker else "")
        resource = Resource.create(
            {
                "service.name": os.environ.get("OTEL_SERVICE_NAME", "privyseal"),
                "service.version": __version__,
                "service.instance.id": instance,
            }
        )
        sampler = ParentBased(TraceIdRatioBased(ratio))
        self._provider = TracerProvider(sampler, resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("privyseal", __version__)
        self._propagator = TraceContextTextMapPropagator()

    @classmethod
    def open(cls, config: TracingConfig, worker: int) -> "OtelTracer":
        """Return a tracer that sends to the collector of the configuration."""
        _have_told_briefly()
        endpoint = f"{config.endpoint.rstrip('/')}/v1/traces" if config.endpoint else None
        return cls(OTLPSpanExporter(endpoint, timeout=_TIMEOUT_S), config.ratio, worker)

    @contextmanager
    def serve(self, rpc: str, traceparent: str) -> Iterator[None]:
        """Open the span of an RPC."""
        parent = Context()
        if traceparent:
            parent = self._propagator.extract({"traceparent": traceparent}, parent)
        service, _, method = rpc.partition("/")
        about = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": method}
        # What an exception says may be a secret, so no span records one.
        with self._tracer.start_as_current_span(
            rpc,
            parent,
            SpanKind.SERVER,
            about,
            record_exception=False,
            set_status_on_exception=False,
        ):
            yield

    def call(self, name: str) -> AbstractContextManager[None]:
        """Open the span of a call, if an RPC is being traced: not of what the server does by
        itself.
        """
        return self._call(name) if trace.get_current_span().is_recording() else nullcontext()

    def tell(self, **facts: str) -> None:
        """Tell facts about the innermost span."""
        span = trace.get_current_span()
        for name, text in facts.items():
            if text:
                span.set_attribute(f"privyseal.{name}", text)
        if facts.get("code") in _FAULTS or "outcome" in facts:
            span.set_status(Status(StatusCode.ERROR))

    @property
    def trace_id(self) -> str:
        """The id of the trace that is written, in hex; empty where none is."""
        span = trace.get_current_span()
        if not span.is_recording():
            return ""
        return trace.format_trace_id(span.get_span_context().trace_id)

    async def close(self) -> None:
        """Send what is left, but not for long."""
        ending = threading.Thread(target=self._provider.shutdown, daemon=True)
        ending.start()
        await asyncio.to_thread(ending.join, _LAST_S)

    @contextmanager
    def _call(self, name: str) -> Iterator[None]:
        with self._tracer.start_as_current_span(
            name, kind=SpanKind.CLIENT, record_exception=False, set_status_on_exception=False
        ):
            yield


class _Briefly(logging.Handler):
    """Says at most once a minute that something is wrong, and nothing of what OpenTelemetry says:
    its texts hold addresses, and whatever a collector answers.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__(logging.WARNING)
        self._clock = clock
        self._quiet_until_ms = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Say it."""
        now_ms = self._clock.monotonic_ms()
        if now_ms >= self._quiet_until_ms:
            self._quiet_until_ms = now_ms + _QUIET_MS
            _log.warning(
                "traces not sent",
                source=record.name,
                advice="see to the collector at tracing.endpoint; signing goes on without it",
            )


def _have_told_briefly() -> None:
    """Have OpenTelemetry's own log go through ours."""
    logger = logging.getLogger("opentelemetry")
    logger.propagate = False
    logger.handlers = [_Briefly(SystemClock())]
