"""What every store says when it refuses, in the same words."""

from privyseald.errors import (
    CredentialMalformed,
    KeyChanged,
    KeyCreating,
    KeyExists,
    KeyUnknown,
    RotateKeyUnsupported,
)


def key_unknown(key_id: str) -> KeyUnknown:
    """Return the refusal for a key that is not there."""
    return KeyUnknown(
        f"there is no key '{key_id}'; list the keys, or create it", metadata=_metadata(key_id)
    )


def key_exists(key_id: str) -> KeyExists:
    """Return the refusal for a key id that is taken."""
    return KeyExists(
        f"the key id '{key_id}' is taken; choose another, or delete that key first",
        metadata=_metadata(key_id),
    )


def key_creating(key_id: str) -> KeyCreating:
    """Return the refusal for a reservation."""
    return KeyCreating(
        f"key '{key_id}' is reserved and not complete yet; try again later",
        metadata=_metadata(key_id),
    )


def key_changed(key_id: str) -> KeyChanged:
    """Return the refusal for a key that is not any more what it was a moment ago."""
    return KeyChanged(
        f"key '{key_id}' was changed by somebody else at the same moment, and nothing was "
        "written; look at it with 'privyseal keys get' and try again",
        metadata=_metadata(key_id),
    )


def in_transit(key_id: str) -> RotateKeyUnsupported:
    """Return the refusal to rotate a key whose secret is in Vault's transit engine."""
    return RotateKeyUnsupported(
        f"the secret of key '{key_id}' is in Vault's transit engine: give the transit key a new "
        "version there, which signs from then on; or import the new secret under another key id",
        metadata=_metadata(key_id),
    )


def _metadata(key_id: str) -> dict[str, str]:
    return {"key": f"keys/{key_id}"}


def document_malformed(field_name: str, problem: str) -> CredentialMalformed:
    """Return the refusal for a document with a field that is wrong."""
    return CredentialMalformed(
        f"the key's document in the secret store is malformed: field '{field_name}' {problem}; "
        "a custodian must correct it",
        metadata={"field": field_name},
    )
