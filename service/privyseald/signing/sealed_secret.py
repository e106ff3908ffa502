"""A secret sealed to the service, bound to the key id and the venue that it is for.

The bytes, in this order: `PSS1`; the sealing key's fingerprint (16 bytes); the encapsulated key
(32 bytes); the ciphertext with its tag. docs/keys-in-vault.md says how to make them elsewhere.
"""

from privyseald.errors import FieldInvalid
from privyseald.signing.sealed_box import FINGERPRINT_BYTES, BoxBroken, OpeningKey, SealingKey
from privyseald.signing.secret import SecretBytes

_MAGIC = b"PSS1"
_HEAD_BYTES = len(_MAGIC) + FINGERPRINT_BYTES


def seal_secret(sealing_key: SealingKey, material: SecretBytes, key_id: str, venue: str) -> bytes:
    """Return the sealed bytes."""
    head = _MAGIC + bytes.fromhex(sealing_key.fingerprint)
    return head + sealing_key.seal(material.reveal(), _info(key_id, venue))


def open_secret(
    opening_key: OpeningKey, sealed: bytes, key_id: str, venue: str, field: str = "sealed"
) -> SecretBytes:
    """Return the secret. Raises FieldInvalid, which says what is wrong with the bytes."""
    if not sealed.startswith(_MAGIC):
        raise FieldInvalid(
            field,
            "does not begin as sealed secrets do; make one with 'privyseal keys seal', and send "
            "its bytes as they are",
        )
    fingerprint = sealed[len(_MAGIC) : _HEAD_BYTES].hex()
    if fingerprint != opening_key.sealing_key.fingerprint:
        raise FieldInvalid(
            field,
            f"is sealed to another key than this service's present one, "
            f"{opening_key.sealing_key.fingerprint}; fetch that with 'privyseal keys sealing-key', "
            "and seal the secret anew",
        )
    try:
        return SecretBytes(opening_key.open(sealed[_HEAD_BYTES:], _info(key_id, venue)))
    except BoxBroken:
        raise FieldInvalid(
            field,
            f"was sealed for another key id or venue than '{key_id}' at '{venue}', or was changed "
            "on its way; seal the secret for these two",
        ) from None


def _info(key_id: str, venue: str) -> bytes:
    return f"privyseal sealed secret 1\n{key_id}\n{venue}".encode()
