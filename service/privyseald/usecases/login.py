"""Login: the key's current session at its venue, opened where there is none."""

from collections.abc import Mapping

from privyseald.audit.entry import Entry
from privyseald.caller import Caller
from privyseald.errors import LoginUnsupported
from privyseald.key import Key
from privyseald.nonces import NonceSource
from privyseald.outbound.outbound import Outbound
from privyseald.policy.action import Action
from privyseald.policy.policy import Policy
from privyseald.sessions import Sessions
from privyseald.usecases.open_key import OpenedKey, OpenKey
from privyseald.venues.kinds import check_options
from privyseald.venues.registry import opens_sessions
from privyseald.venues.venue import Session, SessionVenue


class Login:
    """Logs in once for all who ask at the same time."""

    def __init__(
        self,
        policy: Policy,
        open_key: OpenKey,
        nonces: NonceSource,
        sessions: Sessions,
        outbound: Outbound,
    ) -> None:
        self._policy = policy
        self._open_key = open_key
        self._nonces = nonces
        self._sessions = sessions
        self._outbound = outbound

    async def __call__(
        self,
        caller: Caller,
        key_id: str,
        options: Mapping[str, str],
        entry: Entry,
        *,
        force: bool,
    ) -> tuple[Key, Session]:
        """Return the key and its session. Raises LoginUnsupported, VenueRefused, Unavailable…."""
        entry.rule = self._policy.check(caller, Action.LOGIN, key_id)
        opened = await self._open_key(key_id)
        key = opened.credential.key
        entry.venue, entry.key_version = key.venue, key.version
        venue = session_venue(opened)
        check_options(options, venue.login_options, "options")
        nonce_policy = venue.login_nonce_policy(opened.credential)

        async def log_in() -> Session:
            moment = await self._nonces.reserve(key, nonce_policy)
            session = await venue.login(
                opened.credential, opened.environment, moment, options, self._outbound
            )
            return session.shifted(-moment.offset_ms)

        return key, await self._sessions.login(key, log_in, force=force)


def session_venue(opened: OpenedKey) -> SessionVenue:
    """Return the key's venue as one that logs in. Raises LoginUnsupported."""
    venue = opened.venue
    if not opens_sessions(venue):
        raise LoginUnsupported(
            f"{venue.name} has no sessions; its requests are signed one by one with Sign",
            metadata={"venue": venue.name},
        )
    return venue
