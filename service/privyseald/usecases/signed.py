"""What came of a Sign."""

from dataclasses import dataclass, field

from privyseald.key import Key
from privyseald.venues.venue import SignedHttpRequest


@dataclass(frozen=True, slots=True)
class StructuredSignature:
    """A signature over a personal message or typed data."""

    value: bytes = field(repr=False)
    digest: bytes
    signer: str


@dataclass(frozen=True, slots=True)
class Signed:
    """What came of a command; `result` is None where it was only validated."""

    key: Key
    result: SignedHttpRequest | StructuredSignature | None
    sign_time_ms: int = 0
    nonce: int | None = None
