"""The port that several workers listen on together."""

import errno
import socket
from contextlib import ExitStack
from typing import Self

from privyseald.rpc.listener import port_taken


class ReservedPort:
    """Keeps an address for this service's workers, and never listens itself.

    So its number stays the same over all lives of the workers, also where port 0 let the system
    choose it. `address` has that number.
    """

    def __init__(self, address: str, held: ExitStack) -> None:
        self.address = address
        self._held = held

    @classmethod
    def take(cls, address: str, setting: str = "server.listen") -> Self:
        """Reserve the address. Raises ConfigInvalid where another program listens on it."""
        host, _, text = address.rpartition(":")
        wanted, port = int(text), 0
        with ExitStack() as held:
            for family, place in _places(setting, address, host):
                try:
                    port = _hold(held, family, (place, port or wanted))
                except OSError as error:
                    # A name may stand for an address that this machine does not have.
                    if error.errno == errno.EADDRINUSE:
                        raise port_taken(setting, address) from error
            if not port:
                raise port_taken(setting, address)
            return cls(f"{host}:{port}", held.pop_all())

    @property
    def number(self) -> int:
        """The port."""
        return int(self.address.rpartition(":")[2])

    def close(self) -> None:
        """Give the address back."""
        self._held.close()


def _places(setting: str, address: str, host: str) -> list[tuple[socket.AddressFamily, str]]:
    try:
        found = socket.getaddrinfo(host.strip("[]"), None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise port_taken(setting, address) from error
    return [(family, str(place[0])) for family, _, _, _, place in found]


def _hold(held: ExitStack, family: socket.AddressFamily, address: tuple[str, int]) -> int:
    """Bind, without listening, a socket that gives way to workers alone; return its port."""
    if address[1]:
        # Sockets that share a port do not notice one another: another service of this user
        # would be heard of by nobody. One that does not share does notice.
        with socket.socket(family, socket.SOCK_STREAM) as alone:
            alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            alone.bind(address)
    shared = held.enter_context(socket.socket(family, socket.SOCK_STREAM))
    for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
        shared.setsockopt(socket.SOL_SOCKET, option, 1)
    shared.bind(address)
    port: int = shared.getsockname()[1]
    return port
