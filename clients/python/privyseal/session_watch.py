"""A key's sessions as they come, for the blocking client."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Self

import grpc

from privyseal.bearer import Metadata
from privyseal.channels import ChannelPool
from privyseal.errors import PrivysealError, closed
from privyseal.v1 import signing_service_pb2 as pb
from privyseal.watch import SessionEvent, SessionEvents, ended

_PATIENCE_S = 10.0


class SessionWatch(Iterator[SessionEvent]):
    """Gives each new session, and as `PrivysealError` each failure to renew it.

    It is opened again when the server restarts, the connection ends, or the token that opened it
    runs out and there is a fresh one, without end; any other end is raised. Use `with`, or
    `close`, which any thread may call.
    """

    def __init__(
        self,
        pool: ChannelPool,
        metadata: Callable[[], Metadata],
        request: pb.WatchSessionRequest,
        *,
        renewed: bool,
    ) -> None:
        self._closed = threading.Event()
        self._lock = threading.RLock()
        self._call: Any = None
        self._release: Callable[[], None] | None = None
        self._pool = pool
        self._metadata = metadata
        self._events = SessionEvents(renewed=renewed)
        self._request = pb.WatchSessionRequest()
        self._request.CopyFrom(request)

    def __next__(self) -> SessionEvent:
        while not self._closed.is_set():
            try:
                event = self._events.take(next(self._opened()))
            except StopIteration as error:
                self._drop()
                self._wait(ended(), error)
            except grpc.RpcError as error:
                self._drop()
                self._wait(PrivysealError.from_rpc(error), error)
            except PrivysealError:
                self.close()
                raise
            except ValueError as error:
                # What gRPC says of a channel that was closed before the call began.
                self.close()
                raise (closed() if self._pool.closed else error) from error
            else:
                if event is not None:
                    return event
        raise StopIteration

    def close(self) -> None:
        """End the RPC, and a `next` that waits."""
        self._closed.set()
        self._drop()

    def _wait(self, failure: PrivysealError, cause: BaseException) -> None:
        if self._closed.is_set():
            return
        wait_s = self._events.reopen_in_s(failure)
        if wait_s is None:
            self.close()
            raise (closed() if self._pool.closed else failure) from cause
        self._closed.wait(wait_s)

    def _opened(self) -> Any:
        call = self._call
        if call is None:
            stubs, self._release = self._pool.lease(time.monotonic() + _PATIENCE_S)
            call = stubs.signing.WatchSession(self._request, metadata=self._metadata())
            self._call = call
            if self._closed.is_set():
                # Closed meanwhile: the call tells of its end when it is read.
                self._drop()
        return call

    def _drop(self) -> None:
        with self._lock:
            call, release = self._call, self._release
            self._call = self._release = None
        if call is not None:
            call.cancel()
        if release is not None:
            release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()
