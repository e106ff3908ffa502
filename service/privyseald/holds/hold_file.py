"""A server's own copy of what it knows of holds, on its disk: for when the state forgets."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from privyseald.config_error import ConfigInvalid
from privyseald.holds.known_holds import KnownHolds


class HoldFile:
    """A small file, replaced whole or not at all. The workers of a host may share it: what one
    writes another may replace by what it knows, and soon they know the same.
    """

    def __init__(self, path: Path, known: KnownHolds) -> None:
        self._path = path
        self.known = known

    @classmethod
    def open_path(cls, path: Path) -> "HoldFile":
        """Read the file, or begin it. Raises ConfigInvalid where it can't be read or written."""
        try:
            if path.exists():
                # As it is, because another worker may be about to write more.
                with tempfile.NamedTemporaryFile(prefix=f".{path.name}-", dir=path.parent):
                    return cls(path, KnownHolds.of_json(path.read_bytes()))
            file = cls(path, KnownHolds())
            file.write(file.known)
        except OSError as error:
            raise ConfigInvalid(
                f"holds.path: {path} can't be read and written ({error.strerror}); give a file in "
                "a directory that this service's user may write, on a disk that stays"
            ) from error
        except ValueError as error:
            raise ConfigInvalid(
                f"holds.path: {path} is no list of holds. Look into it for holds that must stay in "
                "force, move it away, and set those again with 'privyseal hold create'"
            ) from error
        return file

    def write(self, known: KnownHolds) -> None:
        """Replace the file's content and wait for the disk. Raises OSError."""
        directory = self._path.parent
        descriptor, name = tempfile.mkstemp(prefix=f".{self._path.name}-", dir=directory)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(known.to_json())
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(self._path)
        except OSError:
            with suppress(OSError):
                Path(name).unlink()
            raise
        folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        self.known = known
