"""What every store says when it refuses, in the same words."""

from privyseald.errors import CredentialMalformed, KeyCreating, KeyExists, KeyUnknown


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


def _metadata(key_id: str) -> dict[str, str]:
    return {"key": f"keys/{key_id}"}


def document_malformed(field_name: str, problem: str) -> CredentialMalformed:
    """Return the refusal for a document with a field that is wrong."""
    return CredentialMalformed(
        f"the key's document in the secret store is malformed: field '{field_name}' {problem}; "
        "a custodian must correct it",
        metadata={"field": field_name},
    )
