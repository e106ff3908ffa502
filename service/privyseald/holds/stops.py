"""The holds in force, in a form that answers at once whether one of them stops something."""

from collections.abc import Iterable

from privyseald.errors import Held
from privyseald.holds.hold import Hold, ScopeKind


class Stops:
    """Holds by what they stop; of several on the same the first counts."""

    def __init__(self, holds: Iterable[Hold] = ()) -> None:
        by_scope: dict[ScopeKind, dict[str, Hold]] = {kind: {} for kind in ScopeKind}
        for hold in holds:
            by_scope[hold.scope.kind].setdefault(hold.scope.name, hold)
        self._keys = by_scope[ScopeKind.KEY]
        self._venues = by_scope[ScopeKind.VENUE]
        self._callers = by_scope[ScopeKind.CALLER]
        self._all = by_scope[ScopeKind.ALL].get("")

    def on_caller(self, caller: str) -> Held | None:
        """Return why the caller may do nothing, None where it may."""
        hold = self._callers.get(caller)
        return None if hold is None else hold.refusal()

    def on_key(self, key_id: str, venue: str) -> Held | None:
        """Return why the key may not be used, None where it may."""
        hold = self._all or self._keys.get(key_id) or self._venues.get(venue)
        return None if hold is None else hold.refusal(key_id)
