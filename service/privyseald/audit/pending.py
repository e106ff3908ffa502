"""Lines that are not written yet, and who waits for them."""

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

_WITHHELD = b'"withheld":true,'


@dataclass(slots=True)
class Waiter:
    """Waits until its lines are written. `answered` becomes False where that took too long."""

    answered: asyncio.Future[bool]
    left: int
    since_ms: int

    @property
    def is_over(self) -> bool:
        """Whether nobody waits any more."""
        return self.answered.done()

    def give_up(self) -> None:
        """Let the answer be withheld."""
        if not self.answered.done():
            self.answered.set_result(False)


# The body of a line, and who waits for it, if anybody does.
Item = tuple[bytes, Waiter | None]


class Pending:
    """A bounded queue. Lines count until they are released, also while they are written."""

    def __init__(self, most_lines: int, most_bytes: int) -> None:
        self._most_lines, self._most_bytes = most_lines, most_bytes
        self._items: deque[Item] = deque()
        self._lines = self._bytes = 0

    def __len__(self) -> int:
        return len(self._items)

    @property
    def lines(self) -> int:
        """How many lines wait or are being written."""
        return self._lines

    @property
    def size(self) -> int:
        """How many bytes these have."""
        return self._bytes

    def has_room(self, lines: int, size: int) -> bool:
        """Whether so much more fits."""
        return self._lines + lines <= self._most_lines and self._bytes + size <= self._most_bytes

    @property
    def is_half_full(self) -> bool:
        """Whether no new work should be begun."""
        return self._lines * 2 > self._most_lines or self._bytes * 2 > self._most_bytes

    def put(self, bodies: Sequence[bytes], waiter: Waiter | None) -> None:
        """Take lines that belong together."""
        for body in bodies:
            self._items.append((body, waiter))
            self._bytes += len(body)
        self._lines += len(bodies)

    def put_first(self, items: Iterable[Item]) -> None:
        """Take lines that come before all others."""
        for item in reversed(list(items)):
            self._items.appendleft(item)
            self._lines += 1
            self._bytes += len(item[0])

    def take(self, size: int) -> Iterator[Item]:
        """Yield lines from the front, until they have about so many bytes.

        A line of whom nobody waits for any more says so itself.
        """
        while self._items and size > 0:
            body, waiter = self._items.popleft()
            if waiter is not None and waiter.is_over:
                marked = _WITHHELD + body
                self._bytes += len(_WITHHELD)
                body, waiter = marked, None
            size -= len(body)
            yield body, waiter

    def restore(self, items: Iterable[Item]) -> None:
        """Take back what could not be written; nobody waits for it any more."""
        for body, waiter in reversed(list(items)):
            if waiter is not None:
                waiter.give_up()
            self._items.appendleft((body, waiter))

    def release(self, items: Iterable[Item]) -> None:
        """Count lines no more: they are written."""
        for body, _ in items:
            self._lines -= 1
            self._bytes -= len(body)

    def waiters(self) -> Iterator[Waiter]:
        """Yield who waits, the longest first."""
        for _, waiter in self._items:
            if waiter is not None:
                yield waiter
