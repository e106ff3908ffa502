"""Names in the shared state about which something changed, told from server to server."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from privyseald.errors import Unavailable
from privyseald.sessions.watchers import Watchers
from privyseald.state.state import State

_PAUSE_S = 0.5


class News:
    """Tells and hears. All of it are hints: who must know also looks now and then."""

    def __init__(self, state: State) -> None:
        self.watchers = Watchers()
        self._state = state

    async def tell(self, name: str) -> None:
        """Tell this server's watchers now, and the other servers."""
        self.watchers.ring(name)
        with suppress(Unavailable):
            await self._state.signal(name)

    async def hear(self, learn: Callable[[str], Awaitable[None]]) -> None:
        """Have `learn` called with each name, and its watchers rung then, until cancelled. The
        name is empty where some may have been missed.
        """
        while True:
            with suppress(Unavailable):
                async with self._state.signals() as names:
                    await self._pass_on("", learn)
                    async for name in names:
                        await self._pass_on(name, learn)
            await asyncio.sleep(_PAUSE_S)

    async def _pass_on(self, name: str, learn: Callable[[str], Awaitable[None]]) -> None:
        await learn(name)
        if name:
            self.watchers.ring(name)
        else:
            self.watchers.ring_all()
