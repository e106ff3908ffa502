"""How late the event loop comes to what is due: what each request waits for, too."""

import asyncio
from typing import NoReturn

from privyseald.clock import Clock
from privyseald.durations import Durations

_PAUSE_US = 100_000


class LoopLag:
    """Looks ten times a second."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.durations = Durations()

    async def run(self) -> NoReturn:
        """Look until cancelled."""
        while True:
            due_us = self._clock.monotonic_us() + _PAUSE_US
            await asyncio.sleep(_PAUSE_US / 1_000_000)
            self.durations.add(max(self._clock.monotonic_us() - due_us, 0))
