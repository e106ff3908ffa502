"""Replacing a key's document in Vault: a new version, and the one before for a while."""

import structlog

from privyseald.clock import Clock
from privyseald.errors import PrivysealError, SecretStoreForbidden
from privyseald.key import Key
from privyseald.secretstore.custom_metadata import Note, read_note
from privyseald.secretstore.document import KeyDocument, open_previous, read_record
from privyseald.secretstore.facts import facts_of
from privyseald.secretstore.previous import Previous
from privyseald.secretstore.refusals import in_transit, key_changed, key_unknown
from privyseald.secretstore.vault_writer import KeyWriter
from privyseald.signing.signer import Predecessor
from privyseald.vault.client import VaultClient
from privyseald.vault.errors import PathMissing, VersionMismatch

_log = structlog.get_logger(__name__)


class KeyRotation:
    """Rotates what is in KV. What a version before held is destroyed in Vault, not only hidden."""

    def __init__(self, client: VaultClient, mount: str, clock: Clock, writer: KeyWriter) -> None:
        self._client = client
        self._mount = mount
        self._clock = clock
        self._writer = writer

    async def rotate(self, key_id: str, path: str, version: int, document: KeyDocument) -> Key:
        """Write the version after `version`. Raises KeyUnknown, KeyChanged."""
        try:
            found = await self._client.read(self._mount, path)
        except PathMissing:
            raise key_unknown(key_id) from None
        held, noted = read_record(found.data), read_note(found.custom_metadata)
        if held.transit is not None:
            raise in_transit(key_id)
        facts = facts_of(document)
        try:
            written, now = await self._client.write(
                self._mount, path, document.to_record(), version
            )
        except VersionMismatch:
            raise key_changed(key_id) from None
        create_time_ms = noted.create_time_ms or found.create_time_ms
        try:
            note = Note(facts, document.state, create_time_ms)
            await self._writer.write_note(key_id, path, note)
        except SecretStoreForbidden:
            # The new version is in; an error here would make a caller believe that it is not.
            _log.warning("vault_note_forbidden", key=key_id)
        over = [held.previous.version] if held.previous else []
        if document.previous is not None and document.previous.is_over(self._now_ms()):
            over.append(document.previous.version)
        await self._destroy(key_id, path, over)
        return facts.key(key_id, document.state, written, create_time_ms, now)

    async def retire(self, key_id: str, path: str) -> None:
        """Destroy the version before, if its time is over. Raises KeyUnknown."""
        try:
            found = await self._client.read(self._mount, path)
        except PathMissing:
            raise key_unknown(key_id) from None
        previous = read_record(found.data).previous
        if previous is not None and previous.is_over(self._now_ms()):
            await self._client.destroy(self._mount, path, [previous.version])

    async def predecessor(
        self, key: Key, path: str, previous: Previous | None
    ) -> Predecessor | None:
        """Return the version before of an opened key, where its document names one."""
        if previous is None:
            return None
        if not previous.is_over(self._now_ms()):
            try:
                found = await self._client.read(self._mount, path, previous.version)
                return open_previous(key, read_record(found.data), previous)
            except PathMissing:
                _log.warning("vault_previous_version_gone", key=key.key_id)
        return Predecessor(previous.until_ms)

    async def _destroy(self, key_id: str, path: str, versions: list[int]) -> None:
        """Destroy what may sign no more; the rotation stands, whatever comes of this."""
        if not versions:
            return
        try:
            await self._client.destroy(self._mount, path, versions)
        except PrivysealError as error:
            _log.warning("vault_version_not_destroyed", key=key_id, advice=error.message)

    def _now_ms(self) -> int:
        return self._clock.time_us() // 1_000
