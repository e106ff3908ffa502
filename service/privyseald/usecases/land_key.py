"""Moving a key that a venue issued out of escrow, into the secret store."""

from dataclasses import replace
from pathlib import Path

from privyseald.errors import KeyUnknown
from privyseald.key import Key, KeyState
from privyseald.secretstore.document import KeyDocument
from privyseald.secretstore.escrow import Escrow
from privyseald.secretstore.store import SecretStore


class LandKey:
    """Does it once, however often it is tried, and by however many. Overwrites nothing."""

    def __init__(self, store: SecretStore, escrow: Escrow) -> None:
        self._store = store
        self._escrow = escrow

    async def __call__(self, key_id: str, document: KeyDocument, path: Path | None = None) -> Key:
        """Return the key as the store has it now; the record at `path` stays.

        Raises what the store raises; KeyExists when something else stands there, and KeyUnknown
        when the record is gone: another moved or deleted it.
        """
        async with self._escrow.locked():
            if path is not None and not self._escrow.holds(path):
                return await self._store.get(key_id)
            try:
                return await self._store.complete(key_id, document)
            except KeyUnknown:
                # Somebody removed the reservation; what the venue issued is kept all the same.
                reservation = replace(
                    document, material=None, fields={}, public_id="", state=KeyState.CREATING
                )
                await self._store.create(key_id, reservation)
                return await self._store.complete(key_id, document)
