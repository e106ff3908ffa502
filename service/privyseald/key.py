"""A key as everyone may know it: its public facts, never its secret."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from privyseald.errors import FieldInvalid

_KEY_ID = re.compile(r"[a-z0-9](?:[a-z0-9_-]|\.(?!\.)){0,62}")
_LABEL_NAME = re.compile(r"[a-z][a-z0-9_.-]{0,62}")
_LABEL_VALUE = re.compile(r"[A-Za-z0-9 _.:/@-]{0,128}")
_MAX_LABELS = 32

KEY_ID_RULE = (
    "1 to 63 characters: lower-case letters, digits, '-', '_' and single '.', "
    "beginning with a letter or digit"
)


class Algorithm(StrEnum):
    """A signature algorithm together with its hash; the closed list of what a key can be."""

    HMAC_SHA256 = "hmac-sha256"
    HMAC_SHA512 = "hmac-sha512"
    ED25519 = "ed25519"
    ECDSA_P256 = "ecdsa-p256"
    SECP256K1 = "secp256k1"

    @property
    def is_hmac(self) -> bool:
        """Whether the key is a shared secret text."""
        return self in (Algorithm.HMAC_SHA256, Algorithm.HMAC_SHA512)


class KeyState(StrEnum):
    """Where a key is in its life."""

    CREATING = "CREATING"
    ENABLED = "ENABLED"
    DISABLED = "DISABLED"
    ESCROWED = "ESCROWED"


@dataclass(frozen=True, slots=True)
class Key:
    """The public facts of a key. `public_id` is the API key id or the address."""

    key_id: str
    venue: str
    environment: str
    algorithm: str
    public_id: str
    state: KeyState
    version: int
    create_time_ms: int
    update_time_ms: int
    public_key_pem: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The resource name, `keys/{key_id}`."""
        return f"keys/{self.key_id}"


def check_key_id(text: str, field_name: str = "key_id") -> str:
    """Return `text` if it may be a key id. Raises FieldInvalid."""
    if not text:
        raise FieldInvalid(field_name, f"is empty; give {KEY_ID_RULE}")
    if len(text) > 63 or not _KEY_ID.fullmatch(text):
        raise FieldInvalid(field_name, f"is not a key id; give {KEY_ID_RULE}")
    return text


def key_id_of(name: str, field_name: str = "key") -> str:
    """Return the key id of a resource name `keys/{key_id}`. Raises FieldInvalid."""
    if not name:
        raise FieldInvalid(field_name, "is empty; give a key's name such as 'keys/my-key'")
    prefix, slash, key_id = name.partition("/")
    if prefix != "keys" or not slash:
        raise FieldInvalid(field_name, "must be a key's name such as 'keys/my-key'")
    return check_key_id(key_id, field_name)


def check_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """Return the labels if all may stand. Raises FieldInvalid."""
    if len(labels) > _MAX_LABELS:
        raise FieldInvalid("labels", f"has {len(labels)} entries; at most {_MAX_LABELS} may stand")
    for name, value in labels.items():
        if not _LABEL_NAME.fullmatch(name):
            raise FieldInvalid(
                "labels",
                "a label's name must be 1 to 63 characters of a-z, 0-9, '_', '.', '-', "
                "beginning with a letter",
            )
        if not _LABEL_VALUE.fullmatch(value):
            raise FieldInvalid(
                f"labels[{name}]",
                "must be at most 128 characters of letters, digits, space and _.:/@-",
            )
    return dict(labels)
