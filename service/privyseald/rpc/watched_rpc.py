"""One RPC from its arrival to its end, as those who watch see it."""

import asyncio
from collections.abc import Iterable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Protocol

from privyseald.clock import Clock
from privyseald.rpc.counts import RpcCounts
from privyseald.rpc.pipeline import RpcFailed
from privyseald.rpc.status import code_name
from privyseald.tracer import Tracer

# As W3C Trace Context has it: version 00 has 55 characters, and later ones may be a little longer.
_LONGEST_PARENT = 128


class Told(Protocol):
    """What a transport knows of an RPC."""

    def invocation_metadata(self) -> Iterable[tuple[str, str | bytes]] | None:
        """Return the RPC's own metadata."""


class WatchedRpc:
    """Counts an RPC by how its block ends, and traces it where there is a tracer."""

    __slots__ = ("_began_us", "_clock", "_counts", "_rpc", "_span", "_tracer")

    def __init__(
        self, counts: RpcCounts, clock: Clock, tracer: Tracer | None, rpc: str, told: Told
    ) -> None:
        self._counts = counts
        self._clock = clock
        self._tracer = tracer
        self._rpc = rpc
        self._span: AbstractContextManager[None] | None = None
        if tracer is not None:
            self._span = tracer.serve(rpc, _parent_of(told))

    def __enter__(self) -> None:
        self._began_us = self._clock.monotonic_us()
        if self._span is not None:
            self._span.__enter__()

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        code, reason = "OK", ""
        if isinstance(error, RpcFailed):
            code, reason = code_name(error.status.code), error.reason
        elif isinstance(error, asyncio.CancelledError):
            code = "CANCELLED"
        elif error is not None:
            code = "UNKNOWN"
        self._counts.end(self._rpc, code, reason, self._clock.monotonic_us() - self._began_us)
        if self._span is not None and self._tracer is not None:
            self._tracer.tell(code=code, reason=reason)
            self._span.__exit__(None, None, None)


def _parent_of(told: Told) -> str:
    """Return what the caller says of its trace; empty where it says nothing that could be read."""
    for name, value in told.invocation_metadata() or ():
        if name == "traceparent" and isinstance(value, str) and len(value) <= _LONGEST_PARENT:
            return value
    return ""
