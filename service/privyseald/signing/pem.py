"""Public keys as PEM (SubjectPublicKeyInfo, RFC 5280)."""

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from privyseald.key import Algorithm


def public_key_pem(algorithm: Algorithm, raw: bytes) -> str:
    """Return the PEM of a raw public key: a point (SEC 1), or Ed25519's 32 bytes."""
    public_key: ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey
    if algorithm is Algorithm.SECP256K1:
        public_key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256K1(), raw)
    elif algorithm is Algorithm.ECDSA_P256:
        public_key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), raw)
    else:
        public_key = ed25519.Ed25519PublicKey.from_public_bytes(raw)
    return public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
