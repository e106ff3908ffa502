"""What each venue saw, without anything that opens an account."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

_SECRET_NAMES = frozenset(
    {
        "apikey",
        "apisecret",
        "code",
        "password",
        "pending2fatoken",
        "sessiontoken",
        "signature",
        "token",
        "usersignature",
    }
)


@dataclass(frozen=True, slots=True)
class Seen:
    """One request. `path` has no query; `fault` names what was done to the answer."""

    number: int
    time_ms: int
    venue: str
    method: str
    path: str
    status: int
    accepted: bool
    refusal: str = ""
    account: str = ""
    nonce: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    body_sha256: str = ""
    fault: str = ""


class Ledger:
    """The last 10,000 requests, oldest first."""

    def __init__(self) -> None:
        self._seen: deque[Seen] = deque(maxlen=10_000)
        self._count = 0

    def next_number(self) -> int:
        """Return the number of the request that comes in now."""
        self._count += 1
        return self._count

    def add(self, seen: Seen) -> None:
        """Record a request."""
        self._seen.append(seen)

    def clear(self) -> None:
        """Forget all requests; numbers go on."""
        self._seen.clear()

    def list(self, venue: str = "", *, accepted: bool | None = None) -> tuple[Seen, ...]:
        """Return what was seen, at one venue or all, with one outcome or both."""
        return tuple(
            seen
            for seen in self._seen
            if venue in ("", seen.venue) and accepted in (None, seen.accepted)
        )


def without_secrets(parameters: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters without signatures, tokens, secrets and one-time codes."""
    return {name: value for name, value in parameters.items() if name.lower() not in _SECRET_NAMES}
