"""What the shared state holds of a key's session: the session and its key, or that it was dropped.

Life spans are told by the session alone, as the time between its opening and its end: no two
servers need agree on the time of day.
"""

from dataclasses import dataclass

from pydantic import TypeAdapter

from privyseald.key import Key
from privyseald.venues.venue import Session

# A token this close to its end could die on its way to the venue.
_MARGIN_MS = 10_000
# For a venue that tells no life span.
_UNKNOWN_LIFE_MS = 1_800_000
# What the names of sessions in the state begin with.
SESSIONS = "session/"


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """A session, and the key that it was opened with: a successor of its id has another."""

    key_version: int
    key_create_time_ms: int
    session: Session

    @property
    def life_ms(self) -> int:
        """How long the venue takes the session, from its opening."""
        if self.session.expire_time_ms is None:
            return _UNKNOWN_LIFE_MS
        return self.session.expire_time_ms - self.session.create_time_ms

    @property
    def usable_ms(self) -> int:
        """How long it is given out: ten seconds less, or a tenth of a short life."""
        return self.life_ms - min(_MARGIN_MS, self.life_ms // 10)

    def belongs_to(self, key: Key) -> bool:
        """Whether no other credential came to stand under the key's id."""
        return self._credential == (key.create_time_ms, key.version)

    def belongs_to_later(self, key: Key) -> bool:
        """Whether it was opened with a credential that came after this one."""
        return self._credential > (key.create_time_ms, key.version)

    @property
    def _credential(self) -> tuple[int, int]:
        return self.key_create_time_ms, self.key_version


@dataclass(frozen=True, slots=True)
class Standing:
    """What stands under a key's name. `may_reopen` says whether those who watch may have a
    session opened where there is none: not after a logout.
    """

    record: SessionRecord | None = None
    may_reopen: bool = True

    @classmethod
    def of_json(cls, data: bytes) -> "Standing":
        """Return what `to_json` wrote; nothing for what no server of this release wrote."""
        try:
            return _ADAPTER.validate_json(data)
        except ValueError:
            return Standing()

    def to_json(self) -> bytes:
        """Return it as it goes, sealed, into the state."""
        return _ADAPTER.dump_json(self)


_ADAPTER = TypeAdapter(Standing)


def session_name(key_id: str) -> str:
    """Return the name in the state."""
    return SESSIONS + key_id


def key_id_in(name: str) -> str | None:
    """Return the key id of a name that `session_name` made; None for any other name."""
    return name.removeprefix(SESSIONS) if name.startswith(SESSIONS) else None
