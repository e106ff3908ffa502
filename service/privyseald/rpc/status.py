"""The one map from our errors to gRPC statuses, with their details."""

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2

from privyseald import errors
from privyseald.unforeseen import new_error_id

DOMAIN = "privyseal"

# A subclass has the code of the nearest class that stands here.
_CODES: dict[type[errors.PrivysealError], int] = {
    errors.RequestInvalid: code_pb2.INVALID_ARGUMENT,
    errors.CallerUnproved: code_pb2.UNAUTHENTICATED,
    errors.PolicyDenied: code_pb2.PERMISSION_DENIED,
    errors.KeyUnknown: code_pb2.NOT_FOUND,
    errors.VenueUnknown: code_pb2.NOT_FOUND,
    errors.HoldUnknown: code_pb2.NOT_FOUND,
    errors.KeyExists: code_pb2.ALREADY_EXISTS,
    errors.PreconditionFailed: code_pb2.FAILED_PRECONDITION,
    errors.LimitExceeded: code_pb2.RESOURCE_EXHAUSTED,
    errors.Overloaded: code_pb2.RESOURCE_EXHAUSTED,
    errors.Unavailable: code_pb2.UNAVAILABLE,
    errors.RpcNotImplemented: code_pb2.UNIMPLEMENTED,
}


def code_of(kind: type[errors.PrivysealError]) -> int:
    """Return the gRPC code of an error class. Raises LookupError when none is set."""
    for ancestor in kind.__mro__:
        if ancestor in _CODES:
            return _CODES[ancestor]
    raise LookupError(f"{kind.__name__} has no gRPC code; add it to rpc/status.py")


def code_name(code: int) -> str:
    """Return the name of a gRPC code, such as `NOT_FOUND`."""
    return str(code_pb2.Code.Name(code))


def status_of(error: errors.PrivysealError) -> status_pb2.Status:
    """Return the status of an error: code, message, ErrorInfo, and what else fits."""
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)
    details: list[Message] = [info]
    if isinstance(error, errors.RequestInvalid):
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=error.field, description=error.description
        )
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    if isinstance(error, errors.PreconditionFailed):
        unmet = error_details_pb2.PreconditionFailure.Violation(
            type=error.reason,
            subject=error.metadata.get("key") or error.metadata.get("venue", ""),
            description=error.message,
        )
        details.append(error_details_pb2.PreconditionFailure(violations=[unmet]))
    if error.retry_after_ms is not None:
        delay = Duration()
        delay.FromMilliseconds(error.retry_after_ms)
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    return _status(code_of(type(error)), error.message, details)


def internal_status() -> tuple[status_pb2.Status, str]:
    """Return the status for a fault of our own, and the id under which the log has its cause."""
    error_id = new_error_id()
    info = error_details_pb2.ErrorInfo(
        reason="INTERNAL", domain=DOMAIN, metadata={"errorId": error_id}
    )
    return _status(code_pb2.INTERNAL, f"internal error {error_id}", [info]), error_id


def _status(code: int, message: str, details: list[Message]) -> status_pb2.Status:
    status = status_pb2.Status(code=code, message=message)
    for detail in details:
        packed = AnyMessage()
        packed.Pack(detail)
        status.details.append(packed)
    return status
