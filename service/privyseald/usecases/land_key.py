"""Moving a key that a venue issued out of escrow, into the secret store."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from privyseald.errors import KeyUnknown
from privyseald.key import Key, KeyState
from privyseald.secretstore.document import KeyDocument
from privyseald.secretstore.escrow import Escrow
from privyseald.secretstore.store import SecretStore


class LandKey:
    """Does it once, however often it is tried and by however many, and overwrites nothing."""

    def __init__(self, store: SecretStore, escrow: Escrow) -> None:
        self._store = store
        self._escrow = escrow

    async def __call__(
        self,
        key_id: str,
        document: KeyDocument,
        path: Path | None,
        on_written: Callable[[], None] | None = None,
    ) -> Key:
        """Return the key as the store has it now, with the record at `path` erased.

        `on_written` is called between the two. Raises what the store raises; KeyExists when
        something else stands there, and KeyUnknown when somebody deleted key and record.
        """
        async with self._escrow.locked():
            if path is not None and not self._escrow.holds(path):
                # Another task or process moved the key before us.
                return await self._store.get(key_id)
            key = await self._complete(key_id, document)
            if on_written is not None:
                on_written()
            if path is not None:
                await self._escrow.remove(path)
            return key

    async def _complete(self, key_id: str, document: KeyDocument) -> Key:
        try:
            return await self._store.complete(key_id, document)
        except KeyUnknown:
            # Somebody removed the reservation; what the venue issued is kept all the same.
            reservation = replace(
                document, material=None, fields={}, public_id="", state=KeyState.CREATING
            )
            await self._store.create(key_id, reservation)
            return await self._store.complete(key_id, document)
