"""The key document: what a store keeps of a key. Written by hand as well as by Privyseal.

In Vault it is a flat KV v2 document of strings, for example
`vault kv put signer/keys/my-key venue=whitebit api_key=… api_secret=@file`.
docs/keys-in-vault.md describes every field.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from privyseald.errors import CredentialMalformed, FieldInvalid
from privyseald.key import Algorithm, Key, KeyState
from privyseald.signing.schemes import make_signer, material_field
from privyseald.signing.secret import SecretBytes
from privyseald.signing.signer import Credential

SCHEMA = "1"
_SECRET_FIELDS = frozenset({"api_secret", "private_key"})
_OWN_FIELDS = frozenset({"schema", "venue", "environment", "algorithm", "state", "request_id"})
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_MAX_VALUE = 1024
_ALGORITHMS = {each.value: each for each in Algorithm}
_STATES = {each.value: each for each in KeyState}


@dataclass(frozen=True, slots=True)
class KeyDocument:
    """A key as it is written. `material` is None only while the key is reserved (CREATING)."""

    venue: str
    environment: str
    algorithm: Algorithm
    fields: Mapping[str, str]
    material: SecretBytes | None = field(repr=False)
    public_id: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    state: KeyState = KeyState.ENABLED
    request_id: str = ""

    def to_record(self) -> dict[str, str]:
        """Return the flat document, secret included: only for a store that is about to seal it."""
        record = {
            **self.fields,
            "schema": SCHEMA,
            "venue": self.venue,
            "environment": self.environment,
            "algorithm": self.algorithm.value,
            "state": self.state.value,
        }
        if self.request_id:
            record["request_id"] = self.request_id
        if self.material is not None:
            record[material_field(self.algorithm)] = self.material.reveal().decode("ascii")
        return record

    def reserves(self, document: "KeyDocument") -> bool:
        """Whether this is the reservation that `document` may complete."""
        return self.state is KeyState.CREATING and self.request_id == document.request_id

    def is_same_key(self, document: "KeyDocument") -> bool:
        """Whether `document` was written already: a write whose answer was lost is repeated."""
        return (
            self.material is not None
            and self.request_id != ""
            and self.request_id == document.request_id
            and self.material == document.material
        )


def read_record(record: Mapping[str, object]) -> KeyDocument:
    """Return the document that a store read, labels and public id left out.

    Raises CredentialMalformed naming the field, never the value.
    """
    texts: dict[str, str] = {}
    for name, value in record.items():
        if not _NAME.fullmatch(name):
            raise CredentialMalformed(
                "the key's document has a field whose name is not lower_snake_case; correct it",
            )
        if not isinstance(value, str) or len(value) > 16 * _MAX_VALUE:
            raise _malformed(name, "must be a string of reasonable length")
        if name not in _SECRET_FIELDS and len(value) > _MAX_VALUE:
            raise _malformed(name, f"is longer than {_MAX_VALUE} characters")
        texts[name] = value
    if texts.get("schema", SCHEMA) != SCHEMA:
        raise _malformed("schema", f"is not {SCHEMA}; this release reads only that")
    if "venue" not in texts:
        raise _malformed("venue", "is missing")
    # Looked up, not converted: the ValueError of an enum quotes the value.
    algorithm = _ALGORITHMS.get(texts.get("algorithm", ""))
    if algorithm is None:
        raise _malformed("algorithm", "must be one of " + ", ".join(_ALGORITHMS))
    state = _STATES.get(texts.get("state", KeyState.ENABLED.value))
    if state is None:
        raise _malformed("state", "must be ENABLED, DISABLED or CREATING")
    wanted = material_field(algorithm)
    material = texts.get(wanted)
    if material is None and state is not KeyState.CREATING:
        raise _malformed(wanted, "is missing")
    return KeyDocument(
        venue=texts["venue"],
        environment=texts.get("environment", ""),
        algorithm=algorithm,
        fields={
            name: value
            for name, value in texts.items()
            if name not in _OWN_FIELDS and name not in _SECRET_FIELDS
        },
        material=None if material is None else SecretBytes(material),
        state=state,
        request_id=texts.get("request_id", ""),
    )


def open_document(key: Key, document: KeyDocument) -> Credential:
    """Return the credential of a whole document. Raises CredentialMalformed."""
    if document.material is None:
        raise _malformed(material_field(document.algorithm), "is missing")
    try:
        signer = make_signer(document.algorithm, document.material)
    except FieldInvalid as error:
        raise _malformed(error.field, error.description) from error
    document.material.wipe()
    return Credential(key, document.fields, signer)


def _malformed(field_name: str, problem: str) -> CredentialMalformed:
    return CredentialMalformed(
        f"the key's document in the secret store is malformed: field '{field_name}' {problem}; "
        "a custodian must correct it",
        metadata={"field": field_name},
    )
