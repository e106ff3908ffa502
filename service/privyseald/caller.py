"""Who calls, as the edge proved it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caller:
    """A proved identity.

    `name` is the SPIFFE ID, URI SAN or DNS SAN of the client's certificate (never its CN),
    or `local` for a connection over plaintext loopback that the config allows by name.
    """

    name: str
    method: str
