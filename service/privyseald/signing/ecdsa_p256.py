"""ECDSA on P-256 with SHA-256, its signature as ES256 of JWS has it (RFC 7518, section 3.4)."""

import base64

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
)
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.hashes import SHA256
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

_HALF = 32


class EcdsaP256Signer:
    """Signs messages of any length. `public_id` is the compressed point (SEC 1) in base64.

    Two signatures of one message differ; each is r and s at their full width.
    """

    __slots__ = ("_private_key", "public_id", "public_key_pem")

    algorithm = Algorithm.ECDSA_P256

    def __init__(self, material: SecretBytes) -> None:
        self._private_key = _load(material.reveal())
        point = self._private_key.public_key().public_bytes(
            Encoding.X962, PublicFormat.CompressedPoint
        )
        self.public_id = base64.b64encode(point).decode()
        self.public_key_pem = public_key_pem(Algorithm.ECDSA_P256, point)

    async def sign(self, message: bytes) -> bytes:
        """Return the 64 bytes r and s."""
        r, s = decode_dss_signature(self._private_key.sign(message, ECDSA(SHA256())))
        return r.to_bytes(_HALF, "big") + s.to_bytes(_HALF, "big")

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """Whether the signature is one of `message` by this key, whoever made it."""
        if len(signature) != 2 * _HALF:
            return False
        r, s = (int.from_bytes(half, "big") for half in (signature[:_HALF], signature[_HALF:]))
        try:
            self._private_key.public_key().verify(
                encode_dss_signature(r, s), message, ECDSA(SHA256())
            )
        except InvalidSignature:
            return False
        return True

    def __repr__(self) -> str:
        return f"EcdsaP256Signer({self.public_id})"


def pkcs8(material: SecretBytes) -> bytes:
    """Return the key as PKCS#8 (DER, RFC 5915). Raises FieldInvalid."""
    return _load(material.reveal()).private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def _load(text: bytes) -> EllipticCurvePrivateKey:
    """Return the key of a PKCS#8 or SEC 1 PEM. Raises FieldInvalid."""
    # Stores hold ASCII alone; around the PEM anything could stand.
    if text.isascii():
        try:
            loaded = load_pem_private_key(text, password=None)
            if isinstance(loaded, EllipticCurvePrivateKey) and isinstance(loaded.curve, SECP256R1):
                return loaded
        except (ValueError, TypeError, UnsupportedAlgorithm):
            pass
    raise FieldInvalid(
        "private_key",
        "must be an ECDSA private key on P-256: PKCS#8 or SEC 1 PEM without a passphrase",
    )
