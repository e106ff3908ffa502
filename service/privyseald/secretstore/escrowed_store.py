"""A secret store together with the keys that wait in escrow for it."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from privyseald.errors import (
    CredentialMalformed,
    KeyCreating,
    KeyEscrowed,
    KeyUnknown,
    SecretStoreForbidden,
    Unavailable,
)
from privyseald.key import Key, KeyState
from privyseald.secretstore.document import KeyDocument
from privyseald.secretstore.escrow import Escrow
from privyseald.secretstore.origin import Origin
from privyseald.secretstore.refusals import key_exists
from privyseald.secretstore.store import KeyPage, SecretStore
from privyseald.signing.secret import SecretBytes
from privyseald.signing.signer import Credential

# What a store says when it does not have a key, or can't be asked for it.
_NOT_THERE = (KeyUnknown, Unavailable, SecretStoreForbidden)


class EscrowedStore:
    """A SecretStore that tells an escrowed key from a reservation, and from none at all.

    The store's own word on a whole key goes before what lies in escrow.
    """

    def __init__(self, store: SecretStore, escrow: Escrow) -> None:
        self._store = store
        self._escrow = escrow

    async def open(self, key_id: str) -> Credential:
        """Return the key ready for use. Raises KeyEscrowed for one that waits in escrow."""
        try:
            return await self._store.open(key_id)
        except (KeyCreating, *_NOT_THERE) as error:
            self._refuse_escrowed(key_id, error)
            raise

    async def revision(self, key_id: str) -> str:
        """Return the store's mark of the key."""
        return await self._store.revision(key_id)

    async def get(self, key_id: str) -> Key:
        """Return the public facts, also of an escrowed key while the store is away."""
        try:
            key = await self._store.get(key_id)
        except _NOT_THERE:
            record = self._escrow.find(key_id)
            if record is None:
                raise
            return record.key
        return self._merged(key)

    async def list(self, after: str, limit: int) -> KeyPage:
        """Return up to `limit` keys, those in escrow among them."""
        page = await self._store.list(after, limit)
        keys = {key.key_id: self._merged(key) for key in page.keys}
        for _, record in self._escrow.records():
            is_here = after < record.key_id <= (page.next_after or record.key_id)
            if is_here and record.key_id not in keys and self._escrow.find(record.key_id):
                keys[record.key_id] = record.key
        ordered = tuple(keys[key_id] for key_id in sorted(keys))
        if len(ordered) > limit:
            return KeyPage(ordered[:limit], ordered[limit - 1].key_id)
        return KeyPage(ordered, page.next_after)

    async def create(self, key_id: str, document: KeyDocument) -> Key:
        """Write a key where there is none, in the store or in escrow."""
        record = self._escrow.find(key_id)
        if record is not None and record.request_id != document.request_id:
            raise key_exists(key_id)
        return await self._store.create(key_id, document)

    async def complete(self, key_id: str, document: KeyDocument) -> Key:
        """Replace a reservation by the whole key."""
        return await self._store.complete(key_id, document)

    async def rotate(self, key_id: str, version: int, document: KeyDocument) -> Key:
        """Write the version after `version`."""
        return await self._store.rotate(key_id, version, document)

    async def retire(self, key_id: str) -> None:
        """Destroy the version before, if its time is over."""
        await self._store.retire(key_id)

    async def set_state(self, key_id: str, state: KeyState) -> Key:
        """Disable or enable a key. Raises KeyEscrowed for one that waits in escrow."""
        try:
            return await self._store.set_state(key_id, state)
        except (KeyCreating, KeyUnknown) as error:
            self._refuse_escrowed(key_id, error)
            raise

    async def delete(self, key_id: str) -> None:
        """Remove the key from the store and from escrow. A record of another request
        stays: it is another key, which only wants the id.
        """
        async with self._escrow.locked():
            records = await self._records_of(key_id)
            with suppress(*((KeyUnknown,) if records else ())):
                await self._store.delete(key_id)
            for path in records:
                await self._escrow.remove(path)

    async def origin(self, key_id: str) -> Origin:
        """Return by which request the key came about."""
        return await self._store.origin(key_id)

    async def own_key(self, name: str, make: Callable[[], SecretBytes]) -> SecretBytes:
        """Return a key of the service's own."""
        return await self._store.own_key(name, make)

    async def unwrap(self, token: SecretBytes, name: str) -> SecretBytes:
        """Return a field of what a response-wrapping token holds."""
        return await self._store.unwrap(token, name)

    async def check(self) -> None:
        """Ask the store."""
        await self._store.check()

    async def close(self) -> None:
        """Close the store."""
        await self._store.close()

    async def _records_of(self, key_id: str) -> tuple[Path, ...]:
        """Return the files of the records that are the key itself, whole or reserved."""
        paths = self._escrow.paths_of(key_id)
        if not paths:
            return ()
        try:
            origin = await self._store.origin(key_id)
        except KeyUnknown:
            return paths
        except CredentialMalformed:
            return ()
        records = dict(self._escrow.records())
        return tuple(path for path in paths if records[path].request_id == origin.request_id)

    def _merged(self, key: Key) -> Key:
        if key.state is not KeyState.CREATING:
            return key
        record = self._escrow.find(key.key_id)
        return key if record is None else record.key

    def _refuse_escrowed(self, key_id: str, error: Exception) -> None:
        if self._escrow.find(key_id) is not None:
            raise key_escrowed(key_id) from error


def key_escrowed(key_id: str, cause: str = "") -> KeyEscrowed:
    """Return the refusal for a key that the store does not have yet."""
    metadata = {"key": f"keys/{key_id}"}
    if cause:
        metadata["cause"] = cause
    return KeyEscrowed(
        f"keys/{key_id} is issued and sealed in escrow; it works once the secret store takes it, "
        "which is tried again and again: see to the store",
        metadata=metadata,
    )
