"""The public facts that a store keeps in clear beside a key's document."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from privyseald.key import Key, KeyState
from privyseald.secretstore.document import KeyDocument
from privyseald.signing.schemes import make_signer
from privyseald.signing.signer import Signer


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """What everyone may know of a key, whatever its state and version."""

    venue: str = ""
    environment: str = ""
    algorithm: str = ""
    public_id: str = ""
    public_key_pem: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    def key(
        self, key_id: str, state: KeyState, version: int, create_time_ms: int, update_time_ms: int
    ) -> Key:
        """Return the key of these facts."""
        return Key(
            key_id=key_id,
            venue=self.venue,
            environment=self.environment,
            algorithm=self.algorithm,
            public_id=self.public_id,
            state=state,
            version=version,
            create_time_ms=create_time_ms,
            update_time_ms=update_time_ms,
            public_key_pem=self.public_key_pem,
            labels=self.labels,
        )


def facts_of(document: KeyDocument, signer: Signer | None = None) -> KeyFacts:
    """Return the facts of a document that is about to be written, and of its signer.

    `public_id` is the document's own, else the venue's key id, else what the key itself tells.
    Raises FieldInvalid when the material is no key of the algorithm.
    """
    public_id = document.public_id or document.fields.get("api_key", "")
    public_key_pem = ""
    if signer is None and document.material is not None:
        signer = make_signer(document.algorithm, document.material)
    if signer is not None:
        public_id = public_id or signer.public_id
        public_key_pem = signer.public_key_pem
    return KeyFacts(
        venue=document.venue,
        environment=document.environment,
        algorithm=document.algorithm.value,
        public_id=public_id,
        public_key_pem=public_key_pem,
        labels=dict(document.labels),
    )
