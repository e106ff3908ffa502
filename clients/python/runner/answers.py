"""What the runner answers, as JSON."""

import traceback
from typing import Any

from privyseal import ConfigurationError, PrivysealError, RequestRefused


def error_answer(error: BaseException) -> dict[str, Any]:
    """Return an error as the harness reads it; what an HTTP library raises is `HTTP`."""
    facts: dict[str, Any] = {
        "code": "HTTP",
        "reason": "",
        "message": str(error),
        "metadata": {},
        "field": "",
        "retry_after_ms": None,
        "is_retryable": False,
        "text": "".join(traceback.format_exception(error)) + repr(error),
    }
    if isinstance(error, ConfigurationError):
        facts["code"] = "CONFIGURATION"
    elif isinstance(error, RequestRefused):
        facts["code"] = "REFUSED"
    elif isinstance(error, PrivysealError):
        facts |= {
            "code": error.code,
            "reason": error.reason,
            "message": error.message,
            "metadata": error.metadata,
            "field": error.field,
            "is_retryable": error.is_retryable,
        }
        if error.retry_after_s is not None:
            facts["retry_after_ms"] = round(error.retry_after_s * 1_000)
    return facts
