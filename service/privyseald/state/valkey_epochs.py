"""Whether the server still has its memory, and what to do when it has not.

This process takes a step only in an epoch that it has looked at on the very connection on which
it takes the step. When the epoch is a new one, it first puts back what it remembers.
"""

import asyncio
from typing import NamedTuple

import structlog

from privyseald.clock import Clock
from privyseald.errors import ClockSkewed, StateUnavailable
from privyseald.state.state import LONGEST_LEAD_MS
from privyseald.state.valkey_connection import Connection
from privyseald.state.valkey_counter_scripts import LOOK, REMEMBER
from privyseald.state.valkey_failure import away
from privyseald.state.valkey_names import Names

_FORGET_ABOVE = 10_000
# A server's clock is never stepped back by as much.
_LONGEST_STEP_MS = 60_000
_BATCH = 200
_log = structlog.get_logger("privyseald.state")


class Epoch(NamedTuple):
    """A stretch of time in which the server kept its memory."""

    record: bytes
    number: bytes


class Epochs:
    """Looks at the epoch, and remembers the counters that this process has used."""

    def __init__(self, names: Names, clock: Clock) -> None:
        self._names = names
        self._clock = clock
        self._epoch = Epoch(b"", b"0")
        self._seen_on: Connection | None = None
        self._young_ms = 0
        self._ahead_ms = 0
        self._turn = asyncio.Lock()
        # The last record of each counter, and its units in a millisecond.
        self._counters: dict[str, tuple[bytes, int]] = {}
        self._forget_above = _FORGET_ABOVE
        # For those who watch: how often the server had lost its memory.
        self.changes = 0

    async def of(self, connection: Connection) -> Epoch:
        """Return the epoch to take steps in. Raises ClockSkewed, StateUnavailable."""
        if self._seen_on is not connection:
            async with self._turn:
                if self._seen_on is not connection:
                    await self._look(connection)
        return self._epoch

    async def look(self, connection: Connection) -> None:
        """Look again, whatever was seen before. Raises as `of`."""
        async with self._turn:
            await self._look(connection)

    async def check(self, connection: Connection) -> None:
        """Raise what stands in the way of a step now."""
        await self.look(connection)
        if self._young_ms:
            raise too_young(self._young_ms)

    def lose(self, epoch: Epoch) -> None:
        """Look again before the next step: the server said that it is another epoch."""
        if epoch == self._epoch:
            self._seen_on = None

    def remember(self, name: str, record: bytes, per_ms: int | None = None) -> None:
        """Keep what a counter stands at."""
        if per_ms is None:
            per_ms = self._counters.get(name, (b"", 0))[1]
        self._counters[name] = record, per_ms
        if len(self._counters) > self._forget_above:
            self._forget()
            self._forget_above = max(_FORGET_ABOVE, 2 * len(self._counters))

    async def _look(self, connection: Connection) -> None:
        for _ in range(3):
            time_ms = self._clock.time_us() // 1_000
            arguments = (time_ms, self._epoch.number, self._names.signals)
            match await LOOK.run(connection, (self._names.epoch,), *arguments):
                case [bytes(record), int(young_ms), int(ahead_ms)]:
                    pass
                case _:
                    raise away("answered what makes no sense; check state.url")
            self._ahead_ms = ahead_ms
            if not record:
                raise skewed(ahead_ms)
            if record == self._epoch.record or await self._enter(connection, record, young_ms):
                self._seen_on, self._young_ms = connection, young_ms
                if abs(ahead_ms) > LONGEST_LEAD_MS:
                    raise skewed(ahead_ms)
                return
        raise away("loses its memory again and again; look at why it restarts or is flushed")

    async def _enter(self, connection: Connection, record: bytes, young_ms: int) -> bool:
        """Begin to believe in a new epoch; False when it is over already."""
        epoch = Epoch(record, record.partition(b" ")[0])
        self._forget()
        counters = [(name, last) for name, (last, _) in self._counters.items()]
        for begin in range(0, len(counters), _BATCH):
            batch = counters[begin : begin + _BATCH]
            keys = (self._names.epoch, *(self._names.counter(name) for name, _ in batch))
            records = (last for _, last in batch)
            if await REMEMBER.run(connection, keys, *epoch, *records) != 1:
                return False
        if self._epoch.record:
            self.changes += 1
            _log.warning(
                "the shared state was restarted, moved or flushed",
                no_nonces_for_ms=young_ms,
                counters_put_back=len(counters),
            )
        self._epoch = epoch
        return True

    def _forget(self) -> None:
        """Drop what a new epoch covers by itself.

        In an epoch that is new to a counter, all counts as given that lies less than
        LONGEST_LEAD_MS ahead of the epoch's begin by the server's clock, which is now or later.
        """
        server_ms = self._clock.time_us() // 1_000 - self._ahead_ms
        covered_ms = server_ms - _LONGEST_STEP_MS
        self._counters = {
            name: (record, per_ms)
            for name, (record, per_ms) in self._counters.items()
            if per_ms == 0 or _highest(record) > covered_ms * per_ms
        }


def _highest(record: bytes) -> int:
    last, given, _, _, _, skip_to, *_ = (int(number) for number in record.split())
    return max(last, given, skip_to)


def skewed(ahead_ms: int) -> ClockSkewed:
    """Return the error for a clock that is off by so much."""
    direction = "ahead of" if ahead_ms > 0 else "behind"
    return ClockSkewed(
        f"this server's clock is {abs(ahead_ms)} ms {direction} the shared state's (Valkey's "
        f"TIME), and more than {LONGEST_LEAD_MS} ms lets nonces go wrong: check NTP on both hosts",
        metadata={"differenceMs": str(ahead_ms)},
        retry_after_ms=1_000,
    )


def too_young(young_ms: int) -> StateUnavailable:
    """Return the error for the first seconds of an epoch."""
    return StateUnavailable(
        "the shared state (Valkey) has just begun, restarted, failed over or been flushed; "
        f"nonces are given again in {young_ms} ms, when none can come twice",
        retry_after_ms=young_ms,
    )
