"""State that all replicas share, in one Valkey or Redis."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

from privyseald.clock import Clock
from privyseald.errors import Unavailable
from privyseald.keeper import Keeper
from privyseald.state.local_signals import LocalSignals
from privyseald.state.state import Charge, Shortage, Step, Value
from privyseald.state.valkey_connection import Address, Connection, Reply, Word
from privyseald.state.valkey_counter_scripts import ADVANCE, RESYNC
from privyseald.state.valkey_door import Door
from privyseald.state.valkey_epochs import Epochs, skewed, too_young
from privyseald.state.valkey_failure import away
from privyseald.state.valkey_finder import make_finder
from privyseald.state.valkey_link import Link
from privyseald.state.valkey_names import Names, kind_of
from privyseald.state.valkey_script import Script
from privyseald.state.valkey_spend_script import SPEND
from privyseald.state.valkey_value_scripts import DELETE, LIST, PUT
from privyseald.state_config import StateConfig

_TRIES = 3


class ValkeyState:
    """Implements `State` for any number of processes. One connection for commands, one to listen.

    A command is sent once. One that raises StateUnavailable may have been executed all the same:
    a step's value is burnt then, and whoever puts or deletes must look again.
    """

    def __init__(self, config: StateConfig, clock: Clock, keeper: Keeper | None = None) -> None:
        keeper = keeper or Keeper(clock)
        door, self._names = Door(config), Names(config.prefix)
        self._epochs = Epochs(self._names, clock)
        self._signals = LocalSignals()
        self._stirred: set[asyncio.Task[None]] = set()

        async def enter_to_listen(address: Address) -> Connection:
            return await door.enter(address, on_message=self._hear)

        finder, timeout_ms = make_finder(config, door.ask), config.timeout_ms
        look = self._epochs.look
        self._link = Link(finder, door.enter, look, look, timeout_ms, keeper, tells=True)
        self._listening = Link(
            finder, enter_to_listen, self._subscribe, _ping, timeout_ms, keeper, tells=False
        )

    @property
    def epoch_changes(self) -> int:
        """How often the server was found to have lost its memory, for those who watch."""
        return self._epochs.changes

    @classmethod
    async def open(
        cls, config: StateConfig, clock: Clock, keeper: Keeper | None = None
    ) -> "ValkeyState":
        """Connect, if the server can be reached now. Raises ConfigInvalid."""
        state = cls(config, clock, keeper)
        try:
            await asyncio.gather(state._link.start(), state._listening.start())
        except BaseException:
            await state.close()
            raise
        return state

    async def advance(self, name: str, step: Step) -> int:
        """Return the counter's next value."""
        arguments = (step.floor, step.ceiling, step.gap, step.time_ms, step.per_ms)
        match await self._in_epoch(ADVANCE, (self._names.counter(name),), *arguments):
            case bytes(record):
                self._epochs.remember(name, record, step.per_ms)
                return int(record.partition(b" ")[0])
            case int(too_high):
                return too_high
            case [b"skewed", int(ahead_ms)]:
                raise skewed(ahead_ms)
            case [b"young", int(young_ms)]:
                raise too_young(young_ms)
        raise _nonsense()

    async def resync(self, name: str, target: int) -> tuple[int, int]:
        """Bring the counter to `target`, as far as no value can be given twice."""
        match await self._in_epoch(RESYNC, (self._names.counter(name),), target):
            case [int(before), bytes(record)]:
                self._epochs.remember(name, record)
                return before, int(record.partition(b" ")[0])
        raise _nonsense()

    async def get(self, name: str) -> Value | None:
        """Return what stands there."""
        key = self._names.value(name)
        reply = await self._link.use(lambda connection: connection.call(b"GET", key))
        return None if reply is None else _value(reply)

    async def put(
        self, name: str, data: bytes, *, version: int | None = None, ttl_ms: int | None = None
    ) -> int | None:
        """Write, if `version` stands there."""
        names, kind = self._names, kind_of(name)
        keys = (names.value(name), names.versions, names.names(kind), names.kinds)
        expected = "" if version is None else version
        ttl = "" if ttl_ms is None else max(ttl_ms, 1)
        match await self._run(PUT, keys, name, data, expected, ttl, kind, names.values):
            case int(written):
                return written
            case None:
                return None
        raise _nonsense()

    async def delete(self, name: str, *, version: int | None = None) -> bool:
        """Remove, if `version` stands there."""
        names = self._names
        keys = (names.value(name), names.names(kind_of(name)))
        return await self._run(DELETE, keys, name, "" if version is None else version) == 1

    async def list(self, prefix: str) -> Mapping[str, Value]:
        """Return all values whose names begin so."""
        names = self._names
        reply = await self._run(LIST, (names.kinds,), prefix, names.values, names.kind)
        flat = reply if isinstance(reply, list) else []
        pairs = zip(flat[::2], flat[1::2], strict=True)
        return {name.decode(): _value(record) for name, record in pairs if isinstance(name, bytes)}

    async def spend(self, charges: Sequence[Charge], *, look: bool = False) -> Shortage | None:
        """Spend all charges, or nothing of them. In an epoch, so that a loss is noticed."""
        keys = tuple(self._names.spent(each.name) for each in charges)
        numbers = [
            number for each in charges for number in (each.amount, each.limit, each.window_ms)
        ]
        match await self._in_epoch(SPEND, keys, int(look), *numbers):
            case 0:
                return None
            case [int(place), int(wait_ms)]:
                return Shortage(charges[place], wait_ms)
        raise _nonsense()

    async def signal(self, name: str) -> None:
        """Tell all who listen, in every process."""
        channel = self._names.signals
        await self._link.use(lambda connection: connection.call(b"PUBLISH", channel, name))

    @asynccontextmanager
    async def signals(self) -> AsyncIterator[AsyncIterator[str]]:
        """Listen from now on; after each time that the connection was lost, to an empty name."""
        await self._listening.connection()
        async with self._signals.listen() as names:
            yield names

    async def check(self) -> None:
        """Raise what stands in the way of a step now."""
        await self._link.use(self._epochs.check)
        await self._listening.connection()

    async def close(self) -> None:
        """Let the connections go."""
        await asyncio.gather(self._link.close(), self._listening.close())
        self._signals.close()
        for task in self._stirred:
            task.cancel()

    async def _in_epoch(self, script: Script, keys: tuple[Word, ...], *arguments: Word) -> Reply:
        """Run a script in an epoch that was looked at on the same connection."""

        async def act(connection: Connection) -> Reply:
            for _ in range(_TRIES):
                epoch = await self._epochs.of(connection)
                reply = await script.run(connection, (self._names.epoch, *keys), *epoch, *arguments)
                if reply != [b"epoch"]:
                    return reply
                self._epochs.lose(epoch)
            raise away("loses its memory again and again; look at why it is flushed")

        return await self._link.use(act)

    async def _run(self, script: Script, keys: tuple[Word, ...], *arguments: Word) -> Reply:
        return await self._link.use(lambda connection: script.run(connection, keys, *arguments))

    async def _subscribe(self, connection: Connection) -> None:
        await connection.call("SUBSCRIBE", self._names.signals)
        self._signals.send("")

    def _hear(self, message: bytes) -> None:
        name = message.decode(errors="replace")
        if not name:
            # A new epoch: what this process remembers is wanted before it gives anything.
            task = asyncio.ensure_future(self._stir())
            self._stirred.add(task)
            task.add_done_callback(self._stirred.discard)
        self._signals.send(name)

    async def _stir(self) -> None:
        with suppress(Unavailable):
            await self._link.use(self._epochs.look)


async def _ping(connection: Connection) -> None:
    await connection.call("PING")


def _value(record: Reply) -> Value:
    if isinstance(record, bytes):
        version, space, data = record.partition(b" ")
        if space and version.isdigit():
            return Value(data, int(version))
    raise _nonsense()


def _nonsense() -> Unavailable:
    return away("holds what this service did not write; give it a prefix of its own")
