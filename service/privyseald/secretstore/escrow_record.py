"""A sealed key document as it lies in escrow: a line in clear, and a line of base64.

The line in clear tells whose key it is, and is bound to the seal: a changed one opens nothing.
"""

import base64
import json
from dataclasses import asdict, dataclass, field, replace

from privyseald.errors import FieldInvalid
from privyseald.key import Key, KeyState, check_key_id
from privyseald.secretstore.document import KeyDocument, read_record
from privyseald.secretstore.facts import KeyFacts, facts_of
from privyseald.signing.sealed_box import BoxBroken, OpeningKey, SealingKey

_SCHEMA = "1"
_CONTEXT = b"privyseal escrow record 1\n"
_LINES = 2


class RecordBroken(Exception):
    """The bytes are no whole record."""


@dataclass(frozen=True, slots=True)
class EscrowRecord:
    """A key that a venue issued, sealed. All but `box` is public."""

    key_id: str
    request_id: str
    facts: KeyFacts
    version: int
    create_time_ms: int
    sealed_to: str
    header: bytes = field(repr=False)
    box: bytes = field(repr=False)

    @property
    def key(self) -> Key:
        """The key's public facts; its state is ESCROWED."""
        time_ms = self.create_time_ms
        return self.facts.key(self.key_id, KeyState.ESCROWED, self.version, time_ms, time_ms)

    def to_bytes(self) -> bytes:
        """Return the file's content."""
        return self.header + b"\n" + base64.b64encode(self.box) + b"\n"

    def open(self, opening_key: OpeningKey) -> KeyDocument:
        """Return the document. Raises BoxBroken, CredentialMalformed."""
        plain = opening_key.open(self.box, _CONTEXT + self.header)
        try:
            record = json.loads(plain)
        except ValueError:
            raise BoxBroken from None
        document = read_record(record)
        return replace(document, labels=self.facts.labels, public_id=self.facts.public_id)


def seal_document(
    sealing_key: SealingKey, key_id: str, document: KeyDocument, *, version: int, time_ms: int
) -> EscrowRecord:
    """Return the record of a document, its secret sealed. What is no key is sealed as well."""
    try:
        facts = facts_of(document)
    except FieldInvalid:
        facts = facts_of(replace(document, material=None))
    header = json.dumps(
        {
            "schema": _SCHEMA,
            "key_id": key_id,
            "request_id": document.request_id,
            "version": version,
            "create_time_ms": time_ms,
            "sealed_to": sealing_key.fingerprint,
            "facts": asdict(facts),
        },
        separators=(",", ":"),
    ).encode()
    box = sealing_key.seal(json.dumps(document.to_record()).encode(), _CONTEXT + header)
    return _from_header(header, box)


def read_escrow_record(content: bytes) -> EscrowRecord:
    """Return the record at the start of a file's bytes. Raises RecordBroken."""
    lines = content.split(b"\n", _LINES)
    if len(lines) <= _LINES:
        raise RecordBroken
    try:
        return _from_header(lines[0], base64.b64decode(lines[1], validate=True))
    except (ValueError, TypeError, KeyError, AttributeError, FieldInvalid) as error:
        raise RecordBroken from error


def _from_header(header: bytes, box: bytes) -> EscrowRecord:
    told = json.loads(header)
    facts = told["facts"]
    texts = [told["request_id"], told["sealed_to"], *facts["labels"].values()]
    texts += [value for name, value in facts.items() if name != "labels"]
    if told["schema"] != _SCHEMA or not box or not all(isinstance(text, str) for text in texts):
        raise RecordBroken
    return EscrowRecord(
        key_id=check_key_id(told["key_id"]),
        request_id=told["request_id"],
        facts=KeyFacts(**facts),
        version=int(told["version"]),
        create_time_ms=int(told["create_time_ms"]),
        sealed_to=told["sealed_to"],
        header=header,
        box=box,
    )
