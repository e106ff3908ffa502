"""Whether a server can sign: what is looked at, and what was found."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import structlog

from privyseald.audit.log import AuditLog
from privyseald.clock import Clock
from privyseald.errors import AuditUnavailable, PrivysealError, Unavailable
from privyseald.secretstore.store import SecretStore
from privyseald.state.state import State

OK = "ok"
_UNKNOWN = "unknown"
_PAUSE_S = 2.0
# A restart or a fail-over of the state is shorter; callers are told to try again meanwhile.
_STATE_AWAY_MS = 15_000
_log = structlog.get_logger("privyseald")

Tell = Callable[[bool], Awaitable[None]]


class Readiness:
    """Looks every two seconds. `checks` has what was found: `ok`, or the reason why not."""

    def __init__(
        self,
        store: SecretStore,
        state: State,
        audit: AuditLog,
        clock: Clock,
        *,
        longest_stale_ms: int,
    ) -> None:
        """Take what is looked at, and for how long keys may be used while the store is away."""
        self._store = store
        self._state = state
        self._audit = audit
        self._clock = clock
        self._longest_stale_ms = max(longest_stale_ms, 1)
        self._is_ready = False
        self._store_ok_ms: int | None = None
        self._state_ok_ms: int | None = None
        self._found = {"secret_store": _UNKNOWN, "state": _UNKNOWN}

    @property
    def checks(self) -> Mapping[str, str]:
        """What was found, by what was looked at."""
        audit = OK if self._audit.is_writable else AuditUnavailable.reason
        return {**self._found, "audit_log": audit}

    async def run(self, tell: Tell, each: Callable[[], None]) -> None:
        """Tell when it changes, and call `each` every time, until cancelled.

        Ready from the first time that store and state answer, until the store refuses this
        service, or has been away for so long that no cached key may be used any more; and not
        while the audit log can't be written, or the state is away for more than a moment: then
        whether a hold is in force can't be known, and nothing is signed.
        """
        while True:
            is_ready = await self._look()
            if is_ready != self._is_ready:
                self._is_ready = is_ready
                await tell(is_ready)
                _log.info("ready" if is_ready else "not ready")
            each()
            await asyncio.sleep(_PAUSE_S)

    async def _look(self) -> bool:
        now_ms = self._clock.monotonic_ms()
        store = await _failure(self._store.check)
        self._found["secret_store"] = store.reason if store else OK
        if store is None:
            self._store_ok_ms = now_ms
        else:
            if self._is_ready or self._store_ok_ms is None:
                _log.warning("secret store away", reason=store.reason, advice=store.message)
            if not isinstance(store, Unavailable):
                self._store_ok_ms = None
        state = await _failure(self._state.check)
        self._found["state"] = state.reason if state else OK
        if state is None:
            self._state_ok_ms = now_ms
        return (
            self._store_ok_ms is not None
            and self._state_ok_ms is not None
            and now_ms - self._state_ok_ms <= _STATE_AWAY_MS
            and now_ms - self._store_ok_ms <= self._longest_stale_ms
            and self._audit.is_writable
        )


async def _failure(check: Callable[[], Awaitable[None]]) -> PrivysealError | None:
    """Return what a check raises."""
    try:
        await check()
    except PrivysealError as error:
        return error
    return None
