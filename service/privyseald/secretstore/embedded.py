"""Keys in one encrypted SQLite file, for one process: no server needed."""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from privyseald.clock import Clock
from privyseald.config_error import ConfigInvalid
from privyseald.errors import FieldInvalid, SecretStoreUnreachable
from privyseald.key import Key, KeyState
from privyseald.secretstore.document import KeyDocument, open_document, open_previous
from privyseald.secretstore.origin import Origin
from privyseald.secretstore.record_file import Record, RecordFile
from privyseald.secretstore.refusals import (
    key_changed,
    key_creating,
    key_exists,
    key_unknown,
)
from privyseald.secretstore.sealed_record import RecordSeal
from privyseald.secretstore.store import KeyPage
from privyseald.secretstore.store_unlock import unlock
from privyseald.signing.secret import SecretBytes
from privyseald.signing.signer import Credential, Predecessor

_T = TypeVar("_T")
_RETRY_MS = 1_000


class EmbeddedStore:
    """A SecretStore in a file. All its work runs on one thread of its own, in order."""

    def __init__(self, file: RecordFile, seal: RecordSeal, clock: Clock) -> None:
        self._file = file
        self._seal = seal
        self._clock = clock
        self._closed = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="privyseal-store")

    @classmethod
    def open_path(
        cls,
        path: Path,
        *,
        key_file: Path | None = None,
        passphrase_file: Path | None = None,
        clock: Clock,
    ) -> "EmbeddedStore":
        """Open the store, or make a new one, under the key of exactly one of the two files.

        Raises ConfigInvalid when the file is in use, is no store, or has another key.
        """
        if (key_file is None) == (passphrase_file is None):
            raise ConfigInvalid(
                "store.key_file, store.passphrase_file: give exactly one of them; "
                "'head -c 32 /dev/urandom > FILE; chmod 600 FILE' makes a key file"
            )
        file = RecordFile(path)
        try:
            key = unlock(file, path, key_file, passphrase_file)
        except BaseException:
            file.close()
            raise
        return cls(file, RecordSeal(key), clock)

    async def open(self, key_id: str) -> Credential:
        """Return the key ready for use."""
        return await self._run(lambda: self._open(key_id))

    async def revision(self, key_id: str) -> str:
        """Return the mark of the record as it was sealed last."""
        return await self._run(lambda: self._revision(key_id))

    async def get(self, key_id: str) -> Key:
        """Return the public facts; the secret stays sealed."""
        return await self._run(lambda: self._seal.key(self._find(key_id)))

    async def list(self, after: str, limit: int) -> KeyPage:
        """Return up to `limit` keys whose ids come after `after`."""
        rows = await self._run(lambda: self._file.after(after, limit + 1))
        keys = tuple(self._seal.key(row) for row in rows[:limit])
        return KeyPage(keys, keys[-1].key_id if len(rows) > limit else "")

    async def create(self, key_id: str, document: KeyDocument) -> Key:
        """Write a key that must not exist yet."""
        return await self._run(lambda: self._create(key_id, document))

    async def complete(self, key_id: str, document: KeyDocument) -> Key:
        """Replace a reservation by the whole key; once more with the same key changes nothing."""
        return await self._run(lambda: self._complete(key_id, document))

    async def rotate(self, key_id: str, version: int, document: KeyDocument) -> Key:
        """Write the next version; the one before is kept in the same record."""
        return await self._run(lambda: self._rotate(key_id, version, document))

    async def retire(self, key_id: str) -> None:
        """Write the record anew without the version before, if its time is over."""
        await self._run(lambda: self._retire(key_id))

    async def set_state(self, key_id: str, state: KeyState) -> Key:
        """Disable or enable a key; its version stays."""
        return await self._run(lambda: self._set_state(key_id, state))

    async def delete(self, key_id: str) -> None:
        """Erase the key."""
        if not await self._run(lambda: self._file.remove(key_id)):
            raise key_unknown(key_id)

    async def origin(self, key_id: str) -> Origin:
        """Return by which request the key came about."""
        return await self._run(lambda: self._origin(key_id))

    async def own_key(self, name: str, make: Callable[[], SecretBytes]) -> SecretBytes:
        """Return a key of the service's own; it is a sealed setting of the file."""
        return await self._run(lambda: self._own_key(f"own-key/{name}", make))

    async def unwrap(self, token: SecretBytes, name: str) -> SecretBytes:
        """Refuse: there is no Vault that could unwrap it."""
        raise FieldInvalid(
            "wrapping_token",
            "needs a server that keeps its keys in Vault, and this one keeps them in a file; "
            "seal the secret with 'privyseal keys seal', and send it as 'sealed'",
        )

    async def check(self) -> None:
        """Read the file."""
        await self._run(lambda: self._file.setting("check"))

    async def close(self) -> None:
        """Close the file after the work in progress, and let its lock go."""
        if not self._closed:
            self._closed = True
            await asyncio.get_running_loop().run_in_executor(self._thread, self._file.close)
            self._thread.shutdown()

    async def _run(self, work: Callable[[], _T]) -> _T:
        if self._closed:
            raise SecretStoreUnreachable("the embedded store is closed; this server is stopping")
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except sqlite3.Error as error:
            raise SecretStoreUnreachable(
                "the embedded store's file can't be read or written; an operator must look at "
                "its disk's space, health and permissions",
                retry_after_ms=_RETRY_MS,
            ) from error

    def _open(self, key_id: str) -> Credential:
        row = self._find(key_id)
        key = self._seal.key(row)
        document = self._seal.document(row)
        if key.state is KeyState.CREATING:
            raise key_creating(key_id)
        opened = replace(open_document(key, document), revision=self._seal.revision(row))
        told = document.previous
        if told is None:
            return opened
        before = None if told.is_over(self._now_ms()) else self._seal.previous(row)
        predecessor = open_previous(key, before, told) if before else Predecessor(told.until_ms)
        return replace(opened, previous=predecessor)

    def _revision(self, key_id: str) -> str:
        row = self._find(key_id)
        self._seal.key(row)  # a record that someone edited is refused here as in `open`
        return self._seal.revision(row)

    def _create(self, key_id: str, document: KeyDocument) -> Key:
        now = self._now_ms()
        row = self._seal.write(key_id, document, 1, now, now)
        if not self._file.insert(row):
            raise key_exists(key_id)
        return self._seal.key(row)

    def _complete(self, key_id: str, document: KeyDocument) -> Key:
        row = self._find(key_id)
        held = self._seal.document(row)
        if held.is_same_key(document):
            return self._seal.key(row)
        if not held.reserves(document):
            raise key_exists(key_id)
        row = self._seal.write(
            key_id, document, row.version + 1, row.create_time_ms, self._now_ms()
        )
        self._file.replace(row)
        return self._seal.key(row)

    def _rotate(self, key_id: str, version: int, document: KeyDocument) -> Key:
        row = self._find(key_id)
        if row.version != version:
            raise key_changed(key_id)
        now = self._now_ms()
        keep = document.previous is not None and not document.previous.is_over(now)
        row = self._seal.rotated(row, document, now, keep=keep)
        self._file.replace(row)
        return self._seal.key(row)

    def _retire(self, key_id: str) -> None:
        row = self._find(key_id)
        previous = self._seal.document(row).previous
        if previous is not None and previous.is_over(self._now_ms()):
            self._file.replace(self._seal.without_previous(row))

    def _set_state(self, key_id: str, state: KeyState) -> Key:
        row = self._find(key_id)
        if row.state == KeyState.CREATING:
            raise key_creating(key_id)
        row = self._seal.with_state(row, state)
        self._file.replace(row)
        return self._seal.key(row)

    def _origin(self, key_id: str) -> Origin:
        row = self._find(key_id)
        return Origin.of(self._seal.key(row), self._seal.document(row))

    def _own_key(self, setting: str, make: Callable[[], SecretBytes]) -> SecretBytes:
        sealed = self._file.setting(setting)
        if sealed is not None:
            return self._seal.open_setting(setting, sealed)
        made = make()
        self._file.put_settings(**{setting: self._seal.seal_setting(setting, made)})
        return made

    def _find(self, key_id: str) -> Record:
        row = self._file.find(key_id)
        if row is None:
            raise key_unknown(key_id)
        return row

    def _now_ms(self) -> int:
        return self._clock.time_us() // 1_000
