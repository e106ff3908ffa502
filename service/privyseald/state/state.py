"""The port of what replicas share."""

from typing import Protocol


class State(Protocol):
    """Small atomic steps on named values. An adapter makes each one atomic for all its users.

    Every method raises StateUnavailable when the state can't be read or written.
    """

    async def advance(self, name: str, floor: int, slack: int) -> int:
        """Set the counter `name` to `max(floor, last + 1)` and return it.

        The answer was never returned before, not even before a crash. After a crash the
        next one may be up to `slack` above what it had to be.
        """

    async def last(self, name: str) -> int:
        """Return the counter's value, 0 when it never advanced."""

    async def close(self) -> None:
        """Write down what is not written yet, and let go."""
