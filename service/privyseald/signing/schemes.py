"""The table from algorithm to signer."""

from privyseald.key import Algorithm
from privyseald.signing import ecdsa_p256, ed25519
from privyseald.signing.ecdsa_p256 import EcdsaP256Signer
from privyseald.signing.ed25519 import Ed25519Signer
from privyseald.signing.hmac import HmacSigner
from privyseald.signing.secp256k1 import Secp256k1Signer
from privyseald.signing.secret import SecretBytes
from privyseald.signing.signer import Signer


def make_signer(algorithm: Algorithm, material: SecretBytes) -> Signer:
    """Return the signer of `material`. Raises FieldInvalid when it is no key of the algorithm."""
    if algorithm.is_hmac:
        return HmacSigner(algorithm, material)
    if algorithm is Algorithm.SECP256K1:
        return Secp256k1Signer(material)
    if algorithm is Algorithm.ECDSA_P256:
        return EcdsaP256Signer(material)
    return Ed25519Signer(material)


def pkcs8(algorithm: Algorithm, material: SecretBytes) -> bytes:
    """Return an Ed25519 or ECDSA P-256 private key as PKCS#8 (DER). Raises FieldInvalid."""
    if algorithm is Algorithm.ECDSA_P256:
        return ecdsa_p256.pkcs8(material)
    return ed25519.pkcs8(material)


def material_field(algorithm: Algorithm) -> str:
    """Return the name under which a key document holds the secret of the algorithm."""
    return "api_secret" if algorithm.is_hmac else "private_key"
