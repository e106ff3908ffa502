"""The kill switch: create, list and delete holds."""

import hashlib
import secrets
from dataclasses import dataclass

from privyseald.audit.entry import Entry
from privyseald.caller import Caller
from privyseald.clock import Clock
from privyseald.holds.hold import Hold, Scope, ScopeKind, clean_cause
from privyseald.holds.shared_holds import SharedHolds
from privyseald.idempotency.request_id import canonical_id
from privyseald.policy.action import Action
from privyseald.policy.policy import EVERY_KEY, Policy
from privyseald.venues.registry import Venues

_ID_BYTES = 5


@dataclass(frozen=True, slots=True)
class HoldPage:
    """Some holds. `next_after` is empty on the last page."""

    holds: tuple[Hold, ...]
    next_after: str


class KillSwitch:
    """Stops and lifts. Whom a hold concerns is decided by the rules for its key, or for all keys
    where it stops a venue, a caller or all.
    """

    def __init__(self, policy: Policy, venues: Venues, holds: SharedHolds, clock: Clock) -> None:
        self._policy = policy
        self._venues = venues
        self._holds = holds
        self._clock = clock

    async def create(
        self, caller: Caller, scope: Scope, cause: str, request_id: str, entry: Entry
    ) -> Hold:
        """Put a hold in force; one for one request id. A key need not exist, a venue must.

        Raises VenueUnknown, RequestIdReused, Overloaded, StateUnavailable.
        """
        entry.rule = self._policy.check(caller, Action.CREATE_HOLD, _ruled_by(scope))
        if scope.kind is ScopeKind.VENUE:
            self._venues.get(scope.name)
        hold = Hold(
            hold_id=_id_of(caller, request_id),
            scope=scope,
            cause=clean_cause(cause),
            creator=caller.name,
            create_time_ms=self._clock.time_us() // 1_000,
        )
        _tell(entry, hold)
        return await self._holds.create(hold)

    async def list(self, caller: Caller, after: str, limit: int) -> HoldPage:
        """Return up to `limit` holds behind `after`, by their ids, of those that the caller may
        read. Raises PolicyDenied where that is never any, so that nobody takes it for none.
        """
        if not self._policy.allows_any(caller, Action.READ_HOLD):
            self._policy.check(caller, Action.READ_HOLD, EVERY_KEY)
        known = await self._holds.refresh()
        readable = [
            hold
            for hold_id, hold in sorted(known.holds.items())
            if hold_id > after
            and self._policy.allows(caller, Action.READ_HOLD, _ruled_by(hold.scope))
        ]
        page = tuple(readable[:limit])
        return HoldPage(page, page[-1].hold_id if len(readable) > limit else "")

    async def delete(self, caller: Caller, hold_id: str, entry: Entry) -> None:
        """Lift a hold. Raises PolicyDenied; HoldUnknown to those alone who may lift any hold."""
        key_id = EVERY_KEY
        if self._policy.allows_any(caller, Action.DELETE_HOLD):
            hold = (await self._holds.refresh()).holds.get(hold_id)
            if hold is not None:
                _tell(entry, hold)
                if self._policy.allows(caller, Action.DELETE_HOLD, _ruled_by(hold.scope)):
                    key_id = _ruled_by(hold.scope)
        entry.rule = self._policy.check(caller, Action.DELETE_HOLD, key_id)
        await self._holds.delete(hold_id)


def _ruled_by(scope: Scope) -> str:
    return scope.name if scope.kind is ScopeKind.KEY else EVERY_KEY


def _id_of(caller: Caller, request_id: str) -> str:
    """Return the same id for the same request, so that a retry finds the first at any server."""
    if not request_id:
        return secrets.token_hex(_ID_BYTES)
    request = f"{canonical_id(request_id)} {caller.name}"
    return hashlib.sha256(request.encode()).hexdigest()[: 2 * _ID_BYTES]


def _tell(entry: Entry, hold: Hold) -> None:
    """Let the audit line say what was stopped or lifted."""
    entry.operation = f"{hold.name} {hold.scope}"
    if hold.scope.kind is ScopeKind.KEY:
        entry.key = f"keys/{hold.scope.name}"
    elif hold.scope.kind is ScopeKind.VENUE:
        entry.venue = hold.scope.name
