"""Writing keys into Vault: the secret to where it shall live, the document, then its note."""

import asyncio
from contextlib import suppress
from dataclasses import replace

import structlog

from privyseald.clock import Clock
from privyseald.errors import PrivysealError, SecretStoreForbidden, Unavailable
from privyseald.key import Key, KeyState
from privyseald.secretstore.custom_metadata import Note, read_note, write_note
from privyseald.secretstore.document import KeyDocument, read_record
from privyseald.secretstore.facts import facts_of
from privyseald.secretstore.refusals import key_exists, key_unknown
from privyseald.secretstore.transit_custody import TransitCustody
from privyseald.signing.signer import Signer
from privyseald.vault.answers import SecretVersion
from privyseald.vault.client import VaultClient
from privyseald.vault.errors import PathMissing, VersionMismatch

_NOTE_PAUSES_S = (0.0, 0.1, 0.4)
_log = structlog.get_logger(__name__)


class KeyWriter:
    """Writes nothing over a key, and takes back what is only half done."""

    def __init__(
        self, client: VaultClient, mount: str, clock: Clock, custody: TransitCustody
    ) -> None:
        self._client = client
        self._mount = mount
        self._clock = clock
        self._custody = custody

    async def create(self, key_id: str, path: str, document: KeyDocument) -> Key:
        """Write a key, or a reservation, where none may be. Raises KeyExists."""
        if document.state is KeyState.CREATING:
            await self._custody.prepare(document)
        else:
            placed = self._custody.place(document)
            if placed.transit is not None:
                return await self._create_in_transit(key_id, path, placed)
        facts = facts_of(document)
        version, now = await self._write_new(key_id, path, document)
        try:
            await self.write_note(key_id, path, Note(facts, document.state, now))
        except SecretStoreForbidden:
            with suppress(PrivysealError):
                await self._client.delete(self._mount, path)
            raise
        return facts.key(key_id, document.state, version, now, now)

    async def complete(self, key_id: str, path: str, document: KeyDocument) -> Key:
        """Replace a reservation by the whole key. Raises KeyUnknown, KeyExists."""
        return await self._complete(key_id, path, self._custody.place_issued(key_id, document))

    async def _create_in_transit(self, key_id: str, path: str, placed: KeyDocument) -> Key:
        """Reserve the id, so that of two creates one gets to the transit engine."""
        facts_of(placed)
        await self.create(key_id, path, _reservation_of(placed))
        try:
            return await self._complete(key_id, path, placed)
        except PrivysealError:
            await self._take_back(path, placed)
            raise

    async def _complete(self, key_id: str, path: str, placed: KeyDocument) -> Key:
        try:
            found = await self._client.read(self._mount, path)
        except PathMissing:
            raise key_unknown(key_id) from None
        held = read_record(found.data)
        noted = read_note(found.custom_metadata)
        create_time_ms = noted.create_time_ms or found.create_time_ms
        if held.is_same_key(placed):
            signer = await self._signer(key_id, placed, is_written=True)
            version, now, state = found.version, found.create_time_ms, state_of(noted, held)
        elif held.reserves(placed):
            signer = await self._signer(key_id, placed, is_written=False)
            version, now = await self._replace(key_id, path, placed, found)
            state = placed.state
        else:
            raise key_exists(key_id)
        facts = facts_of(placed, signer)
        try:
            await self.write_note(key_id, path, Note(facts, state, create_time_ms))
        except SecretStoreForbidden:
            # The key is in; an error here would make a caller believe that it is lost.
            _log.warning("vault_note_forbidden", key=key_id)
        return facts.key(key_id, state, version, create_time_ms, now)

    async def _signer(self, key_id: str, placed: KeyDocument, *, is_written: bool) -> Signer | None:
        """Return what signs in the transit engine, where the secret goes there."""
        if placed.transit is None:
            return None
        if placed.material is None and is_written:
            return await self._custody.open(key_id, placed)
        return await self._custody.take_in(key_id, placed)

    async def _replace(
        self, key_id: str, path: str, placed: KeyDocument, found: SecretVersion
    ) -> tuple[int, int]:
        try:
            return await self._client.write(self._mount, path, placed.to_record(), found.version)
        except VersionMismatch:
            raise key_exists(key_id) from None

    async def _take_back(self, path: str, placed: KeyDocument) -> None:
        """Remove the reservation, if that is what stands there still."""
        with suppress(PrivysealError, PathMissing):
            found = await self._client.read(self._mount, path)
            if read_record(found.data).reserves(placed):
                await self._client.delete(self._mount, path)

    async def _write_new(self, key_id: str, path: str, document: KeyDocument) -> tuple[int, int]:
        """Return version and time of a document written where none was, or where an operator
        deleted one: Vault keeps that one's version, and wants it named. Raises KeyExists.
        """
        record = document.to_record()
        with suppress(VersionMismatch):
            return await self._client.write(self._mount, path, record, 0)
        with suppress(VersionMismatch, PathMissing):
            metadata = await self._client.read_metadata(self._mount, path)
            if metadata.is_deleted(self._clock.time_us() // 1_000):
                return await self._client.write(self._mount, path, record, metadata.version)
        raise key_exists(key_id)

    async def write_note(self, key_id: str, path: str, note: Note) -> None:
        """Write the note. The document says all that counts, so an outage here is only logged."""
        custom = write_note(note)
        for pause_s in _NOTE_PAUSES_S:
            await asyncio.sleep(pause_s)
            try:
                await self._client.write_custom_metadata(self._mount, path, custom)
            except Unavailable as error:
                reason = error.reason
            else:
                return
        _log.warning("vault_note_not_written", key=key_id, reason=reason)


def _reservation_of(placed: KeyDocument) -> KeyDocument:
    return replace(placed, material=None, transit=None, state=KeyState.CREATING)


def state_of(note: Note, document: KeyDocument) -> KeyState:
    """Return the state of a whole key: a note left from its reservation counts for nothing."""
    if note.state in (None, KeyState.CREATING):
        return document.state
    return note.state
