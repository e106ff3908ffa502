"""What a store has just said of a key that it would not open, remembered for a moment."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from privyseald.clock import Clock
from privyseald.errors import KeyUnknown, PrivysealError, SecretStoreForbidden, Unavailable

_UNKNOWN_MS = 5_000
_OTHER_MS = 1_000
_MOST = 1_024


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What was said; not the exception, whose frames hold what was sent."""

    kind: type[PrivysealError]
    message: str
    metadata: Mapping[str, str]
    tells_delay: bool
    until_ms: int


class Verdicts:
    """So that asking again and again for what can't be had does not reach the store each time.

    Bounded: of made-up key ids the oldest are forgotten first.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._verdicts: OrderedDict[str, _Verdict] = OrderedDict()

    def keep(self, key_id: str, error: PrivysealError) -> None:
        """Remember what was said, if it is of the kind that is said again."""
        match error:
            case KeyUnknown():
                span_ms = _UNKNOWN_MS
            case SecretStoreForbidden() | Unavailable():
                span_ms = _OTHER_MS
            case _:
                return
        self._verdicts[key_id] = _Verdict(
            type(error),
            error.message,
            error.metadata,
            error.retry_after_ms is not None,
            self._clock.monotonic_ms() + span_ms,
        )
        self._verdicts.move_to_end(key_id)
        if len(self._verdicts) > _MOST:
            self._verdicts.popitem(last=False)

    def check(self, key_id: str) -> None:
        """Raise again what was said of the key a moment ago."""
        verdict = self._verdicts.get(key_id)
        if verdict is None:
            return
        left_ms = verdict.until_ms - self._clock.monotonic_ms()
        if left_ms <= 0:
            return
        raise verdict.kind(
            verdict.message,
            metadata=verdict.metadata,
            retry_after_ms=left_ms if verdict.tells_delay else None,
        )

    def is_store_away(self, key_id: str) -> bool:
        """Whether the store was away when it was last asked for the key, however long ago."""
        verdict = self._verdicts.get(key_id)
        return verdict is not None and issubclass(verdict.kind, Unavailable)

    def forget(self, key_id: str) -> None:
        """Ask the store the next time."""
        self._verdicts.pop(key_id, None)

    def __len__(self) -> int:
        return len(self._verdicts)
