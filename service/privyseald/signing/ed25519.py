"""Ed25519 (RFC 8032)."""

import base64
import binascii
import re

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from privyseald.errors import FieldInvalid
from privyseald.key import Algorithm
from privyseald.signing.pem import public_key_pem
from privyseald.signing.secret import SecretBytes

_HEX_SEED = re.compile(rb"[0-9a-fA-F]{64}")


class Ed25519Signer:
    """Signs messages of any length. `public_id` is the public key in base64."""

    __slots__ = ("_private_key", "public_id", "public_key_pem")

    algorithm = Algorithm.ED25519

    def __init__(self, material: SecretBytes) -> None:
        self._private_key = _load(material.reveal())
        raw = self._private_key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.public_id = base64.b64encode(raw).decode()
        self.public_key_pem = public_key_pem(Algorithm.ED25519, raw)

    async def sign(self, message: bytes) -> bytes:
        """Return the 64-byte signature of `message`."""
        return self._private_key.sign(message)

    def __repr__(self) -> str:
        return f"Ed25519Signer({self.public_id})"


def pkcs8(material: SecretBytes) -> bytes:
    """Return the key as PKCS#8 (DER, RFC 8410). Raises FieldInvalid."""
    return _load(material.reveal()).private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def _load(text: bytes) -> Ed25519PrivateKey:
    """Return the key of a PKCS#8 PEM, or of a seed in hex or base64. Raises FieldInvalid."""
    try:
        # Stores hold ASCII alone; around the PEM anything could stand.
        if text.lstrip().startswith(b"-----BEGIN") and text.isascii():
            loaded = load_pem_private_key(text, password=None)
            if isinstance(loaded, Ed25519PrivateKey):
                return loaded
        elif _HEX_SEED.fullmatch(text):
            return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(text.decode()))
        else:
            return Ed25519PrivateKey.from_private_bytes(base64.b64decode(text, validate=True))
    except (ValueError, TypeError, binascii.Error, UnsupportedAlgorithm):
        pass
    raise FieldInvalid(
        "private_key",
        "must be an Ed25519 private key: PKCS#8 PEM without a passphrase, "
        "or the 32-byte seed in hex or base64",
    )
