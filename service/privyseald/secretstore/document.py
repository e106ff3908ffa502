"""The key document: what a store keeps of a key. Written by hand as well as by Privyseal.

In Vault it is a flat KV v2 document of strings, for example
`vault kv put signer/keys/my-key venue=whitebit api_key=… api_secret=@file`.
docs/keys-in-vault.md describes every field.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

from privyseald.errors import CredentialMalformed, FieldInvalid
from privyseald.key import Algorithm, Key, KeyState
from privyseald.secretstore.custody import OWN_FIELDS, TransitPlace, read_place
from privyseald.secretstore.previous import PREVIOUS_FIELDS, Previous, read_previous
from privyseald.secretstore.refusals import document_malformed
from privyseald.signing.schemes import make_signer, material_field
from privyseald.signing.secret import SecretBytes
from privyseald.signing.signer import Credential, Predecessor

SCHEMA = "1"
_SECRET_FIELDS = frozenset({"api_secret", "private_key"})
_OWN_FIELDS = (
    OWN_FIELDS
    | PREVIOUS_FIELDS
    | {"schema", "venue", "environment", "algorithm", "state", "request_id"}
)
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_MAX_VALUE = 1024
_ALGORITHMS = {each.value: each for each in Algorithm}
_STATES = {each.value: each for each in KeyState}


@dataclass(frozen=True, slots=True)
class KeyDocument:
    """A key as it is written. `material` is None while the key is reserved (CREATING), and when
    it was read and `transit` says where its secret is.
    """

    venue: str
    environment: str
    algorithm: Algorithm
    fields: Mapping[str, str]
    material: SecretBytes | None = field(repr=False)
    public_id: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    state: KeyState = KeyState.ENABLED
    request_id: str = ""
    transit: TransitPlace | None = None
    previous: Previous | None = None

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
        if self.previous is not None:
            record |= self.previous.to_record()
        if self.transit is not None:
            record |= self.transit.to_record()
        elif self.material is not None:
            record[material_field(self.algorithm)] = self.material.reveal().decode("ascii")
        return record

    def reserves(self, document: "KeyDocument") -> bool:
        """Whether this is the reservation that `document` may complete."""
        return self.state is KeyState.CREATING and self.request_id == document.request_id

    def is_same_key(self, document: "KeyDocument") -> bool:
        """Whether `document` was written already: a write whose answer was lost is repeated.

        Of a secret in the transit engine only its place is compared.
        """
        if self.state is KeyState.CREATING or not self.request_id:
            return False
        if self.request_id != document.request_id or self.transit != document.transit:
            return False
        return self.transit is not None or (
            self.material is not None and self.material == document.material
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
            raise document_malformed(name, "must be a string of reasonable length")
        if name not in _SECRET_FIELDS and len(value) > _MAX_VALUE:
            raise document_malformed(name, f"is longer than {_MAX_VALUE} characters")
        texts[name] = value
    if texts.get("schema", SCHEMA) != SCHEMA:
        raise document_malformed("schema", f"is not {SCHEMA}; this release reads only that")
    if "venue" not in texts:
        raise document_malformed("venue", "is missing")
    # Looked up, not converted: the ValueError of an enum quotes the value.
    algorithm = _ALGORITHMS.get(texts.get("algorithm", ""))
    if algorithm is None:
        raise document_malformed("algorithm", "must be one of " + ", ".join(_ALGORITHMS))
    state = _STATES.get(texts.get("state", KeyState.ENABLED.value))
    if state is None:
        raise document_malformed("state", "must be ENABLED, DISABLED or CREATING")
    place = read_place(texts, algorithm)
    return KeyDocument(
        venue=texts["venue"],
        environment=texts.get("environment", ""),
        algorithm=algorithm,
        fields={
            name: value
            for name, value in texts.items()
            if name not in _OWN_FIELDS and name not in _SECRET_FIELDS
        },
        material=_read_material(texts, material_field(algorithm), state, place),
        state=state,
        request_id=texts.get("request_id", ""),
        transit=place,
        previous=read_previous(texts),
    )


def _read_material(
    texts: Mapping[str, str], name: str, state: KeyState, place: TransitPlace | None
) -> SecretBytes | None:
    if name in texts:
        if place is not None:
            raise document_malformed(name, "must not be there: custody is 'transit'")
        return SecretBytes(texts[name])
    if place is None and state is not KeyState.CREATING:
        raise document_malformed(name, "is missing")
    return None


def open_document(key: Key, document: KeyDocument) -> Credential:
    """Return the credential of a document that holds its secret. Raises CredentialMalformed."""
    if document.transit is not None:
        raise document_malformed("custody", "is 'transit', which only a store in Vault has")
    if document.material is None:
        raise document_malformed(material_field(document.algorithm), "is missing")
    try:
        signer = make_signer(document.algorithm, document.material)
    except FieldInvalid as error:
        raise document_malformed(error.field, error.description) from error
    finally:
        document.material.wipe()
    return Credential(key, document.fields, signer)


def open_previous(key: Key, document: KeyDocument, previous: Previous) -> Predecessor:
    """Return the version before of an opened key; one that is malformed is as good as gone."""
    with suppress(CredentialMalformed):
        told = replace(
            key,
            venue=document.venue,
            environment=document.environment,
            algorithm=document.algorithm.value,
            version=previous.version,
        )
        credential = open_document(told, document)
        public_id = document.fields.get("api_key", "") or credential.signer.public_id
        pem = credential.signer.public_key_pem
        known = replace(told, public_id=public_id, public_key_pem=pem)
        return Predecessor(previous.until_ms, replace(credential, key=known))
    return Predecessor(previous.until_ms)
