import pickle

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from scripted_server import status

from privyseal import ConfigurationError, PrivysealError, RequestRefused

_CODE = grpc.StatusCode


class _RpcFailed:
    def __init__(self, code: grpc.StatusCode, details: str, trailers: object) -> None:
        self.code = lambda: code
        self.details = lambda: details
        self.trailing_metadata = lambda: trailers


def test_a_status_is_taken_apart() -> None:
    """Reason, metadata, field and delay come from the details."""
    made = status(_CODE.INVALID_ARGUMENT, "FIELD_INVALID", retry_after_s=1.5, field_name="key")
    error = PrivysealError.from_status(made)

    assert ("INVALID_ARGUMENT", "FIELD_INVALID", "no") == (error.code, error.reason, error.message)
    assert ({"key": "k"}, "key", 1.5) == (error.metadata, error.field, error.retry_after_s)
    assert "INVALID_ARGUMENT (FIELD_INVALID): no" == str(error)
    assert not error.is_retryable


def test_what_this_release_does_not_know_is_kept() -> None:
    """A reason of a later server stays as text; a code that there is not is UNKNOWN."""
    assert "OF_TOMORROW" == PrivysealError.from_status(status(_CODE.ABORTED, "OF_TOMORROW")).reason
    assert "UNKNOWN" == PrivysealError.from_status(status_pb2.Status(code=77)).code


@pytest.mark.parametrize(
    "trailers",
    [None, (), (("other", "x"),), (("grpc-status-details-bin", b"\xff\xff"),)],
)
def test_without_details_the_code_counts(trailers: object) -> None:
    """An answer of something else than Privyseal is a failure without a reason."""
    error = PrivysealError.from_rpc(_RpcFailed(_CODE.INTERNAL, "oops", trailers))
    assert ("INTERNAL", "", "oops") == (error.code, error.reason, error.message)


def test_details_that_cannot_be_read() -> None:
    """They tell nothing, and the others what they tell; a delay beyond all sense is one."""
    made = status(_CODE.UNAVAILABLE, "SEALED", retry_after_s=1)
    made.details.add(type_url="type.googleapis.com/google.rpc.ErrorInfo", value=b"\xff\xff")
    assert ("SEALED", 1.0) == (
        PrivysealError.from_status(made).reason,
        PrivysealError.from_status(made).retry_after_s,
    )
    for seconds, nanos, delay_s in ((2**62, 0, 2.0**62), (-5, 0, 0.0), (1, -500_000_000, 0.5)):
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.seconds, retry.retry_delay.nanos = seconds, nanos
        made.details[1].Pack(retry)
        assert delay_s == PrivysealError.from_status(made).retry_after_s


def test_details_of_another_code_are_not_believed() -> None:
    """The code that gRPC tells is the code."""
    trailers = (("grpc-status-details-bin", status(_CODE.ABORTED, "X").SerializeToString()),)
    error = PrivysealError.from_rpc(_RpcFailed(_CODE.UNAVAILABLE, "gone", trailers))
    assert ("UNAVAILABLE", "") == (error.code, error.reason)
    assert "check that it runs" in error.message


def test_errors_go_through_pickle() -> None:
    """As a process pool sends them."""
    first = PrivysealError("ABORTED", "X", "no", {"a": "b"}, "key", 2.0)
    second = pickle.loads(pickle.dumps(first))  # noqa: S301  # our own
    assert (vars(first), str(first)) == (vars(second), str(second))
    setting = pickle.loads(pickle.dumps(ConfigurationError("tls", "no")))  # noqa: S301
    assert ("tls", "tls: no") == (setting.setting, str(setting))
    assert issubclass(ConfigurationError, ValueError)
    assert not issubclass(RequestRefused, PrivysealError)
