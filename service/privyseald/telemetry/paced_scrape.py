"""Scrapes at a measured pace: a storm of them costs those who sign no more than a few."""

import asyncio
from collections.abc import Awaitable, Callable

from privyseald.clock import Clock

_PAUSE_MS = 50


class PacedScrape:
    """Makes what a scrape gets; 50 ms later again at the earliest. Who asks meanwhile waits, and
    all who wait get the same: nobody gets what was made before he asked.
    """

    def __init__(self, make: Callable[[], Awaitable[bytes]], clock: Clock) -> None:
        self._make = make
        self._clock = clock
        self._turn = asyncio.Lock()
        self._free_ms = 0
        self._next: asyncio.Task[bytes] | None = None

    async def text(self) -> bytes:
        """Return what the next scrape finds. Raises what making it raises."""
        if self._next is None:
            self._next = asyncio.create_task(self._make_next())
            # It may fail when all have gone who waited for it.
            self._next.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(self._next)

    async def _make_next(self) -> bytes:
        async with self._turn:
            wait_ms = self._free_ms - self._clock.monotonic_ms()
            # A clock of tests may stand still.
            await asyncio.sleep(min(max(wait_ms, 0), _PAUSE_MS) / 1_000)
            self._next = None
            try:
                return await self._make()
            finally:
                self._free_ms = self._clock.monotonic_ms() + _PAUSE_MS
