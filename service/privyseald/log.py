"""The service's own log: one line an event, JSON unless a terminal reads it."""

import logging
import sys
from contextvars import ContextVar
from typing import Protocol, TextIO

import structlog
from structlog.typing import EventDict, Processor


class Named(Protocol):
    """What an event is about: an RPC under way. `code` is empty until it has ended."""

    rpc: str
    request_id: str
    trace_id: str
    code: str


# The RPC that what runs now is for. Tasks that it leaves behind have it too, but it is over then.
RPC_OF_LOG: ContextVar[Named | None] = ContextVar("rpc_of_log", default=None)


def configure_log(level: str, form: str, stream: TextIO | None = None, *, worker: int = 0) -> None:
    """Send events of `level` and above to standard error, as `json`, `text`, or what fits.

    Each names the worker, if this process is one of several, and the RPC that it is about, with
    its request id and trace id.
    """
    stream = stream or sys.stderr
    as_text = form == "text" or (form == "auto" and stream.isatty())
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([_name_worker(worker)] if worker else []),
            _name_rpc,
            structlog.dev.ConsoleRenderer(colors=stream.isatty())
            if as_text
            else structlog.processors.JSONRenderer(sort_keys=True),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[level.upper()]
        ),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )


def _name_rpc(_logger: object, _method: str, event: EventDict) -> EventDict:
    rpc = RPC_OF_LOG.get()
    if rpc is not None and not rpc.code:
        for name in ("rpc", "request_id", "trace_id"):
            text = getattr(rpc, name)
            if text:
                event.setdefault(name, text)
    return event


def _name_worker(number: int) -> Processor:
    def name(_logger: object, _method: str, event: EventDict) -> EventDict:
        event.setdefault("worker", number)
        return event

    return name
