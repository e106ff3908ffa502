"""Venue sessions: one login for all who ask at once, and none that could lock an account."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from privyseald.clock import Clock
from privyseald.errors import LoginBackingOff, VenueAccountLocked, VenueRefused
from privyseald.key import Key
from privyseald.venues.venue import Session

# A token this close to its end could die on its way to the venue.
_MARGIN_MS = 10_000
# For a venue that tells no life span.
_UNKNOWN_LIFE_MS = 1_800_000
_FIRST_BACKOFF_MS = 30_000
_LAST_BACKOFF_MS = 3_600_000


@dataclass(slots=True)
class _Refusal:
    error: VenueRefused
    backoff_ms: int
    until_ms: int


class Sessions:
    """The current session of each key, in this process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sessions: dict[str, tuple[int, Session]] = {}
        self._logins: dict[str, asyncio.Task[Session]] = {}
        self._refusals: dict[str, _Refusal] = {}

    def current(self, key: Key) -> Session | None:
        """Return the key's session, None when there is none that will last a moment longer."""
        version, session = self._sessions.get(key.key_id, (0, None))
        if session is None or version != key.version:
            return None
        end = session.expire_time_ms or session.create_time_ms + _UNKNOWN_LIFE_MS
        if self._clock.time_us() // 1_000 >= end - _MARGIN_MS:
            del self._sessions[key.key_id]
            return None
        return session

    async def login(
        self, key: Key, log_in: Callable[[], Awaitable[Session]], *, force: bool
    ) -> Session:
        """Return the current session, or what `log_in` returns; one call for all who wait.

        After a refusal the venue is left alone: 30 s at first, doubling to an hour. `force`
        does not shorten that. Raises LoginBackingOff, VenueAccountLocked, and what `log_in`
        raises.
        """
        under_way = self._logins.get(key.key_id)
        if under_way is None:
            session = self.current(key)
            if session is not None and not force:
                return session
            self._check_backoff(key)
            under_way = asyncio.ensure_future(self._log_in(key, log_in))
            self._logins[key.key_id] = under_way
            under_way.add_done_callback(lambda done: self._finish(key.key_id, done))
        return await asyncio.shield(under_way)

    def drop(self, key_id: str) -> Session | None:
        """Forget the key's session and return it."""
        return self._sessions.pop(key_id, (0, None))[1]

    async def _log_in(self, key: Key, log_in: Callable[[], Awaitable[Session]]) -> Session:
        try:
            session = await log_in()
        except VenueRefused as error:
            self._back_off(key.key_id, error)
            raise
        self._refusals.pop(key.key_id, None)
        self._sessions[key.key_id] = (key.version, session)
        return session

    def _finish(self, key_id: str, done: "asyncio.Task[Session]") -> None:
        self._logins.pop(key_id, None)
        if not done.cancelled():
            # Marks the exception as seen when every caller went away.
            done.exception()

    def _back_off(self, key_id: str, error: VenueRefused) -> None:
        before = self._refusals.get(key_id)
        backoff_ms = min(before.backoff_ms * 2, _LAST_BACKOFF_MS) if before else _FIRST_BACKOFF_MS
        if isinstance(error, VenueAccountLocked):
            backoff_ms = _LAST_BACKOFF_MS
        until_ms = self._clock.monotonic_ms() + backoff_ms
        self._refusals[key_id] = _Refusal(error, backoff_ms, until_ms)
        error.retry_after_ms = backoff_ms

    def _check_backoff(self, key: Key) -> None:
        refusal = self._refusals.get(key.key_id)
        if refusal is None:
            return
        left_ms = refusal.until_ms - self._clock.monotonic_ms()
        if left_ms <= 0:
            return
        if isinstance(refusal.error, VenueAccountLocked):
            raise VenueAccountLocked(
                refusal.error.message, metadata=refusal.error.metadata, retry_after_ms=left_ms
            )
        raise LoginBackingOff(
            f"the venue refused the last login of {key.name}; asking again could lock the "
            f"account, so wait {-(-left_ms // 1_000)} s. It said: {refusal.error.message}",
            metadata={"key": key.name, "refusal": refusal.error.reason},
            retry_after_ms=left_ms,
        )
