"""Where the primary is that holds this service's names: now, since that may change."""

from binascii import crc_hqx
from collections.abc import Awaitable, Callable
from typing import Protocol

from privyseald.state.valkey_connection import Address, Connection, Reply
from privyseald.state.valkey_failure import Broken, Refused
from privyseald.state_config import StateConfig, Topology

_SLOTS = 16_384


class Finder(Protocol):
    """Says where to connect."""

    async def find(self) -> Address:
        """Return the primary's address. Raises Broken, Refused."""


class Fixed:
    """A server that stands in the URL."""

    def __init__(self, address: Address) -> None:
        self._address = address

    async def find(self) -> Address:
        """Return it."""
        return self._address


class Asked:
    """A primary that others know of. The first who answers is asked first the next time."""

    def __init__(
        self,
        addresses: tuple[Address, ...],
        enter: Callable[[Address], Awaitable[Connection]],
        ask: Callable[[Connection, Address], Awaitable[Address]],
    ) -> None:
        self._addresses = list(addresses)
        self._enter = enter
        self._ask = ask

    async def find(self) -> Address:
        """Ask one after the other."""
        failure: Broken | Refused | None = None
        for address in tuple(self._addresses):
            try:
                connection = await self._enter(address)
                try:
                    found = await self._ask(connection, address)
                finally:
                    connection.close()
            except (Broken, Refused) as error:
                failure = failure or error
                continue
            self._addresses.remove(address)
            self._addresses.insert(0, address)
            return found
        raise failure or Broken("has no address in state.url")


def make_finder(config: StateConfig, enter: Callable[[Address], Awaitable[Connection]]) -> Finder:
    """Return the finder for the URL. `enter` opens a connection to those who are asked."""
    addresses = tuple(Address(host, port) for host, port in config.addresses)
    if config.topology is Topology.SENTINEL:
        service = config.service

        async def ask_sentinel(connection: Connection, _: Address) -> Address:
            return _of_sentinel(
                await connection.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", service)
            )

        return Asked(addresses, enter, ask_sentinel)
    if config.topology is Topology.CLUSTER:
        slot = crc_hqx(config.prefix.encode(), 0) % _SLOTS

        async def ask_node(connection: Connection, asked: Address) -> Address:
            return _of_slots(await connection.call("CLUSTER", "SLOTS"), slot, asked)

        return Asked(addresses, enter, ask_node)
    return Fixed(addresses[0])


def _of_sentinel(reply: Reply) -> Address:
    match reply:
        case [bytes(host), bytes(port)] if port.isdigit():
            return Address(host.decode(errors="replace"), int(port))
    raise Broken(
        "is unknown to the sentinel under the name in state.url "
        "(valkey+sentinel://host:26379/NAME/db); give the name that `sentinel monitor` has"
    )


def _of_slots(reply: Reply, slot: int, asked: Address) -> Address:
    for each in reply if isinstance(reply, list) else ():
        match each:
            case [int(first), int(last), [host, int(port), *_], *_] if first <= slot <= last:
                # A node that does not know its own name is reached as the one that was asked.
                is_named = isinstance(host, bytes) and host not in {b"", b"?"}
                return Address(host.decode(errors="replace") if is_named else asked.host, port)  # type: ignore[union-attr]
    raise Broken("is a cluster in which no node has this service's slot; look at its nodes")
