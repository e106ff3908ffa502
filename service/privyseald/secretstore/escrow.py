"""Escrow: where a key that a venue issued is safe before, and until, the secret store has it.

Records are sealed to a public key whose private half lives in the secret store. The public half
is asked of the store each time and not kept here: who could swap it could read what comes.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from privyseald.clock import Clock
from privyseald.errors import EscrowUnavailable
from privyseald.secretstore.document import KeyDocument
from privyseald.secretstore.escrow_directory import EscrowDirectory, Place
from privyseald.secretstore.escrow_record import EscrowRecord, seal_document
from privyseald.secretstore.own_opening_key import own_opening_key
from privyseald.secretstore.store import SecretStore
from privyseald.signing.sealed_box import OpeningKey, SealingKey

ESCROW_KEY = "escrow"
_LOCK_PAUSE_S = 0.02
_RETRY_MS = 5_000
_log = structlog.get_logger("privyseald.escrow")


@dataclass(frozen=True, slots=True)
class EscrowPlace:
    """Room for one record, and the key that it will be sealed to."""

    key_id: str
    request_id: str
    place: Place
    sealing_key: SealingKey


class Escrow:
    """The records by their files. Safe for tasks, and for processes that share the directory."""

    def __init__(self, directory: EscrowDirectory, clock: Clock) -> None:
        self._directory = directory
        self._clock = clock
        self._names: frozenset[str] = frozenset()
        self._records: dict[Path, EscrowRecord] = {}
        self._unread: tuple[str, ...] = ()
        self._blocked: dict[Path, str] = {}
        self._abandoned: dict[tuple[str, str], Path] = {}
        self._tasks = asyncio.Lock()
        self.changed = asyncio.Event()

    @classmethod
    def open_path(cls, path: Path, clock: Clock) -> "Escrow":
        """Open or make the directory, and take up what a crash left. Raises ConfigInvalid."""
        escrow = cls(EscrowDirectory.open_path(path), clock)
        for take_up in (escrow._directory.sweep, escrow.refresh):
            try:
                take_up()
            except OSError as error:
                _log.error("escrow directory not read whole", cause=error.strerror)
        return escrow

    def refresh(self) -> None:
        """Look at the directory anew: another process may have moved records."""
        self._names = self._directory.names()
        found = self._directory.records()
        self._records = {path: record for path, record in found.items() if record is not None}
        self._unread = tuple(path.name for path, record in found.items() if record is None)
        self._blocked = {path: why for path, why in self._blocked.items() if path in found}
        # What the disk did not take is known here alone; the rest is what the disk says.
        self._abandoned = {
            told: path for told, path in self._abandoned.items() if path.suffix == ".place"
        }
        for name, path in self._directory.abandoned().items():
            key_id, request_id, _ = name.rsplit(".", 2)
            self._abandoned[key_id, request_id] = path

    def _look(self) -> None:
        """Hear of what other processes did in the directory."""
        # A disk that is gone is told by whoever writes to it.
        with suppress(OSError):
            if self._directory.names() != self._names:
                self.refresh()

    @property
    def waiting(self) -> int:
        """How many files there were at the last look, records or what should be some."""
        return len(self._records) + len(self._unread)

    def records(self) -> tuple[tuple[Path, EscrowRecord], ...]:
        """Return all records with their files."""
        self._look()
        return tuple(self._records.items())

    def unread(self) -> tuple[str, ...]:
        """Return the names of files that should be records and are none."""
        return self._unread

    def find(self, key_id: str) -> EscrowRecord | None:
        """Return the record that stands for a key, unless the key id was taken by another."""
        for path in self.paths_of(key_id):
            return self._records[path]
        return None

    def paths_of(self, key_id: str) -> tuple[Path, ...]:
        """Return the files of the records that stand for a key."""
        self._look()
        return tuple(
            path
            for path, record in self._records.items()
            if record.key_id == key_id and path not in self._blocked and path.exists()
        )

    def find_request(self, key_id: str, request_id: str) -> tuple[EscrowRecord, str] | None:
        """Return the record of a request, and what blocks it for good, empty if nothing does."""
        self._look()
        for path, record in self._records.items():
            if (record.key_id, record.request_id) == (key_id, request_id) and path.exists():
                return record, self._blocked.get(path, "")
        return None

    def holds(self, path: Path) -> bool:
        """Whether a record is there still."""
        return path.exists()

    def is_abandoned(self, key_id: str, request_id: str) -> bool:
        """Whether a request ended without an answer: nobody works on it any more."""
        self._look()
        return (key_id, request_id) in self._abandoned

    async def take_place(
        self, store: SecretStore, key_id: str, request_id: str, attempt: str
    ) -> EscrowPlace:
        """Make sure that a record could be sealed and written. Raises EscrowUnavailable, and
        what the store raises.
        """
        opening_key = await self.opening_key(store)
        name = f"{key_id}.{request_id}.{attempt}"
        try:
            place = await asyncio.to_thread(self._directory.take_place, name)
        except OSError as error:
            raise EscrowUnavailable(
                f"the escrow directory can't be written ({error.strerror}), so no venue was asked "
                "for a key; an operator must see to escrow.path: its disk's space and permissions",
                metadata={"key": f"keys/{key_id}"},
                retry_after_ms=_RETRY_MS,
            ) from error
        return EscrowPlace(key_id, request_id, place, opening_key.sealing_key)

    async def seal(
        self, place: EscrowPlace, document: KeyDocument, version: int
    ) -> tuple[Path, EscrowRecord]:
        """Seal the document into its place; it survives a crash from here on. Raises OSError."""
        record = seal_document(
            place.sealing_key,
            place.key_id,
            document,
            version=version,
            time_ms=self._clock.time_us() // 1_000,
        )
        path = await asyncio.to_thread(self._directory.fill, place.place, record)
        self._records[path] = record
        self._names |= {path.name}
        return path, record

    async def leave(self, place: EscrowPlace) -> None:
        """Give the place back: there is nothing to keep."""
        with self._untidy(place.place.path):
            await asyncio.to_thread(self._directory.leave, place.place)

    async def abandon(self, place: EscrowPlace) -> None:
        """Give the place back, and remember that nobody knows what the venue did."""
        path = place.place.path
        self._abandoned[place.key_id, place.request_id] = path
        with self._untidy(path):
            await asyncio.to_thread(self._directory.abandon, place.place)
            self.refresh()

    def abandoned(self) -> tuple[tuple[str, str], ...]:
        """Return key id and request id of what was abandoned, also before a restart."""
        return tuple(self._abandoned)

    async def forget_abandoned(self, key_id: str, request_id: str) -> None:
        """Forget it: a custodian has settled what became of it."""
        path = self._abandoned.pop((key_id, request_id), None)
        if path is None:
            return
        with self._untidy(path):
            await asyncio.to_thread(self._directory.remove, path)

    async def remove(self, path: Path) -> None:
        """Erase a record that the store has, or that a custodian deleted."""
        self._records.pop(path, None)
        self._blocked.pop(path, None)
        # What can't be removed is found again by the reconciler, whose key the store has then.
        with self._untidy(path):
            await asyncio.to_thread(self._directory.remove, path)

    def block(self, path: Path, cause: str) -> None:
        """Note that the store will not take a record until somebody acts."""
        self._blocked[path] = cause

    def unblock(self, path: Path) -> None:
        """Note that nothing stands in a record's way any more."""
        self._blocked.pop(path, None)

    async def opening_key(self, store: SecretStore) -> OpeningKey:
        """Return the private half, which the store makes and keeps. Raises what it raises."""
        return await own_opening_key(store, ESCROW_KEY)

    @contextmanager
    def _untidy(self, path: Path) -> Iterator[None]:
        """Let a file that can't be tidied away do no more harm than a line in the log."""
        try:
            yield
        except OSError as error:
            _log.warning("escrow file left", file=path.name, cause=error.strerror)

    @asynccontextmanager
    async def locked(self) -> AsyncIterator[None]:
        """Keep other tasks and processes from moving or deleting records meanwhile."""
        async with self._tasks:
            while not self._directory.try_lock():  # noqa: ASYNC110  # another process has it
                await asyncio.sleep(_LOCK_PAUSE_S)
            try:
                yield
            finally:
                self._directory.unlock()

    def close(self) -> None:
        """Let go of the directory."""
        self._directory.close()
