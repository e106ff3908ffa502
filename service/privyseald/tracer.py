"""The port of what writes traces. Where nothing does there is none."""

from contextlib import AbstractContextManager
from typing import Protocol


class Tracer(Protocol):
    """Opens spans, one within the other, for whatever runs in the block and in its tasks.

    No fact that is told may be a secret, or a text that a caller chose freely.
    """

    def serve(self, rpc: str, traceparent: str) -> AbstractContextManager[None]:
        """Open the span of an RPC, within the caller's (W3C Trace Context) where it names one."""

    def call(self, name: str) -> AbstractContextManager[None]:
        """Open the span of what this server asks of another, if it is for an RPC."""

    def tell(self, **facts: str) -> None:
        """Tell facts about the innermost span."""

    @property
    def trace_id(self) -> str:
        """The id of the trace that is written, in hex; empty where none is."""
