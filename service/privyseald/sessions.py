"""Venue sessions: one login for all who ask at once, and none that could lock an account."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from privyseald.clock import Clock
from privyseald.errors import (
    LoginBackingOff,
    VenueAccountLocked,
    VenueOutcomeUnknown,
    VenueRefused,
)
from privyseald.key import Key
from privyseald.venues.venue import Session

# A token this close to its end could die on its way to the venue.
_MARGIN_MS = 10_000
# For a venue that tells no life span.
_UNKNOWN_LIFE_MS = 1_800_000
_FIRST_BACKOFF_MS = 30_000
_FIRST_UNKNOWN_BACKOFF_MS = 5_000
_LAST_BACKOFF_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class _Opened:
    """A session, and the key that it was opened with: a successor of its id has another."""

    key: Key
    session: Session
    until_ms: int


@dataclass(frozen=True, slots=True)
class _LogIn:
    key: Key
    task: asyncio.Task[Session]


@dataclass(frozen=True, slots=True)
class _Refusal:
    """What the venue said; not the exception, whose frames hold what was sent."""

    kind: type[VenueRefused] | type[VenueOutcomeUnknown]
    message: str
    metadata: Mapping[str, str]
    backoff_ms: int
    until_ms: int


class Sessions:
    """The current session of each key, in this process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._opened: dict[str, _Opened] = {}
        self._logins: dict[str, _LogIn] = {}
        self._refusals: dict[tuple[str, str, str], _Refusal] = {}

    def current(self, key: Key) -> Session | None:
        """Return the key's session, None when there is none that will last a moment longer."""
        opened = self._opened.get(key.key_id)
        if opened is None or not _is_same(opened.key, key):
            return None
        # Both clocks: the wall clock may be set back, the other one may stand still in a sleep.
        ends = self._clock.monotonic_ms() >= opened.until_ms
        if ends or self._clock.time_us() // 1_000 >= _end_ms(opened.session):
            del self._opened[key.key_id]
            return None
        return opened.session

    async def login(
        self, key: Key, log_in: Callable[[], Awaitable[Session]], *, force: bool
    ) -> Session:
        """Return the current session, or what `log_in` returns; one call for all who wait.

        After a refusal the venue is left alone: 30 s at first, doubling to an hour; after an
        outcome that is not known, 5 s at first. `force` does not shorten that.
        Raises LoginBackingOff, VenueAccountLocked, and what `log_in` raises.
        """
        under_way = self._logins.get(key.key_id)
        if under_way is None or not _is_same(under_way.key, key):
            session = self.current(key)
            if session is not None and not force:
                return session
            self._check_backoff(key)
            under_way = _LogIn(key, asyncio.ensure_future(self._log_in(key, log_in)))
            self._logins[key.key_id] = under_way
            under_way.task.add_done_callback(lambda done: self._finish(key.key_id, done))
        return await asyncio.shield(under_way.task)

    def drop(self, key_id: str) -> Session | None:
        """Forget the key's session and return it. A login under way is not kept."""
        self._logins.pop(key_id, None)
        opened = self._opened.pop(key_id, None)
        return opened.session if opened else None

    async def _log_in(self, key: Key, log_in: Callable[[], Awaitable[Session]]) -> Session:
        this = asyncio.current_task()
        try:
            session = await log_in()
        except VenueRefused as error:
            self._back_off(key, error, _FIRST_BACKOFF_MS)
            raise
        except VenueOutcomeUnknown as error:
            # It may have been one more failed login in the venue's eyes.
            self._back_off(key, error, _FIRST_UNKNOWN_BACKOFF_MS)
            raise
        self._refusals.pop(_account(key), None)
        under_way = self._logins.get(key.key_id)
        if under_way is not None and under_way.task is this:
            life_ms = _end_ms(session) - self._clock.time_us() // 1_000
            until_ms = self._clock.monotonic_ms() + life_ms
            self._opened[key.key_id] = _Opened(key, session, until_ms)
        return session

    def _finish(self, key_id: str, done: "asyncio.Task[Session]") -> None:
        under_way = self._logins.get(key_id)
        if under_way is not None and under_way.task is done:
            del self._logins[key_id]
        if not done.cancelled():
            # Marks the exception as seen when every caller went away.
            done.exception()

    def _back_off(self, key: Key, error: VenueRefused | VenueOutcomeUnknown, first_ms: int) -> None:
        before = self._refusals.get(_account(key))
        backoff_ms = max(first_ms, before.backoff_ms * 2 if before else 0)
        backoff_ms = min(backoff_ms, _LAST_BACKOFF_MS)
        if isinstance(error, VenueAccountLocked):
            backoff_ms = _LAST_BACKOFF_MS
        # What the venue itself asks for may be longer.
        error.retry_after_ms = max(backoff_ms, error.retry_after_ms or 0)
        until_ms = self._clock.monotonic_ms() + error.retry_after_ms
        self._refusals[_account(key)] = _Refusal(
            type(error), error.message, error.metadata, backoff_ms, until_ms
        )

    def _check_backoff(self, key: Key) -> None:
        refusal = self._refusals.get(_account(key))
        if refusal is None:
            return
        left_ms = refusal.until_ms - self._clock.monotonic_ms()
        if left_ms <= 0:
            return
        if issubclass(refusal.kind, VenueAccountLocked | VenueOutcomeUnknown):
            raise refusal.kind(refusal.message, metadata=refusal.metadata, retry_after_ms=left_ms)
        raise LoginBackingOff(
            f"the venue refused the last login of {key.name}; asking again could lock the "
            f"account, so wait {-(-left_ms // 1_000)} s. It said: {refusal.message}",
            metadata={"key": key.name, "refusal": refusal.kind.reason},
            retry_after_ms=left_ms,
        )


def _end_ms(session: Session) -> int:
    end_ms = session.expire_time_ms or session.create_time_ms + _UNKNOWN_LIFE_MS
    return end_ms - _MARGIN_MS


def _is_same(one: Key, other: Key) -> bool:
    """Whether no other credential came to stand under the key's id."""
    return one.version == other.version and one.create_time_ms == other.create_time_ms


def _account(key: Key) -> tuple[str, str, str]:
    """Return whom the venue would lock: two key ids may hold one API key."""
    return key.venue, key.environment, key.public_id or key.key_id
