"""The port of what replicas share: counters, values, and signals about them."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

# Scripts of Valkey and Redis count in doubles, which are exact up to here.
HIGHEST = 2**53 - 1
# No counter that follows a clock may run further ahead of it. A state that has lost its memory
# gives nothing for as long, so that what it gives then was never given before.
LONGEST_LEAD_MS = 5_000


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a counter, all but `time_ms` in the counter's own unit.

    `floor` is where the clock stands and `ceiling` what may not be passed. After a crash the
    next value may be up to `slack` too high. A step longer than `gap` begins a new run, which
    is what a resync can undo. `time_ms` is the wall clock of the process that asks, and
    `per_ms` how many units make a millisecond of it; 0 where `floor` follows no clock.
    """

    floor: int
    ceiling: int
    slack: int
    gap: int
    time_ms: int
    per_ms: int = 0


@dataclass(frozen=True, slots=True)
class Value:
    """What stands under a name. Each write has a higher version than all before it."""

    data: bytes = field(repr=False)
    version: int


@dataclass(frozen=True, slots=True)
class Charge:
    """What is to be spent under a name, where at most `limit` may be in any `window_ms`.

    All numbers are at most HIGHEST. A name has one window for ever; its limit may change.
    """

    name: str
    amount: int
    limit: int
    window_ms: int


@dataclass(frozen=True, slots=True)
class Shortage:
    """The charge that there is no room for (of several, the one that waits longest), and after
    how long it is worth trying again: at most its window.
    """

    charge: Charge
    wait_ms: int


class State(Protocol):
    """Small atomic steps on named things. An adapter makes each one atomic for all its users.

    A name is any text of 1 to 1,000 bytes in UTF-8; no character of it means anything, but that
    a list is quickest by a prefix with a slash. Counters and values have names of their own.
    Every method raises StateUnavailable when the state can't be read or written, or is closed.
    """

    async def advance(self, name: str, step: Step) -> int:
        """Return the counter's next value, and set the counter to it (see `Counter`).

        Where it is above `ceiling`, which is at most HIGHEST, the counter stays as it is. Else
        the answer was never given before, not even before a crash. Raises ClockSkewed.
        """

    async def resync(self, name: str, target: int) -> tuple[int, int]:
        """Bring the counter to `target`, as far as no value can be given twice. Return where it
        stood before and where it stands now.
        """

    async def get(self, name: str) -> Value | None:
        """Return what stands there, None where nothing does (any more)."""

    async def put(
        self, name: str, data: bytes, *, version: int | None = None, ttl_ms: int | None = None
    ) -> int | None:
        """Write, and return the new version; None, and nothing written, where another than
        `version` stands there. Version 0 stands for nothing; None takes whatever there is.
        """

    async def delete(self, name: str, *, version: int | None = None) -> bool:
        """Remove what stands there; False, and nothing removed, as for `put`."""

    async def list(self, prefix: str) -> Mapping[str, Value]:
        """Return all values whose names begin so: for prefixes of few names."""

    async def spend(self, charges: Sequence[Charge], *, look: bool = False) -> Shortage | None:
        """Spend all charges, each under another name, and return None; or nothing of them, and
        return what is short. Who only looks spends nothing either way.

        What was spent counts until it has certainly left the window: never is more than the
        limit spent in one, and for up to a sixtieth of it longer than it must be, there is less.
        Names are no counters' and no values'. A state that lost its memory has nothing spent.
        """

    async def signal(self, name: str) -> None:
        """Tell all who listen, in every process, that something about `name` changed."""

    def signals(self) -> AbstractAsyncContextManager[AsyncIterator[str]]:
        """Listen to the names that are signalled from now on; an empty one when some may have
        been missed. A hint, never a promise: who must know also looks now and then.
        """

    async def check(self) -> None:
        """Return when the state works now; raise what stands in the way."""

    async def close(self) -> None:
        """Write down what is not written yet, and let go. A second time changes nothing."""
