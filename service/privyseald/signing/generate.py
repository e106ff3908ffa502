"""New private keys, from the operating system's random numbers."""

from coincurve import PrivateKey
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from privyseald.errors import AlgorithmUnsupported
from privyseald.key import Algorithm
from privyseald.signing.secret import SecretBytes


def generate(algorithm: Algorithm) -> SecretBytes:
    """Return a new private key in the form that `make_signer` takes.

    Raises AlgorithmUnsupported for HMAC: a shared secret comes from the venue.
    """
    if algorithm is Algorithm.SECP256K1:
        return SecretBytes(PrivateKey().to_hex().rjust(64, "0"))
    if algorithm is Algorithm.ED25519:
        seed = Ed25519PrivateKey.generate().private_bytes(
            Encoding.Raw, PrivateFormat.Raw, NoEncryption()
        )
        return SecretBytes(seed.hex())
    if algorithm is Algorithm.ECDSA_P256:
        return SecretBytes(
            ec.generate_private_key(ec.SECP256R1()).private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
            )
        )
    raise AlgorithmUnsupported(
        f"a key of algorithm {algorithm} is a secret that the venue issues; "
        "import it, or let the venue issue it where it can",
        metadata={"algorithm": algorithm.value},
    )
