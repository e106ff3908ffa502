"""A connection to a Privyseal server, and its failures as typed errors."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

import grpc
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from privyseal.v1.hold_service_pb2_grpc import HoldServiceStub
from privyseal.v1.key_service_pb2_grpc import KeyServiceStub
from privyseal.v1.signing_service_pb2_grpc import SigningServiceStub
from privyseal.v1.venue_service_pb2_grpc import VenueServiceStub

_T = TypeVar("_T")
_MAX_MESSAGE = 16 * 1_048_576


class PrivysealError(Exception):
    """A call that was refused, or could not be made.

    `code` is the gRPC code's name, `reason` a value of the proto enum ErrorReason (empty
    where the server was not reached), `retry_after_s` None where a retry makes no sense.
    """

    def __init__(
        self,
        code: str,
        reason: str,
        message: str,
        metadata: dict[str, str],
        retry_after_s: float | None,
    ) -> None:
        super().__init__(f"{code}{f' ({reason})' if reason else ''}: {message}")
        self.code = code
        self.reason = reason
        self.message = message
        self.metadata = metadata
        self.retry_after_s = retry_after_s

    @classmethod
    def from_status(cls, status: status_pb2.Status) -> Self:
        """Return the failure that a status tells, as in an event of WatchSession."""
        reason, metadata, retry_after_s = "", {}, None
        for detail in status.details:
            info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
            if detail.Unpack(info):
                reason, metadata = info.reason, dict(info.metadata)
            elif detail.Unpack(retry):
                retry_after_s = retry.retry_delay.ToTimedelta().total_seconds()
        code = code_pb2.Code.Name(status.code)
        return cls(code, reason, status.message, metadata, retry_after_s)


@dataclass(frozen=True, slots=True)
class Credentials:
    """PEM files for mTLS: the CA of the server, and the caller's certificate and key."""

    ca_file: Path
    certificate_file: Path
    private_key_file: Path = field(repr=False)


class Connection:
    """The four services on one channel. Use `with`, or `close`."""

    def __init__(
        self, target: str, credentials: Credentials | None, *, timeout_s: float = 10.0
    ) -> None:
        options = (("grpc.max_receive_message_length", _MAX_MESSAGE),)
        if credentials is None:
            self._channel = grpc.insecure_channel(target, options=options)
        else:
            self._channel = grpc.secure_channel(
                target,
                grpc.ssl_channel_credentials(
                    root_certificates=credentials.ca_file.read_bytes(),
                    private_key=credentials.private_key_file.read_bytes(),
                    certificate_chain=credentials.certificate_file.read_bytes(),
                ),
                options=options,
            )
        self._timeout_s = timeout_s
        self.signing = SigningServiceStub(self._channel)
        self.keys = KeyServiceStub(self._channel)
        self.venues = VenueServiceStub(self._channel)
        self.holds = HoldServiceStub(self._channel)

    def call(self, method: Callable[..., _T], request: Any) -> _T:
        """Return the answer of one RPC, with a deadline. Raises PrivysealError."""
        try:
            return method(request, timeout=self._timeout_s)
        except grpc.RpcError as error:
            raise _typed(error) from error

    def stream(self, method: Callable[..., Iterator[_T]], request: Any) -> Iterator[_T]:
        """Give the answers of a streaming RPC as they come, without a deadline.

        Raises PrivysealError when it ends. Any end is a reason to open it again.
        """
        answers: Any = method(request)
        try:
            yield from answers
        except grpc.RpcError as error:
            raise _typed(error) from error
        finally:
            answers.cancel()

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _typed(error: Any) -> PrivysealError:
    status = rpc_status.from_call(error)
    if status is not None:
        return PrivysealError.from_status(status)
    return PrivysealError(error.code().name, "", error.details() or "", {}, None)
