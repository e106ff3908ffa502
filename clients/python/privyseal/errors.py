"""What goes wrong: failed calls, wrong settings, requests that a door won't send."""

import contextlib
from collections.abc import Mapping
from typing import Any, Self

import grpc
from google.protobuf.message import DecodeError
from google.rpc import code_pb2, error_details_pb2, status_pb2

_DETAILS = "grpc-status-details-bin"
_RETRYABLE = frozenset({"UNAVAILABLE", "ABORTED"})
_OUTCOME_UNKNOWN = "VENUE_OUTCOME_UNKNOWN"
_NOT_REACHED = (
    "no connection to the server ({details}): check that it runs, that the target is its address, "
    "that the CA is the server's and the target's host, or server_name, is in its certificate, and "
    "that it takes this client certificate, which may have expired"
)
_ENDED = (
    "the server ended the call, as one that stops does; what was asked for may have happened, and "
    "a request_id makes it safe to ask again"
)
_PAST_DEADLINE = (
    "no answer before the deadline: what was asked for may have happened; a request_id makes it "
    "safe to ask again, and timeout_s sets the deadline"
)


class PrivysealError(Exception):
    """A call that was refused, or could not be made.

    `code` is the gRPC code's name. `reason` is a value of the proto enum ErrorReason without its
    prefix, and empty where the server did not give one; one that this release does not know is
    kept as it came. `metadata` belongs to the reason. `field` is the first field that the server
    objects to, else empty. `retry_after_s` is how long the server asks to wait, in seconds; None
    where it does not say.
    """

    def __init__(
        self,
        code: str,
        reason: str = "",
        message: str = "",
        metadata: Mapping[str, str] | None = None,
        field: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        # All of them, so that the error goes through pickle.
        super().__init__(code, reason, message, dict(metadata or {}), field, retry_after_s)
        self.code = code
        self.reason = reason
        self.message = message
        self.metadata = dict(metadata or {})
        self.field = field
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return f"{self.code}{f' ({self.reason})' if self.reason else ''}: {self.message}"

    @property
    def is_retryable(self) -> bool:
        """Whether the same request, with the same `request_id`, may be sent again."""
        return self.code in _RETRYABLE and self.reason != _OUTCOME_UNKNOWN

    @classmethod
    def from_status(cls, status: status_pb2.Status) -> Self:
        """Return the failure that a status tells, as in a result of BatchSign."""
        reason, field = "", ""
        metadata: dict[str, str] = {}
        retry_after_s: float | None = None
        for detail in status.details:
            info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
            request = error_details_pb2.BadRequest()
            # One that can't be read tells nothing.
            with contextlib.suppress(DecodeError):
                if detail.Unpack(info):
                    reason, metadata = info.reason, dict(info.metadata)
                elif detail.Unpack(retry):
                    delay = retry.retry_delay
                    retry_after_s = max(delay.seconds + delay.nanos / 1e9, 0.0)
                elif detail.Unpack(request) and request.field_violations:
                    field = field or request.field_violations[0].field
        return cls(_name(status.code), reason, status.message, metadata, field, retry_after_s)

    @classmethod
    def from_rpc(cls, error: Any) -> Self:
        """Return the failure that gRPC raised, of either of its two Python APIs, for a call that
        was not cancelled here.
        """
        code, details = error.code().name, error.details() or ""
        if code == "CANCELLED":
            return cls(grpc.StatusCode.UNAVAILABLE.name, message=_ENDED)
        status = _status(error.trailing_metadata() or ())
        if status is not None and _name(status.code) == code:
            return cls.from_status(status)
        if code == "UNAVAILABLE":
            details = _NOT_REACHED.format(details=details)
        elif code == "DEADLINE_EXCEEDED":
            details = _PAST_DEADLINE
        return cls(code, message=details)


class ConfigurationError(ValueError):
    """A setting that can't be right. `setting` is its name."""

    def __init__(self, setting: str, message: str) -> None:
        super().__init__(setting, message)
        self.setting = setting
        self.message = message

    def __str__(self) -> str:
        return f"{self.setting}: {self.message}"


class RequestRefused(Exception):
    """A request that a door can't send as it would have to be sent, or an answer it won't follow.

    The message says which, and what to do.
    """


def closed() -> PrivysealError:
    """Return what a call on a closed client, or one that the closing ended, fails with."""
    return PrivysealError("CANCELLED", message="the client is closed; make a new one")


def ended_by_server() -> PrivysealError:
    """Return what a call fails with that a server cancels, as one does that stops."""
    return PrivysealError(grpc.StatusCode.UNAVAILABLE.name, message=_ENDED)


def past_deadline() -> PrivysealError:
    """Return what a call fails with that ran out of time before it was sent."""
    return PrivysealError(grpc.StatusCode.DEADLINE_EXCEEDED.name, message=_PAST_DEADLINE)


def _status(trailers: Any) -> status_pb2.Status | None:
    for name, value in trailers:
        if name == _DETAILS:
            try:
                return status_pb2.Status.FromString(value)
            except DecodeError:
                return None
    return None


def _name(code: int) -> str:
    known = code_pb2.Code.DESCRIPTOR.values_by_number.get(code)
    return str(known.name) if known is not None else "UNKNOWN"
