"""HMAC over SHA-2 with a secret text (RFC 2104)."""

import hashlib
import hmac
from collections.abc import Callable
from typing import Any

from privyseald.errors import FieldInvalid
from privyseald.key import Algorithm
from privyseald.signing.secret import SecretBytes

_HASHES: dict[Algorithm, Callable[..., "hashlib._Hash"]] = {
    Algorithm.HMAC_SHA256: hashlib.sha256,
    Algorithm.HMAC_SHA512: hashlib.sha512,
}
_MAX_BYTES = 512


class HmacSigner:
    """Signs with a shared secret, used as the text that the venue showed (never hex-decoded)."""

    __slots__ = ("_keyed", "algorithm")

    public_id = ""
    public_key_pem = ""

    def __init__(self, algorithm: Algorithm, material: SecretBytes) -> None:
        self.algorithm = algorithm
        # Keyed once: a copy of the inner and outer state is all that a signature needs,
        # and the secret itself is not held any longer.
        self._keyed: Any = hmac.new(check_text(material), digestmod=_HASHES[algorithm])

    async def sign(self, message: bytes) -> bytes:
        """Return the raw MAC of `message`."""
        mac = self._keyed.copy()
        mac.update(message)
        digest: bytes = mac.digest()
        return digest

    def __repr__(self) -> str:
        return f"HmacSigner({self.algorithm})"


def check_text(material: SecretBytes, field: str = "api_secret") -> bytes:
    """Return the secret's bytes if they can be a venue's secret text. Raises FieldInvalid."""
    text = material.reveal()
    if not text:
        raise FieldInvalid(field, "is empty; give the secret as the venue showed it")
    if len(text) > _MAX_BYTES:
        raise FieldInvalid(field, f"is longer than {_MAX_BYTES} bytes")
    if not all(0x21 <= byte <= 0x7E for byte in text):
        raise FieldInvalid(
            field,
            "holds a space, a line break or a character outside ASCII; "
            "give the secret alone, without a newline at its end",
        )
    return text
