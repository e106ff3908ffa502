"""What a caller says of the trace that its RPC is part of, by W3C Trace Context."""

from collections.abc import Iterable
from typing import Protocol

# Version 00 has 55 characters, and later ones may have a few more.
_LONGEST = 128


class Told(Protocol):
    """What a transport knows of an RPC."""

    def invocation_metadata(self) -> Iterable[tuple[str, str | bytes]] | None:
        """Return the RPC's own metadata."""


def traceparent_of(told: Told) -> str:
    """Return it; empty where there is none, or none that could be one."""
    for name, value in told.invocation_metadata() or ():
        if name == "traceparent" and isinstance(value, str) and len(value) <= _LONGEST:
            return value
    return ""
