"""Opening a session at a key's venue, for whoever wants one."""

from collections.abc import Callable, Mapping

from privyseald.calls import Calls
from privyseald.errors import LoginUnsupported
from privyseald.holds.holds import Holds
from privyseald.nonces import NonceSource
from privyseald.outbound.guarded import GuardedOutbound
from privyseald.outbound.outbound import Outbound
from privyseald.sessions.sessions import Sessions
from privyseald.usecases.open_key import OpenedKey
from privyseald.venues.kinds import check_options
from privyseald.venues.registry import opens_sessions
from privyseald.venues.venue import Session, SessionVenue

# The option that answers a venue which wants a second factor.
_CODE = "two_factor_code"


class OpenSession:
    """Asks the venue, once for all who want a session at the same time, while no hold stops the
    key.
    """

    def __init__(
        self,
        holds: Holds,
        nonces: NonceSource,
        sessions: Sessions,
        outbound: Outbound,
        calls: Calls,
    ) -> None:
        """Take the way to venues, and what hears of each login."""
        self._holds = holds
        self._nonces = nonces
        self._sessions = sessions
        self._outbound = outbound
        self._calls = calls

    async def __call__(
        self,
        opened: OpenedKey,
        options: Mapping[str, str],
        *,
        force: bool = False,
        instead_of: int | None = None,
        on_ask: Callable[[], None] = lambda: None,
    ) -> Session:
        """Return the key's session; `on_ask` hears when it is this call that asks the venue.

        Raises as `Sessions.login`, and LoginUnsupported.
        """
        venue, credential = session_venue(opened), opened.credential
        check_options(options, venue.login_options, "options")
        nonce_policy = venue.login_nonce_policy(credential)

        def check_holds() -> None:
            self._holds.check_key(credential.key.key_id, venue.name)

        outbound = GuardedOutbound(self._outbound, check_holds)
        check_holds()

        async def log_in() -> Session:
            on_ask()
            moment = await self._nonces.reserve(credential.key, nonce_policy)
            with self._calls.call(venue.name, "login"):
                session = await venue.login(
                    credential, opened.environment, moment, options, outbound
                )
            return session.shifted(-moment.offset_ms)

        return await self._sessions.login(
            credential.key,
            log_in,
            force=force,
            instead_of=instead_of,
            has_code=bool(options.get(_CODE)),
        )


def session_venue(opened: OpenedKey) -> SessionVenue:
    """Return the key's venue as one that logs in. Raises LoginUnsupported."""
    venue = opened.venue
    if not opens_sessions(venue):
        raise LoginUnsupported(
            f"{venue.name} has no sessions; its requests are signed one by one with Sign",
            metadata={"venue": venue.name},
        )
    return venue
