"""The service's own log: one line an event, JSON unless a terminal reads it."""

import logging
import sys
from typing import TextIO

import structlog
from structlog.typing import EventDict, Processor


def configure_log(level: str, form: str, stream: TextIO | None = None, *, worker: int = 0) -> None:
    """Send events of `level` and above to standard error, as `json`, `text`, or what fits.

    Each names the worker, if this process is one of several.
    """
    stream = stream or sys.stderr
    as_text = form == "text" or (form == "auto" and stream.isatty())
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([_name_worker(worker)] if worker else []),
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


def _name_worker(number: int) -> Processor:
    def name(_logger: object, _method: str, event: EventDict) -> EventDict:
        event.setdefault("worker", number)
        return event

    return name
