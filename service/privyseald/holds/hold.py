"""A hold: a stop on a key, a venue, a caller or all."""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from privyseald.errors import FieldInvalid, Held

_MAX_CAUSE = 256


class ScopeKind(StrEnum):
    """What can be stopped."""

    KEY = "key"
    VENUE = "venue"
    CALLER = "caller"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Scope:
    """What is stopped: a key id, a venue or a caller by `name`, or all without one."""

    kind: ScopeKind
    name: str = ""

    def __str__(self) -> str:
        """Return the scope as people read it."""
        if self.kind is ScopeKind.KEY:
            return f"keys/{self.name}"
        return f"{self.kind} {self.name}" if self.name else "all keys"


@dataclass(frozen=True, slots=True)
class Hold:
    """Who stopped what, when and why."""

    hold_id: str
    scope: Scope
    cause: str
    creator: str
    create_time_ms: int

    @property
    def name(self) -> str:
        """The resource name, `holds/{hold_id}`."""
        return f"holds/{self.hold_id}"

    def told(self) -> dict[str, str]:
        """Return what the log says of it."""
        return {
            "hold": self.name,
            "scope": str(self.scope),
            "cause": self.cause,
            "creator": self.creator,
        }

    def refusal(self, key_id: str = "") -> Held:
        """Return what a caller hears who wants to use the key, or anything where none is named."""
        began = datetime.fromtimestamp(self.create_time_ms // 1_000, UTC).isoformat()
        metadata = {"hold": self.name, "cause": self.cause}
        if key_id:
            metadata["key"] = f"keys/{key_id}"
        if self.scope.kind is ScopeKind.CALLER:
            metadata["caller"] = self.scope.name
        return Held(
            f"{self.scope} {'are' if self.scope.kind is ScopeKind.ALL else 'is'} stopped by "
            f"{self.name} since {began.replace('+00:00', 'Z')}: {self.cause}. Whoever may "
            f"'delete-hold' lifts it with 'privyseal hold delete {self.hold_id}'",
            metadata=metadata,
        )


def clean_cause(text: str) -> str:
    """Return an operator's words as one printable line. Raises FieldInvalid."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    if not line:
        raise FieldInvalid("hold.cause", "is empty; say why, for those who read it at night")
    if len(line) > _MAX_CAUSE:
        raise FieldInvalid("hold.cause", f"has {len(line)} characters; at most {_MAX_CAUSE}")
    return line
