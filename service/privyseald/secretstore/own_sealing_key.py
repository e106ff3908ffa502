"""The service's own AES keys: made once, kept by the store, shared by all replicas."""

import os

from privyseald.secretstore.refusals import document_malformed
from privyseald.secretstore.store import SecretStore
from privyseald.signing.secret import SecretBytes

_BYTES = 32


async def own_sealing_key(store: SecretStore, name: str) -> SecretBytes:
    """Return 32 bytes, always the same. Raises CredentialMalformed, and what the store raises."""
    material = await store.own_key(name, _generate)
    try:
        key = bytes.fromhex(material.reveal().decode("ascii"))
    except ValueError:
        key = b""
    finally:
        material.wipe()
    if len(key) != _BYTES:
        raise document_malformed("private_key", f"must be {2 * _BYTES} hex digits")
    return SecretBytes(key)


def _generate() -> SecretBytes:
    return SecretBytes(os.urandom(_BYTES).hex())
