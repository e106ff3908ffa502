"""What one side knows of holds: those in force, and those that were lifted.

Two sides are merged by taking all that either knows; who knows that a hold was lifted is right.
So whatever a state forgets, the servers put back, in any order, and end with the same.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from pydantic import TypeAdapter

from privyseald.errors import HoldUnknown, Overloaded, RequestIdReused
from privyseald.holds.hold import Hold

_MAX_HOLDS = 1_000
# A server that was away for longer than so many lifts may bring a lifted hold back.
_MAX_LIFTED = 256


@dataclass(frozen=True, slots=True)
class KnownHolds:
    """The holds by their ids, in the order in which they began, and when others were lifted."""

    holds: Mapping[str, Hold] = field(default_factory=dict)
    lifted_ms: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of_json(cls, data: bytes) -> "KnownHolds":
        """Return what `to_json` wrote. Raises ValueError."""
        known = _ADAPTER.validate_json(data)
        if any(hold_id != hold.hold_id for hold_id, hold in known.holds.items()):
            raise ValueError("a hold stands under another's id")
        return known

    def to_json(self) -> bytes:
        """Return all of it; the same for the same."""
        return _ADAPTER.dump_json(self)

    def merged(self, other: "KnownHolds") -> "KnownHolds":
        """Return what both sides know together."""
        if self == other:
            return self
        lifted = _latest({**self.lifted_ms, **other.lifted_ms})
        gone = self.lifted_ms.keys() | other.lifted_ms.keys()
        holds = {**self.holds, **other.holds}
        standing = (hold for hold in holds.values() if hold.hold_id not in gone)
        return KnownHolds(_in_order(standing), lifted)

    def with_hold(self, hold: Hold) -> "KnownHolds":
        """Return these with one more, or as they are where it is among them already.

        Raises RequestIdReused where something else stands, or stood, under its id.
        """
        before = self.holds.get(hold.hold_id)
        if before is not None and replace(before, create_time_ms=hold.create_time_ms) == hold:
            return self
        if before is not None:
            raise RequestIdReused(
                "request_id", f"was used for {before.name}, which stops something else"
            )
        if hold.hold_id in self.lifted_ms:
            raise RequestIdReused(
                "request_id", f"was used for {hold.name}, which was lifted; use a new UUID"
            )
        if len(self.holds) >= _MAX_HOLDS:
            raise Overloaded(
                f"{_MAX_HOLDS} holds are in force; stop a venue, a caller or all instead, "
                "or lift what is not needed any more"
            )
        return replace(self, holds=_in_order((*self.holds.values(), hold)))

    def without(self, hold_id: str, time_ms: int) -> "KnownHolds":
        """Return these without one. Raises HoldUnknown."""
        if hold_id not in self.holds:
            raise HoldUnknown(
                "it was lifted already"
                if hold_id in self.lifted_ms
                else "there is no such hold; 'privyseal hold list' shows those in force",
                metadata={"hold": f"holds/{hold_id}"},
            )
        holds = {each: hold for each, hold in self.holds.items() if each != hold_id}
        return KnownHolds(holds, _latest({**self.lifted_ms, hold_id: time_ms}))


def _in_order(holds: Iterable[Hold]) -> dict[str, Hold]:
    return {
        hold.hold_id: hold
        for hold in sorted(holds, key=lambda hold: (hold.create_time_ms, hold.hold_id))
    }


def _latest(lifted_ms: Mapping[str, int]) -> dict[str, int]:
    """Return those that were lifted last: the same ones, whoever counts."""
    newest_first = sorted(
        ((time_ms, hold_id) for hold_id, time_ms in lifted_ms.items()), reverse=True
    )
    return {hold_id: time_ms for time_ms, hold_id in reversed(newest_first[:_MAX_LIFTED])}


_ADAPTER = TypeAdapter(KnownHolds)
