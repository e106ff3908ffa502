"""The embedded store's SQLite file: rows, a lock, and the settings of its seal."""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from privyseald.config_error import ConfigInvalid

_TABLES = """
CREATE TABLE IF NOT EXISTS setting (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS record (
    key_id TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    state TEXT NOT NULL,
    facts TEXT NOT NULL,
    create_time_ms INTEGER NOT NULL,
    update_time_ms INTEGER NOT NULL,
    tag BLOB NOT NULL,
    sealed BLOB NOT NULL
) STRICT, WITHOUT ROWID;
"""
_COLUMNS = "key_id, version, state, facts, create_time_ms, update_time_ms, tag, sealed"


@dataclass(frozen=True, slots=True)
class Record:
    """One row. `facts` is JSON in clear; `sealed` is the document, under the store's key."""

    key_id: str
    version: int
    state: str
    facts: str
    create_time_ms: int
    update_time_ms: int
    tag: bytes = field(default=b"", repr=False)
    sealed: bytes = field(default=b"", repr=False)


class RecordFile:
    """Rows by key id. One process holds the file; its methods run on one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._lock = _take_lock(path)
        try:
            self._connection = _connect(path)
        except BaseException:
            os.close(self._lock)
            raise

    def setting(self, name: str) -> bytes | None:
        """Return a setting of the store."""
        row = self._connection.execute(
            "SELECT value FROM setting WHERE name = ?", (name,)
        ).fetchone()
        return None if row is None else bytes(row[0])

    def put_settings(self, **settings: bytes) -> None:
        """Write settings, all or none."""
        with self._transaction():
            self._connection.executemany("INSERT INTO setting VALUES (?, ?)", settings.items())

    def find(self, key_id: str) -> Record | None:
        """Return the row of a key."""
        row = self._connection.execute(
            f"SELECT {_COLUMNS} FROM record WHERE key_id = ?",  # noqa: S608  # a constant
            (key_id,),
        ).fetchone()
        return None if row is None else Record(*row)

    def after(self, key_id: str, limit: int) -> list[Record]:
        """Return up to `limit` rows that come after `key_id`, in order."""
        rows = self._connection.execute(
            f"SELECT {_COLUMNS} FROM record WHERE key_id > ? "  # noqa: S608  # a constant
            "ORDER BY key_id LIMIT ?",
            (key_id, limit),
        )
        return [Record(*row) for row in rows]

    def insert(self, record: Record) -> bool:
        """Write a new row; False when one of its id is there."""
        return self._write("INSERT OR IGNORE INTO record VALUES (?, ?, ?, ?, ?, ?, ?, ?)", record)

    def replace(self, record: Record) -> bool:
        """Write over the row of the same id."""
        return self._write("REPLACE INTO record VALUES (?, ?, ?, ?, ?, ?, ?, ?)", record)

    def remove(self, key_id: str) -> bool:
        """Erase a row, its bytes in the file too; False when there is none."""
        with self._transaction():
            return (
                self._connection.execute("DELETE FROM record WHERE key_id = ?", (key_id,)).rowcount
                == 1
            )

    def close(self) -> None:
        """Close the file and let the lock go."""
        self._connection.close()
        os.close(self._lock)

    def _write(self, statement: str, record: Record) -> bool:
        values = (
            record.key_id,
            record.version,
            record.state,
            record.facts,
            record.create_time_ms,
            record.update_time_ms,
            record.tag,
            record.sealed,
        )
        with self._transaction():
            return self._connection.execute(statement, values).rowcount == 1

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            yield


def _take_lock(path: Path) -> int:
    """Return the descriptor of the lock file beside `path`.

    SQLite's own locks are POSIX locks on the file itself; a lock file keeps clear of them.
    """
    lock_path = path.with_name(path.name + ".lock")
    try:
        descriptor = os.open(lock_path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise ConfigInvalid(
            f"store.url: can't create {lock_path} ({error.strerror}); give the path of a file in "
            "a folder that exists and that this service's user may write to"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise ConfigInvalid(
            f"store.url: {path} is in use by another process, which holds {lock_path}; "
            "stop that one, or keep keys in Vault when more than one process must sign"
        ) from error
    return descriptor


def _connect(path: Path) -> sqlite3.Connection:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        path.chmod(0o600)
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA secure_delete = ON")
        connection.executescript(_TABLES)
    except (OSError, sqlite3.Error) as error:
        raise ConfigInvalid(
            f"store.url: {path} can't be opened as a Privyseal store; give the path of one, "
            "or of a new file in a folder that this service's user may write to"
        ) from error
    return connection
