"""The Ed25519 key that signs checkpoints, and its public half, which verifies them."""

import base64
import binascii
import hashlib
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)

from privyseald.audit.chain import SIGNATURE_MARK
from privyseald.errors import FieldInvalid
from privyseald.signing.secret import SecretBytes

# What is signed begins with this, so that a signature is good for nothing else.
_DOMAIN = b"privyseal audit checkpoint v1\n"
_END = b'"}'


class CheckpointKey:
    """The private half. Shows itself to nobody."""

    def __init__(self, material: SecretBytes) -> None:
        """Take 64 hex digits. Raises FieldInvalid."""
        try:
            raw = bytes.fromhex(material.reveal().decode("ascii"))
            self._private = Ed25519PrivateKey.from_private_bytes(raw)
        except ValueError:
            raise FieldInvalid("private_key", "must be 64 hex digits") from None
        self.public_key = AuditPublicKey.of(self._private.public_key())

    def sign(self, unsigned: bytes) -> bytes:
        """Return the signature of a checkpoint up to its signature, in base64."""
        return base64.b64encode(self._private.sign(_DOMAIN + unsigned))

    def __repr__(self) -> str:
        return f"CheckpointKey({self.public_key.key_id})"


@dataclass(frozen=True, slots=True)
class AuditPublicKey:
    """The public half. `key_id` is the first half of the SHA-256 of its 32 bytes, in hex."""

    key_id: str
    key: Ed25519PublicKey

    @classmethod
    def of(cls, key: Ed25519PublicKey) -> "AuditPublicKey":
        """Return the key with its id."""
        return cls(hashlib.sha256(key.public_bytes_raw()).hexdigest()[:32], key)

    @classmethod
    def from_pem(cls, pem: bytes) -> "AuditPublicKey":
        """Return the key of a PEM. Raises ValueError for anything but an Ed25519 public key."""
        key = load_pem_public_key(pem)
        if not isinstance(key, Ed25519PublicKey):
            raise TypeError("another kind of key")
        return cls.of(key)

    @property
    def base64(self) -> str:
        """The 32 bytes in base64."""
        return base64.b64encode(self.key.public_bytes_raw()).decode()

    @property
    def pem(self) -> str:
        """The key as PEM (SubjectPublicKeyInfo)."""
        return self.key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    def has_signed(self, line: bytes) -> bool:
        """Whether a checkpoint, without its newline, is signed with this key."""
        unsigned, mark, rest = line.rpartition(SIGNATURE_MARK)
        if not mark or not rest.endswith(_END):
            return False
        try:
            signature = base64.b64decode(rest[: -len(_END)], validate=True)
            self.key.verify(signature, _DOMAIN + unsigned)
        except (binascii.Error, InvalidSignature):
            return False
        # Base64 has several texts for some bytes; only one is what was written.
        return base64.b64encode(signature) == rest[: -len(_END)]


def generate_checkpoint_key() -> SecretBytes:
    """Return a new private half, in the form that `CheckpointKey` takes."""
    return SecretBytes(Ed25519PrivateKey.generate().private_bytes_raw().hex())
