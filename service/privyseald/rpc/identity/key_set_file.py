"""An issuer's keys from a file that may be replaced at any time."""

import asyncio
from pathlib import Path

import structlog

from privyseald.clock import Clock
from privyseald.config_error import ConfigInvalid
from privyseald.file_stamp import FileStamp, stamp_files
from privyseald.rpc.identity.key_set import MAX_BYTES, KeySet, KeySetInvalid, read_key_set

_PAUSE_S = 1.0
_log = structlog.get_logger("privyseald.identity")


class KeySetFile:
    """Implements `KeySource`: looks at the file every second."""

    answers_wishes = False

    def __init__(self, alias: str, path: Path, clock: Clock) -> None:
        """Read the file. Raises ConfigInvalid."""
        self._alias = alias
        self._clock = clock
        self._path = path
        self._stamp: FileStamp = stamp_files([path])
        # What was seen once and could not be read; it may be half written.
        self._odd: FileStamp | None = None
        self._is_refused = False
        try:
            self._current = _read(path)
        except KeySetInvalid as error:
            raise ConfigInvalid(
                f"server.jwt.issuers.{alias}.jwks_file: {path} {error}; give the issuer's JWKS"
            ) from error
        self.confirmed_ms: int | None = clock.monotonic_ms()

    @property
    def current(self) -> KeySet | None:
        """The keys of the file, as it was when it could be read last."""
        return self._current

    def want(self) -> asyncio.Event | None:
        """The file is looked at anyway."""
        return None

    async def run(self) -> None:
        """Read the file again whenever it is another one."""
        while True:
            await asyncio.sleep(_PAUSE_S)
            await asyncio.to_thread(self.look)

    def look(self) -> None:
        """Read the file if it is another one. What can't be read leaves the last keys in force,
        and is said when it stays so: the first time it may be half written.
        """
        stamp = stamp_files([self._path])
        if stamp == self._stamp:
            if not self._is_refused:
                self.confirmed_ms = self._clock.monotonic_ms()
            return
        try:
            key_set = _read(self._path)
        except KeySetInvalid as error:
            if stamp != self._odd:
                self._odd = stamp
                return
            self._stamp, self._is_refused = stamp, True
            _log.error(
                "issuer's keys not replaced",
                issuer=self._alias,
                file=str(self._path),
                cause=str(error),
                advice="the last good ones stay in force; put a JWKS there",
            )
            return
        self._stamp, self._odd, self._is_refused = stamp, None, False
        self.confirmed_ms = self._clock.monotonic_ms()
        if key_set.text != self._current.text:
            self._current = key_set
            _log.info("issuer's keys replaced", issuer=self._alias, keys=sorted(key_set.keys))


def _read(path: Path) -> KeySet:
    """Return the file's keys. Raises KeySetInvalid."""
    try:
        with path.open("rb") as file:
            return read_key_set(file.read(MAX_BYTES + 1))
    except OSError as error:
        raise KeySetInvalid(f"can't be read ({error.strerror})") from error
