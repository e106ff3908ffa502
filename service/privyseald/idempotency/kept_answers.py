"""First answers in this process's memory: the oldest leave it when it is full."""

from collections import OrderedDict
from dataclasses import dataclass, field

from privyseald.clock import Clock
from privyseald.idempotency.first_answers import TTL_MS, FirstAnswer

# What an answer takes beside its content, about.
_ENTRY_BYTES = 1_024


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """An answer, and the request that it is the answer to."""

    fingerprint: bytes
    answer: object = field(repr=False)
    size: int
    expire_ms: int


class KeptAnswers:
    """Answers by name, each until its ten minutes are over or `capacity_bytes` are spent."""

    def __init__(self, clock: Clock, capacity_bytes: int) -> None:
        self._clock = clock
        self._capacity_bytes = capacity_bytes
        self._bytes = 0
        # The first that came stands first.
        self._kept: OrderedDict[str, KeptAnswer] = OrderedDict()

    def find(self, name: str) -> KeptAnswer | None:
        """Return what is kept under a name."""
        self._forget()
        kept = self._kept.get(name)
        if kept is None or kept.expire_ms <= self._clock.monotonic_ms():
            return None
        return kept

    def keep(self, name: str, fingerprint: bytes, first: FirstAnswer[object]) -> None:
        """Keep an answer until its ten minutes are over, also one that was made elsewhere."""
        age_ms = max(0, self._clock.time_us() // 1_000 - first.time_ms)
        expire_ms = self._clock.monotonic_ms() + TTL_MS - age_ms
        size = _ENTRY_BYTES + first.size
        self._drop(name)
        self._kept[name] = KeptAnswer(fingerprint, first.answer, size, expire_ms)
        self._bytes += size
        self._forget()

    def _forget(self) -> None:
        now_ms = self._clock.monotonic_ms()
        while self._kept:
            name, kept = next(iter(self._kept.items()))
            if kept.expire_ms > now_ms and self._bytes <= self._capacity_bytes:
                return
            self._drop(name)

    def _drop(self, name: str) -> None:
        dropped = self._kept.pop(name, None)
        if dropped is not None:
            self._bytes -= dropped.size
