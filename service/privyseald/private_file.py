"""A file that holds a secret: read only while nobody else can read it, created for us alone."""

import os
import stat
from pathlib import Path

from privyseald.config_error import ConfigInvalid

_MAX_BYTES = 64 * 1024


def read_private_file(path: Path, setting: str) -> bytes:
    """Return the bytes of a file that only we may read. Raises ConfigInvalid naming `setting`."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ConfigInvalid(
            f"{setting}: can't read {path} ({error.strerror}); give a file that exists "
            "and that this service's user may read"
        ) from error
    if _is_exposed(status.st_mode, status.st_uid, os.geteuid()):
        raise ConfigInvalid(
            f"{setting}: {path} can be read or written by others; run: chmod 600 {path}"
        )
    if len(content) > _MAX_BYTES:
        raise ConfigInvalid(f"{setting}: {path} is longer than {_MAX_BYTES} bytes; wrong file?")
    return content


def create_private_file(path: Path, content: bytes, setting: str) -> None:
    """Write a new file with mode 0600. Raises ConfigInvalid when something stands there."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise ConfigInvalid(
            f"{setting}: {path} exists; nothing was written over it. Use it, or give another path"
        ) from error
    except OSError as error:
        raise ConfigInvalid(
            f"{setting}: can't create {path} ({error.strerror}); give a folder that exists "
            "and that this service's user may write to"
        ) from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _is_exposed(mode: int, owner: int, user: int) -> bool:
    """Whether users other than ours and root can read or change the file.

    A file of root's may be readable by our group: that is how Kubernetes mounts a Secret for
    a service that does not run as root.
    """
    if owner == 0 and user != 0:
        return bool(mode & (stat.S_IWGRP | stat.S_IXGRP | stat.S_IRWXO))
    return bool(mode & (stat.S_IRWXG | stat.S_IRWXO))
