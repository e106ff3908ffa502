"""What a new hold ends at this server, beside refusing: opened keys and sessions go."""

import asyncio
from contextlib import suppress

from privyseald.errors import Unavailable
from privyseald.holds.hold import Hold, ScopeKind
from privyseald.secretstore.cache import KeyCache
from privyseald.sessions.sessions import Sessions
from privyseald.usecases.open_key import OpenedKey


class PurgeHeld:
    """Lets go of the keys that a hold stops, and of their sessions at all servers."""

    def __init__(self, cache: KeyCache[OpenedKey], sessions: Sessions) -> None:
        self._cache = cache
        self._sessions = sessions
        self._drops: set[asyncio.Task[None]] = set()

    def __call__(self, hold: Hold) -> None:
        """Drop the keys now, and the sessions as soon as the state takes that."""
        kind, name = hold.scope.kind, hold.scope.name
        keys, sessions = [name], [name]
        if kind is ScopeKind.CALLER:
            return
        if kind is not ScopeKind.KEY:
            is_all = kind is ScopeKind.ALL
            keys = self._cache.key_ids(lambda opened: is_all or opened.venue.name == name)
            sessions = [each for each in self._sessions.key_ids() if is_all or each in keys]
        for key_id in keys:
            self._cache.forget(key_id)
        for key_id in sessions:
            drop = asyncio.ensure_future(self._drop(key_id))
            self._drops.add(drop)
            drop.add_done_callback(self._drops.discard)

    async def settle(self) -> None:
        """Wait until all is dropped: for an orderly end."""
        await asyncio.gather(*self._drops)

    async def _drop(self, key_id: str) -> None:
        # Where the state is away the session stays; the hold keeps everybody from it.
        with suppress(Unavailable):
            await self._sessions.drop(key_id)
