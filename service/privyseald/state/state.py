"""The port of what replicas share."""

from typing import Protocol

# Scripts of Valkey and Redis count in doubles, which are exact up to here.
HIGHEST = 2**53 - 1


class State(Protocol):
    """Small atomic steps on named values. An adapter makes each one atomic for all its users.

    Every method raises StateUnavailable when the state can't be read or written.
    """

    async def advance(self, name: str, floor: int, ceiling: int, slack: int) -> int:
        """Return `max(floor, last + 1)`, and set the counter `name` to it.

        Where it is above `ceiling`, which is at most HIGHEST, the counter stays as it is. Else
        the answer was never given before, not even before a crash. After a crash the next one
        may be up to `slack` above what it had to be.
        """

    async def close(self) -> None:
        """Write down what is not written yet, and let go. A second time changes nothing."""
