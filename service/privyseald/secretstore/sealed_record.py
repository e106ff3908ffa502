"""Between a key and its row: the document is sealed, the facts are tagged."""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace

from privyseald.errors import CredentialMalformed
from privyseald.key import Key, KeyState
from privyseald.secretstore.document import KeyDocument, read_record
from privyseald.secretstore.facts import KeyFacts, facts_of
from privyseald.secretstore.record_file import Record
from privyseald.secretstore.store_key import SealBroken, StoreKey
from privyseald.signing.secret import SecretBytes

_BEFORE = "_previous"  # no field of a document begins so
_MARK_BYTES = 28  # at least the nonce, which is random


class RecordSeal:
    """Turns documents into rows and back. A row that someone edited is found, not used."""

    __slots__ = ("_key",)

    def __init__(self, key: StoreKey) -> None:
        self._key = key

    def write(
        self, key_id: str, document: KeyDocument, version: int, create_ms: int, update_ms: int
    ) -> Record:
        """Return the row of a document. Raises FieldInvalid for a secret that is no key."""
        facts = json.dumps(asdict(facts_of(document)), separators=(",", ":"))
        row = Record(key_id, version, document.state.value, facts, create_ms, update_ms)
        return self._sealed(row, json.dumps(document.to_record()).encode())

    def rotated(self, row: Record, document: KeyDocument, update_ms: int, *, keep: bool) -> Record:
        """Return the row that follows, with the document before in it if that may sign still."""
        following = self.write(row.key_id, document, row.version + 1, row.create_time_ms, update_ms)
        record: dict[str, object] = {**document.to_record()}
        if keep:
            record[_BEFORE] = replace(self.document(row), previous=None).to_record()
        return self._sealed(following, json.dumps(record).encode())

    def without_previous(self, row: Record) -> Record:
        """Return the row with nothing of the version before."""
        document = replace(self.document(row), previous=None)
        return self._sealed(row, json.dumps(document.to_record()).encode())

    def with_state(self, row: Record, state: KeyState) -> Record:
        """Return the row in another state, sealed anew because the state is bound."""
        return self._sealed(replace(row, state=state.value), self._plain(row))

    def key(self, row: Record) -> Key:
        """Return the public facts of a row, its secret left sealed. Raises CredentialMalformed."""
        if self._key.tag(_bound(row)) != row.tag:
            raise _edited(row.key_id)
        facts = KeyFacts(**json.loads(row.facts))
        return facts.key(
            row.key_id, KeyState(row.state), row.version, row.create_time_ms, row.update_time_ms
        )

    def revision(self, row: Record) -> str:
        """Return what differs after each sealing: the tag, and the start of the sealed bytes."""
        return row.tag.hex() + row.sealed[:_MARK_BYTES].hex()

    def document(self, row: Record) -> KeyDocument:
        """Return the document of a row. Raises CredentialMalformed."""
        return _document(self._record(row))

    def previous(self, row: Record) -> KeyDocument | None:
        """Return the document of the version before, while it is kept."""
        before = self._record(row).get(_BEFORE)
        return _document(before) if isinstance(before, dict) else None

    def seal_setting(self, name: str, material: SecretBytes) -> bytes:
        """Return a key of the service's own, sealed under its name."""
        return self._key.seal(material.reveal(), name.encode())

    def open_setting(self, name: str, sealed: bytes) -> SecretBytes:
        """Return what `seal_setting` was given. Raises CredentialMalformed."""
        try:
            return SecretBytes(self._key.unseal(sealed, name.encode()))
        except SealBroken as error:
            raise _edited(name) from error

    def _record(self, row: Record) -> dict[str, object]:
        record: dict[str, object] = json.loads(self._plain(row))
        return record

    def _plain(self, row: Record) -> bytes:
        try:
            return self._key.unseal(row.sealed, _bound(row))
        except SealBroken as error:
            raise _edited(row.key_id) from error

    def _sealed(self, row: Record, plain: bytes) -> Record:
        bound = _bound(row)
        return replace(row, tag=self._key.tag(bound), sealed=self._key.seal(plain, bound))


def _document(record: Mapping[str, object]) -> KeyDocument:
    return read_record({name: value for name, value in record.items() if name != _BEFORE})


def _bound(row: Record) -> bytes:
    """Return the bytes of everything that stands in clear."""
    return json.dumps(
        [
            row.key_id,
            row.version,
            row.state,
            row.facts,
            row.create_time_ms,
            row.update_time_ms,
        ]
    ).encode()


def _edited(key_id: str) -> CredentialMalformed:
    return CredentialMalformed(
        f"the embedded store's record of key '{key_id}' was changed from outside; "
        "restore the store's file from a backup, or delete the key and import it again",
    )
