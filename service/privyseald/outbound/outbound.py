"""The port through which a venue is spoken to."""

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class OutboundRequest:
    """One HTTP request, final. It may be a credential, so repr hides all but the method."""

    method: str
    url: str = field(repr=False)
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class OutboundResponse:
    """What came back; the body is whole, and at most 1 MiB.

    `date` is the header of that name, empty where there was none. `wait_ms` is how long it took
    from the request's headers to the answer's end: the connection stood by then.
    """

    status: int
    content_type: str
    body: bytes = field(repr=False)
    date: str = ""
    wait_ms: int | None = field(default=None, compare=False)


class Outbound(Protocol):
    """Sends requests as they are: no redirect is followed, no cookie kept, nothing retried."""

    async def send(self, request: OutboundRequest) -> OutboundResponse:
        """Return the venue's answer, whatever its status.

        Raises VenueUnreachable when the request can't have reached the venue, and
        VenueOutcomeUnknown when it may have.
        """
