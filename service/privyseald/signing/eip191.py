"""EIP-191 version 0x45, `personal_sign`: its prefix keeps a message from being a transaction."""

from privyseald.signing.secp256k1 import keccak256


def digest(message: bytes) -> bytes:
    """Return the 32 bytes that a wallet signs for `message`."""
    return keccak256(b"\x19Ethereum Signed Message:\n%d" % len(message) + message)
