"""Wrapping a key for Vault's transit engine, which alone can unwrap it (BYOK)."""

import base64
import os

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.keywrap import aes_key_wrap_with_padding
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from privyseald.vault.errors import answer_malformed

_MIN_BITS = 4096


def wrap(wrapping_key_pem: str, key: bytes) -> str:
    """Return the key under AES-KWP, and that one's key under RSA-OAEP, as base64.

    Raises SecretStoreUnreachable when the wrapping key is not what Vault would give.
    """
    wrapping_key = _load(wrapping_key_pem)
    if wrapping_key is None:
        raise answer_malformed()
    ephemeral = os.urandom(32)
    oaep = padding.OAEP(padding.MGF1(SHA256()), SHA256(), None)
    wrapped = wrapping_key.encrypt(ephemeral, oaep) + aes_key_wrap_with_padding(ephemeral, key)
    return base64.b64encode(wrapped).decode()


def _load(pem: str) -> rsa.RSAPublicKey | None:
    try:
        loaded = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        return None
    if not isinstance(loaded, rsa.RSAPublicKey) or loaded.key_size < _MIN_BITS:
        return None
    return loaded
