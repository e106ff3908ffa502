"""The service's own log: one line an event, JSON unless a terminal reads it."""

import logging
import sys
from typing import TextIO

import structlog


def configure_log(level: str, form: str, stream: TextIO | None = None) -> None:
    """Send events of `level` and above to standard error, as `json`, `text`, or what fits."""
    stream = stream or sys.stderr
    as_text = form == "text" or (form == "auto" and stream.isatty())
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
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
