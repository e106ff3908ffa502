"""Logout: the end of the key's session, here and at its venue."""

from privyseald.audit.entry import Entry
from privyseald.caller import Caller
from privyseald.calls import Calls
from privyseald.outbound.outbound import Outbound
from privyseald.policy.action import Action
from privyseald.policy.policy import Policy
from privyseald.sessions.sessions import Sessions
from privyseald.usecases.open_key import OpenKey
from privyseald.usecases.open_session import session_venue


class Logout:
    """Forgets the session first, so that it is not used again whatever the venue says."""

    def __init__(
        self,
        policy: Policy,
        open_key: OpenKey,
        sessions: Sessions,
        outbound: Outbound,
        calls: Calls,
    ) -> None:
        """Take the way to venues, and what hears of each logout there."""
        self._policy = policy
        self._open_key = open_key
        self._sessions = sessions
        self._outbound = outbound
        self._calls = calls

    async def __call__(self, caller: Caller, key_id: str, entry: Entry) -> None:
        """End the session, if there is one. Raises LoginUnsupported, VenueRefused, Unavailable…."""
        entry.rule = self._policy.admit(caller, Action.LOGIN, key_id)
        opened = await self._open_key(key_id)
        key = opened.credential.key
        entry.venue, entry.key_version = key.venue, key.version
        entry.rule = self._policy.check(caller, Action.LOGIN, key_id, key)
        venue = session_venue(opened)
        session = await self._sessions.drop(key_id)
        if session is not None:
            with self._calls.call(venue.name, "logout"):
                await venue.logout(opened.credential, opened.environment, session, self._outbound)
