"""Looking after keys: get, list, disable, enable, delete."""

import structlog

from privyseald.audit.entry import Entry
from privyseald.caller import Caller
from privyseald.errors import PrivysealError, Unavailable
from privyseald.key import Key, KeyState
from privyseald.policy.action import Action
from privyseald.policy.policy import Policy
from privyseald.secretstore.cache import KeyCache
from privyseald.secretstore.store import KeyPage, SecretStore
from privyseald.sessions.sessions import Sessions
from privyseald.usecases.open_key import OpenedKey
from privyseald.usecases.permit import permit

_log = structlog.get_logger("privyseald.keys")


class Keys:
    """The custodian's verbs. A change takes effect here at once: cache and session go."""

    def __init__(
        self,
        policy: Policy,
        store: SecretStore,
        cache: KeyCache[OpenedKey],
        sessions: Sessions,
    ) -> None:
        self._policy = policy
        self._store = store
        self._cache = cache
        self._sessions = sessions

    async def get(self, caller: Caller, key_id: str, entry: Entry) -> Key:
        """Return a key's public facts. Raises KeyUnknown."""
        self._policy.admit(caller, Action.READ_KEY, key_id)
        key = await self._store.get(key_id)
        entry.rule = self._policy.check(caller, Action.READ_KEY, key_id, key)
        return key

    async def list(self, caller: Caller, after: str, limit: int) -> KeyPage:
        """Return up to `limit` keys behind `after` that the caller may read."""
        found: list[Key] = []
        while True:
            page = await self._store.list(after, limit)
            for key in page.keys:
                if self._policy.allows(caller, Action.READ_KEY, key.key_id, key):
                    found.append(key)
                    if len(found) == limit:
                        more = page.next_after or page.keys[-1].key_id != key.key_id
                        return KeyPage(tuple(found), key.key_id if more else "")
            if not page.next_after:
                return KeyPage(tuple(found), "")
            after = page.next_after

    async def disable(self, caller: Caller, key_id: str, entry: Entry) -> Key:
        """Stop a key from being used. Raises KeyUnknown, KeyCreating."""
        entry.rule = await self._permit(caller, Action.DISABLE_KEY, key_id)
        return await self._set_state(key_id, KeyState.DISABLED, entry)

    async def enable(self, caller: Caller, key_id: str, entry: Entry) -> Key:
        """Let a disabled key be used again, and its account be logged in to after a refusal.
        Raises KeyUnknown, KeyCreating.
        """
        entry.rule = await self._permit(caller, Action.ENABLE_KEY, key_id)
        key = await self._set_state(key_id, KeyState.ENABLED, entry)
        # While it was disabled no session was used; the one from before must not come back.
        await self._sessions.drop(key_id, may_reopen=True)
        try:
            opened = await self._cache.open(key_id)
        except PrivysealError:
            # The account as the store tells it; a server of custodians may not read keys.
            await self._sessions.pardon(key)
        else:
            await self._sessions.pardon(opened.credential.key)
        return key

    async def delete(self, caller: Caller, key_id: str, entry: Entry) -> None:
        """Remove a key for good. Raises KeyUnknown."""
        entry.rule = await self._permit(caller, Action.DELETE_KEY, key_id)
        try:
            await self._store.delete(key_id)
        finally:
            await self._forget(key_id)

    async def _permit(self, caller: Caller, action: Action, key_id: str) -> str:
        return await permit(self._policy, self._store, caller, action, key_id)

    async def _set_state(self, key_id: str, state: KeyState, entry: Entry) -> Key:
        try:
            key = await self._store.set_state(key_id, state)
        finally:
            await self._forget(key_id)
        entry.venue, entry.key_version = key.venue, key.version
        return key

    async def _forget(self, key_id: str) -> None:
        """Let go of the key, also where the store failed: the change may have landed there."""
        self._cache.forget(key_id)
        try:
            await self._sessions.drop(key_id)
        except Unavailable as error:
            # Nobody uses the session of a key that is disabled or gone.
            _log.warning("session not dropped", key=f"keys/{key_id}", advice=error.message)
