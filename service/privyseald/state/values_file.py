"""A SQLite file of values: what is committed there survives a crash, whole or not at all."""

import os
import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from privyseald.config_error import ConfigInvalid

# AUTOINCREMENT: SQLite remembers the highest version also when its row is gone.
_TABLE = """
CREATE TABLE IF NOT EXISTS value (
    version INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    expire_ms INTEGER,
    ttl_ms INTEGER,
    checksum INTEGER NOT NULL,
    data BLOB NOT NULL
) STRICT;
"""
_SCHEMA = 1
# For another program that has the file open.
_LONGEST_WAIT_S = 1.0
_LONGEST_LOG_BYTES = 16 * 1_048_576


@dataclass(frozen=True, slots=True)
class Row:
    """A value as it stands in the file. `expire_ms` is Unix time."""

    version: int
    name: str
    expire_ms: int | None
    ttl_ms: int | None
    data: bytes = field(repr=False)

    @property
    def checksum(self) -> int:
        """Of all that does not change."""
        text = f"{self.version} {self.name} {self.ttl_ms}\n".encode()
        return zlib.crc32(self.data, zlib.crc32(text))


class ValuesFile:
    """Rows by version. For one thread at a time, of one process: others find it locked."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path = path
        self._connection = connection

    @classmethod
    def open_path(cls, path: Path) -> "ValuesFile":
        """Open or make the file. Raises ConfigInvalid when that can't be."""
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            path.chmod(0o600)
            connection = sqlite3.connect(
                path, timeout=_LONGEST_WAIT_S, isolation_level=None, check_same_thread=False
            )
        except (OSError, sqlite3.Error) as error:
            raise _unusable(path) from error
        try:
            _prepare(connection, path)
        except sqlite3.Error as error:
            connection.close()
            raise _refusal(path, error) from error
        except ConfigInvalid:
            connection.close()
            raise
        return cls(path, connection)

    def load(self) -> tuple[int, list[Row]]:
        """Return the highest version ever written and all rows, the oldest first. Raises
        ConfigInvalid when one is damaged.
        """
        rows = []
        try:
            last = self._connection.execute("SELECT max(seq) FROM sqlite_sequence").fetchone()[0]
            for version, name, expire_ms, ttl_ms, checksum, data in self._connection.execute(
                "SELECT version, name, expire_ms, ttl_ms, checksum, data FROM value "
                "ORDER BY version"
            ):
                row = Row(version, name, expire_ms, ttl_ms, data)
                if row.checksum != checksum:
                    raise _damaged(self._path)
                rows.append(row)
        except sqlite3.Error as error:
            raise _refusal(self._path, error) from error
        return last or 0, rows

    def clear(self, gone: Iterable[int]) -> None:
        """Remove versions at the start. Raises ConfigInvalid when that can't be."""
        try:
            self.write([], gone, 0)
        except sqlite3.Error as error:
            raise _refusal(self._path, error) from error

    def write(self, rows: Iterable[Row], gone: Iterable[int], shift_ms: int) -> None:
        """Add rows, remove versions, and move all times by `shift_ms`: all of it or nothing, on
        the disk when this returns. Raises sqlite3.Error.
        """
        with self._transaction():
            if shift_ms:
                self._connection.execute("UPDATE value SET expire_ms = expire_ms + ?", (shift_ms,))
            self._connection.executemany(
                "DELETE FROM value WHERE version = ?", ((version,) for version in gone)
            )
            self._connection.executemany(
                "INSERT INTO value (version, name, expire_ms, ttl_ms, checksum, data) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (
                    (row.version, row.name, row.expire_ms, row.ttl_ms, row.checksum, row.data)
                    for row in rows
                ),
            )

    def close(self) -> None:
        """Let the file go."""
        self._connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            # A failed write may have rolled back by itself.
            with suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            raise


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA journal_size_limit = {_LONGEST_LOG_BYTES}")
    schema = connection.execute("PRAGMA user_version").fetchone()[0]
    if schema not in (0, _SCHEMA):
        raise ConfigInvalid(
            f"state.path: {path} was written by a later release; run that one, or give state.path "
            "another place"
        )
    connection.executescript(_TABLE)
    if schema != _SCHEMA:
        connection.execute(f"PRAGMA user_version = {_SCHEMA}")


def _refusal(path: Path, error: sqlite3.Error) -> ConfigInvalid:
    # The low byte is the primary code; the others say where it was found.
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    is_damage = code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
    return _damaged(path) if is_damage else _unusable(path)


def _damaged(path: Path) -> ConfigInvalid:
    return ConfigInvalid(
        f"state.path: {path} is damaged; restore it from a backup, or move it away: then keys "
        "log in anew, retries are not recognised, and holds have to be set again"
    )


def _unusable(path: Path) -> ConfigInvalid:
    return ConfigInvalid(
        f"state.path: {path} can't be opened and written; see that it is this user's own, that "
        "no other program has it open, and that its disk has space"
    )
