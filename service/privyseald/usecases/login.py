"""Login: the key's current session at its venue, opened where there is none."""

from collections.abc import Mapping

from privyseald.audit.entry import Entry
from privyseald.caller import Caller
from privyseald.holds.holds import Holds
from privyseald.key import Key
from privyseald.policy.action import Action
from privyseald.policy.policy import Policy
from privyseald.usecases.open_key import OpenedKey, OpenKey
from privyseald.usecases.open_session import OpenSession, session_venue
from privyseald.venues.venue import Session


class Login:
    """Logs in once for all who ask at the same time, at whatever server."""

    def __init__(
        self, policy: Policy, holds: Holds, open_key: OpenKey, open_session: OpenSession
    ) -> None:
        self._policy = policy
        self._holds = holds
        self._open_key = open_key
        self._open_session = open_session

    async def __call__(
        self,
        caller: Caller,
        key_id: str,
        options: Mapping[str, str],
        entry: Entry,
        *,
        force: bool = False,
    ) -> tuple[Key, Session]:
        """Return the key and its session. Raises LoginUnsupported, VenueRefused, Unavailable…."""
        opened = await self.admit(caller, key_id, entry)
        session = await self._open_session(opened, options, force=force)
        self._holds.check(caller, key_id, opened.venue.name)
        return opened.credential.key, session

    async def admit(self, caller: Caller, key_id: str, entry: Entry) -> OpenedKey:
        """Return the key, if the caller may have its session now. Raises PolicyDenied,
        KeyDisabled, LoginUnsupported….
        """
        entry.rule = self._policy.admit(caller, Action.LOGIN, key_id)
        self._holds.check(caller, key_id)
        opened = await self._open_key(key_id)
        key = opened.credential.key
        entry.venue, entry.key_version = key.venue, key.version
        entry.rule = self._policy.check(caller, Action.LOGIN, key_id, key)
        self._holds.check(caller, key_id, key.venue)
        session_venue(opened)
        return opened
