"""The Unix socket: who can open it is its caller.

gRPC for Python does not tell the user at the other end (SO_PEERCRED), so the file's permissions
are the proof, and they stand from the moment that the file is there.
"""

import os
import socket
import stat
from dataclasses import dataclass
from pathlib import Path

import grpc

from privyseald.caller import Caller
from privyseald.config_error import ConfigInvalid

METHOD = "unix"
_SETTING = "server.unix_socket.path"


@dataclass(frozen=True, slots=True)
class UnixSocket:
    """Where it is, who calls there, and the mode of the file, such as 0o600."""

    path: Path
    caller: Caller
    mode: int


def bind_socket(server: grpc.aio.Server, place: UnixSocket) -> None:
    """Have the server listen there. Raises ConfigInvalid.

    A file that a server left behind is removed; one that is in use, or is no socket, is not.
    """
    _make_room(place.path)
    credentials = grpc.local_server_credentials(grpc.LocalConnectionType.UDS)
    before = os.umask(0o777 & ~place.mode)
    try:
        server.add_secure_port(f"unix:{place.path}", credentials)
    except RuntimeError as error:
        raise ConfigInvalid(
            f"{_SETTING}: {place.path} can't be listened on; give a path in a folder that this "
            "service's user may write to"
        ) from error
    finally:
        os.umask(before)


def _make_room(path: Path) -> None:
    try:
        folder = path.parent.stat()
    except OSError as error:
        raise ConfigInvalid(
            f"{_SETTING}: {path.parent} can't be looked at ({error.strerror}); make that folder"
        ) from error
    if folder.st_mode & stat.S_IWOTH:
        raise ConfigInvalid(
            f"{_SETTING}: everybody may write to {path.parent}, so anybody could put another "
            "socket there; give a path in a folder of this service's own"
        )
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigInvalid(f"{_SETTING}: {path} can't be looked at ({error.strerror})") from error
    if not stat.S_ISSOCK(mode):
        raise ConfigInvalid(f"{_SETTING}: {path} is no socket; nothing was removed. Give another")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            # Whoever listened is gone.
            path.unlink(missing_ok=True)
            return
        except OSError as error:
            raise ConfigInvalid(
                f"{_SETTING}: {path} is a socket that can't be tried ({error.strerror}); remove it"
            ) from error
    raise ConfigInvalid(f"{_SETTING}: another program listens on {path}; stop it, or give another")
