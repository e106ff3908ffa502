"""What a new hold ends at this server, beside refusing: opened keys and sessions go."""

import asyncio
from contextlib import suppress

from privyseald.errors import PrivysealError, Unavailable
from privyseald.holds.hold import Hold, Scope, ScopeKind
from privyseald.secretstore.cache import KeyCache
from privyseald.secretstore.store import SecretStore
from privyseald.sessions.sessions import Sessions
from privyseald.usecases.open_key import OpenedKey


class PurgeHeld:
    """Lets go of the keys that a hold stops, and of their sessions at all servers."""

    def __init__(self, store: SecretStore, cache: KeyCache[OpenedKey], sessions: Sessions) -> None:
        self._store = store
        self._cache = cache
        self._sessions = sessions
        self._drops: set[asyncio.Task[None]] = set()

    def __call__(self, hold: Hold) -> None:
        """Drop the keys now, and the sessions as soon as the state takes that."""
        if hold.scope.kind is ScopeKind.CALLER:
            return
        drop = asyncio.ensure_future(self._drop(hold.scope, self._forget(hold.scope)))
        self._drops.add(drop)
        drop.add_done_callback(self._drops.discard)

    async def settle(self) -> None:
        """Wait until all is dropped: for an orderly end."""
        await asyncio.gather(*self._drops)

    def _forget(self, scope: Scope) -> set[str]:
        """Let go of opened keys, and return which are known to be concerned."""
        keys = {scope.name}
        if scope.kind is not ScopeKind.KEY:
            is_all = scope.kind is ScopeKind.ALL
            keys = set(
                self._cache.key_ids(lambda opened: is_all or opened.venue.name == scope.name)
            )
        for key_id in keys:
            self._cache.forget(key_id)
        return keys

    async def _drop(self, scope: Scope, concerned: set[str]) -> None:
        # Where the state is away sessions stay; the hold keeps everybody from them.
        with suppress(Unavailable):
            if scope.kind is not ScopeKind.KEY:
                known = await self._sessions.every_key_id()
                concerned |= {
                    key_id
                    for key_id in known
                    if key_id not in concerned and await self._is_at(key_id, scope)
                }
        for key_id in concerned:
            with suppress(Unavailable):
                await self._sessions.drop(key_id)

    async def _is_at(self, key_id: str, scope: Scope) -> bool:
        """Whether the scope concerns a key that has a session, and is not opened here."""
        if scope.kind is ScopeKind.ALL:
            return True
        try:
            return (await self._store.get(key_id)).venue == scope.name
        except PrivysealError:
            # A session too many that is opened anew costs less than one that lives on.
            return True
