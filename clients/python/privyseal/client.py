"""The blocking client."""

import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Self, TypeVar

import grpc

from privyseal.backoff import deadline_of, retry_wait_s
from privyseal.bearer import Metadata, TokenFile, TokenFunction, authorization, no_token
from privyseal.channels import ChannelPool
from privyseal.errors import PrivysealError, closed, past_deadline
from privyseal.session_watch import SessionWatch
from privyseal.settings import Settings, as_targets
from privyseal.stubs import Stubs, frozen
from privyseal.tls import Tls
from privyseal.v1 import hold_service_pb2 as holds_pb
from privyseal.v1 import key_service_pb2 as keys_pb
from privyseal.v1 import signing_service_pb2 as signing_pb
from privyseal.v1 import venue_service_pb2 as venues_pb

Q = TypeVar("Q")
A = TypeVar("A")


class Client:
    """All RPCs of Privyseal, blocking. Any thread may call, also many at once. Use `with`, or
    `close`.

    `target` is `host:port`, a sequence of them, which are used in turn, or
    `unix:/absolute/path`. Give `tls`, or `plaintext=True` for a server on this host. `token_file`,
    or a function `token` that is asked for each RPC, is for callers without a certificate.
    `timeout_s` is the deadline of a call in seconds, retries included, unless the call gives its
    own. A request that has a `request_id` is sent at most `max_attempts` times.

    Nothing is connected before the first call. Raises ConfigurationError where a setting can't
    be right. Each method raises PrivysealError.
    """

    def __init__(
        self,
        target: str | Sequence[str],
        *,
        tls: Tls | None = None,
        token_file: str | os.PathLike[str] | None = None,
        token: TokenFunction | None = None,
        plaintext: bool = False,
        timeout_s: float = 10.0,
        max_attempts: int = 4,
    ) -> None:
        self._settings = Settings(
            as_targets(target),
            tls=tls,
            token_file=token_file,
            token=token,
            plaintext=plaintext,
            timeout_s=timeout_s,
            max_attempts=max_attempts,
        )
        self._token = TokenFile(token_file) if token_file is not None else token
        self._pool = ChannelPool(self._settings)
        self._closed = threading.Event()

    @property
    def max_attempts(self) -> int:
        """How often a request with a `request_id` is sent at most; 1: there are no retries."""
        return self._settings.max_attempts

    def close(self) -> None:
        """Close the connections. Calls under way, and waits between attempts, end as CANCELLED."""
        self._closed.set()
        self._pool.close()

    def watch_session(self, request: signing_pb.WatchSessionRequest) -> SessionWatch:
        """Give the key's sessions as they come, without a deadline, across restarts."""
        return SessionWatch(self._pool, self._metadata, request, renewed=self._token is not None)

    def sign(
        self, request: signing_pb.SignRequest, *, timeout_s: float | None = None
    ) -> signing_pb.SignResponse:
        """Return the exact bytes of a venue request, or a signature over a message or document."""
        return self._call(lambda on: on.signing.Sign, request, timeout_s)

    def batch_sign(
        self, request: signing_pb.BatchSignRequest, *, timeout_s: float | None = None
    ) -> signing_pb.BatchSignResponse:
        """Sign up to 1000 requests in order. Each has a status of its own: see
        `PrivysealError.from_status`.
        """
        return self._call(lambda on: on.signing.BatchSign, request, timeout_s)

    def login(
        self, request: signing_pb.LoginRequest, *, timeout_s: float | None = None
    ) -> signing_pb.LoginResponse:
        """Return the key's session at its venue; open one where there is none."""
        return self._call(lambda on: on.signing.Login, request, timeout_s)

    def logout(
        self, request: signing_pb.LogoutRequest, *, timeout_s: float | None = None
    ) -> signing_pb.LogoutResponse:
        """End the key's session."""
        return self._call(lambda on: on.signing.Logout, request, timeout_s)

    def report_answer(
        self, request: signing_pb.ReportAnswerRequest, *, timeout_s: float | None = None
    ) -> signing_pb.ReportAnswerResponse:
        """Tell what a venue answered, for nonces and sessions to be put right."""
        return self._call(lambda on: on.signing.ReportAnswer, request, timeout_s)

    def create_key(
        self, request: signing_pb.CreateKeyRequest, *, timeout_s: float | None = None
    ) -> signing_pb.CreateKeyResponse:
        """Have a key made that goes straight into the secret store."""
        return self._call(lambda on: on.signing.CreateKey, request, timeout_s)

    def get_key(
        self, request: keys_pb.GetKeyRequest, *, timeout_s: float | None = None
    ) -> keys_pb.GetKeyResponse:
        """Return a key's public facts."""
        return self._call(lambda on: on.keys.GetKey, request, timeout_s)

    def list_keys(
        self, request: keys_pb.ListKeysRequest, *, timeout_s: float | None = None
    ) -> keys_pb.ListKeysResponse:
        """Return a page of keys."""
        return self._call(lambda on: on.keys.ListKeys, request, timeout_s)

    def import_key(
        self, request: keys_pb.ImportKeyRequest, *, timeout_s: float | None = None
    ) -> keys_pb.ImportKeyResponse:
        """Put a secret that exists into the store."""
        return self._call(lambda on: on.keys.ImportKey, request, timeout_s)

    def get_sealing_key(
        self, request: keys_pb.GetSealingKeyRequest, *, timeout_s: float | None = None
    ) -> keys_pb.GetSealingKeyResponse:
        """Return the public key to seal secrets with."""
        return self._call(lambda on: on.keys.GetSealingKey, request, timeout_s)

    def rotate_key(
        self, request: keys_pb.RotateKeyRequest, *, timeout_s: float | None = None
    ) -> keys_pb.RotateKeyResponse:
        """Put a new credential in place of the old one."""
        return self._call(lambda on: on.keys.RotateKey, request, timeout_s)

    def disable_key(
        self, request: keys_pb.DisableKeyRequest, *, timeout_s: float | None = None
    ) -> keys_pb.DisableKeyResponse:
        """Stop a key until it is enabled."""
        return self._call(lambda on: on.keys.DisableKey, request, timeout_s)

    def enable_key(
        self, request: keys_pb.EnableKeyRequest, *, timeout_s: float | None = None
    ) -> keys_pb.EnableKeyResponse:
        """Let a key sign again."""
        return self._call(lambda on: on.keys.EnableKey, request, timeout_s)

    def resync_nonce(
        self, request: keys_pb.ResyncNonceRequest, *, timeout_s: float | None = None
    ) -> keys_pb.ResyncNonceResponse:
        """Put a key's nonces right."""
        return self._call(lambda on: on.keys.ResyncNonce, request, timeout_s)

    def delete_key(
        self, request: keys_pb.DeleteKeyRequest, *, timeout_s: float | None = None
    ) -> keys_pb.DeleteKeyResponse:
        """Destroy a key."""
        return self._call(lambda on: on.keys.DeleteKey, request, timeout_s)

    def get_venue(
        self, request: venues_pb.GetVenueRequest, *, timeout_s: float | None = None
    ) -> venues_pb.GetVenueResponse:
        """Return all that the server knows of a venue."""
        return self._call(lambda on: on.venues.GetVenue, request, timeout_s)

    def list_venues(
        self, request: venues_pb.ListVenuesRequest, *, timeout_s: float | None = None
    ) -> venues_pb.ListVenuesResponse:
        """Return a page of venues."""
        return self._call(lambda on: on.venues.ListVenues, request, timeout_s)

    def create_hold(
        self, request: holds_pb.CreateHoldRequest, *, timeout_s: float | None = None
    ) -> holds_pb.CreateHoldResponse:
        """Stop a key, a venue, a caller or all, on every replica within 2 s."""
        return self._call(lambda on: on.holds.CreateHold, request, timeout_s)

    def list_holds(
        self, request: holds_pb.ListHoldsRequest, *, timeout_s: float | None = None
    ) -> holds_pb.ListHoldsResponse:
        """Return a page of the holds in force."""
        return self._call(lambda on: on.holds.ListHolds, request, timeout_s)

    def delete_hold(
        self, request: holds_pb.DeleteHoldRequest, *, timeout_s: float | None = None
    ) -> holds_pb.DeleteHoldResponse:
        """Lift a hold."""
        return self._call(lambda on: on.holds.DeleteHold, request, timeout_s)

    def _call(
        self,
        rpc: "Callable[[Stubs], grpc.UnaryUnaryMultiCallable[Q, A]]",
        request: Q,
        timeout_s: float | None,
    ) -> A:
        if timeout_s is None:
            timeout_s = self._settings.timeout_s
        deadline_s = deadline_of(timeout_s)
        if not getattr(request, "request_id", "") or self.max_attempts == 1:
            return self._attempt(rpc, request, deadline_s)
        request = frozen(request)
        attempt = 1
        while True:
            try:
                return self._attempt(rpc, request, deadline_s)
            except PrivysealError as failure:
                left_s = deadline_s - time.monotonic()
                wait_s = retry_wait_s(attempt, self.max_attempts, failure, left_s)
                if wait_s is None:
                    raise
            if self._closed.wait(wait_s):
                raise closed()
            attempt += 1

    def _attempt(
        self,
        rpc: "Callable[[Stubs], grpc.UnaryUnaryMultiCallable[Q, A]]",
        request: Q,
        deadline_s: float,
    ) -> A:
        metadata = self._metadata()
        with self._pool.use(deadline_s) as stubs:
            left_s = deadline_s - time.monotonic()
            if not left_s > 0:
                raise past_deadline()
            try:
                return rpc(stubs)(request, timeout=left_s, metadata=metadata)
            except grpc.RpcError as error:
                raise self._failure(error) from error
            except ValueError as error:
                # What gRPC says of a channel that was closed before the call began.
                if self._pool.closed:
                    raise closed() from error
                raise

    def _failure(self, error: Any) -> PrivysealError:
        return closed() if self._pool.closed else PrivysealError.from_rpc(error)

    def _metadata(self) -> Metadata:
        if self._token is None:
            return ()
        try:
            token = self._token()
        except Exception as error:
            raise no_token(type(error).__name__) from error
        return authorization(token)

    def __repr__(self) -> str:
        return f"Client({self._settings})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
