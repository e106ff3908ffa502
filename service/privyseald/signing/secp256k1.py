"""ECDSA on secp256k1 with a recoverable signature, as Ethereum uses it (RFC 6979, low s)."""

import re

import sha3
from coincurve import PrivateKey

from privyseald.errors import FieldInvalid
from privyseald.key import Algorithm
from privyseald.signing.pem import public_key_pem
from privyseald.signing.secret import SecretBytes

_HEX_KEY = re.compile(rb"(?:0x)?([0-9a-fA-F]{64})")
_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def keccak256(data: bytes) -> bytes:
    """Return Keccak-256 (not SHA3-256) of `data`."""
    digest: bytes = sha3.keccak_256(data).digest()
    return digest


def checksum_address(address: bytes) -> str:
    """Return the 20 bytes as an address with the checksum of EIP-55."""
    plain = address.hex()
    digest = keccak256(plain.encode()).hex()
    return "0x" + "".join(
        letter.upper() if int(nibble, 16) >= 8 else letter
        for letter, nibble in zip(plain, digest, strict=False)
    )


class Secp256k1Signer:
    """Signs 32-byte digests. There is no door that takes a digest from a caller."""

    __slots__ = ("_private_key", "public_id", "public_key_pem")

    algorithm = Algorithm.SECP256K1

    def __init__(self, material: SecretBytes) -> None:
        match = _HEX_KEY.fullmatch(material.reveal())
        number = int(match[1], 16) if match else 0
        if not 0 < number < _ORDER:
            raise FieldInvalid(
                "private_key", "must be a secp256k1 private key: 64 hex digits, 0x allowed"
            )
        self._private_key = PrivateKey(number.to_bytes(32, "big"))
        public_key = self._private_key.public_key.format(compressed=False)
        self.public_id = checksum_address(keccak256(public_key[1:])[12:])
        self.public_key_pem = public_key_pem(Algorithm.SECP256K1, public_key)

    async def sign(self, message: bytes) -> bytes:
        """Return r, s and v of the 32-byte digest `message`: 65 bytes, v is 27 or 28."""
        signature = self._private_key.sign_recoverable(message, hasher=None)
        return signature[:64] + bytes((signature[64] + 27,))

    def __repr__(self) -> str:
        return f"Secp256k1Signer({self.public_id})"
