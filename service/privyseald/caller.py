"""Who calls, as the edge proved it."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Caller:
    """A proved identity.

    `name` is the SPIFFE ID, URI SAN or DNS SAN of the client's certificate (never its CN);
    `jwt:ISSUER/SUBJECT` for a bearer token; what the config says for the Unix socket; or `local`
    for a connection over plaintext loopback that the config allows by name.

    `claims` are what a token says beside the name, as far as the config asks for it. From
    `expire_us` on, in Unix microseconds, it is proved no more; None leaves that to the connection.
    """

    name: str
    method: str
    claims: Mapping[str, str] = field(default_factory=dict, hash=False)
    expire_us: int | None = field(default=None, compare=False)
