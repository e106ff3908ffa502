"""Sealing to a public key (HPKE, RFC 9180), so that who seals needs no secret and can't open.

Suite: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM. What is `bound` is no part of the
box, and must be the same when it is opened.
"""

import hashlib

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from privyseald.errors import FieldInvalid
from privyseald.signing.secret import SecretBytes

SUITE = "DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM"
_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
FINGERPRINT_BYTES = 16


class BoxBroken(Exception):
    """The bytes were not sealed to this key with these bound bytes."""


class SealingKey:
    """The public half."""

    def __init__(self, public: X25519PublicKey) -> None:
        self._public = public
        self.raw = public.public_bytes_raw()
        self.fingerprint = hashlib.sha256(self.raw).hexdigest()[: 2 * FINGERPRINT_BYTES]

    @classmethod
    def from_raw(cls, raw: bytes) -> "SealingKey":
        """Return the key of its 32 bytes. Raises ValueError."""
        return cls(X25519PublicKey.from_public_bytes(raw))

    def seal(self, plain: bytes, bound: bytes) -> bytes:
        """Return the box: the encapsulated key and the ciphertext."""
        return _SUITE.encrypt(plain, self._public, info=bound)


class OpeningKey:
    """The private half."""

    def __init__(self, material: SecretBytes) -> None:
        """Take 64 hex digits. Raises FieldInvalid."""
        try:
            raw = bytes.fromhex(material.reveal().decode("ascii"))
            self._private = X25519PrivateKey.from_private_bytes(raw)
        except ValueError:
            raise FieldInvalid("private_key", "must be 64 hex digits") from None
        self.sealing_key = SealingKey(self._private.public_key())

    def open(self, box: bytes, bound: bytes) -> bytes:
        """Return what was sealed. Raises BoxBroken."""
        try:
            return _SUITE.decrypt(box, self._private, info=bound)
        except InvalidTag:
            raise BoxBroken from None


def generate_opening_key() -> SecretBytes:
    """Return a new private half, in the form that `OpeningKey` takes."""
    return SecretBytes(X25519PrivateKey.generate().private_bytes_raw().hex())
