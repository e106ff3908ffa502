"""Values of one process, by name, each until its time is over."""

import heapq
from collections import OrderedDict, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from privyseald.state.state import Value

# What a value takes beside its content, about.
_ENTRY_BYTES = 512


@dataclass(frozen=True, slots=True)
class Entry:
    """A value, and in monotonic milliseconds when its time is over; None for never."""

    value: Value
    end_ms: int | None

    def is_over(self, now_ms: int) -> bool:
        """Whether it counts no more."""
        return self.end_ms is not None and self.end_ms <= now_ms


class Memory:
    """Entries by name. Those that end are bounded by `capacity_bytes`, which `sweep` enforces."""

    def __init__(self, *, capacity_bytes: int) -> None:
        self._capacity_bytes = capacity_bytes
        self._entries: dict[str, Entry] = {}
        # By what stands before the first slash: so that a list looks at few names.
        self._names: defaultdict[str, set[str]] = defaultdict(set)
        # Those that end: the oldest first, and by when they end. The heap also holds what was
        # replaced since.
        self._ending: OrderedDict[str, int] = OrderedDict()
        self._ends: list[tuple[int, int, str]] = []
        self._bytes = 0

    def find(self, name: str) -> Entry | None:
        """Return what was written last, also when its time is over."""
        return self._entries.get(name)

    def get(self, name: str, now_ms: int) -> Value | None:
        """Return what stands there."""
        entry = self._entries.get(name)
        return None if entry is None or entry.is_over(now_ms) else entry.value

    def under(self, prefix: str, now_ms: int) -> Mapping[str, Value]:
        """Return all values whose names begin so, in the order of their names."""
        shelf, slash, _ = prefix.partition("/")
        shelves = [shelf] if slash else [each for each in self._names if each.startswith(shelf)]
        found = {
            name: self.get(name, now_ms)
            for each in shelves
            for name in self._names.get(each, ())
            if name.startswith(prefix)
        }
        return {name: value for name, value in sorted(found.items()) if value is not None}

    def set(self, name: str, entry: Entry) -> None:
        """Write."""
        self.remove(name)
        self._entries[name] = entry
        self._names[name.partition("/")[0]].add(name)
        if entry.end_ms is not None:
            self._ending[name] = size = _ENTRY_BYTES + len(name) + len(entry.value.data)
            self._bytes += size
            heapq.heappush(self._ends, (entry.end_ms, entry.value.version, name))

    def remove(self, name: str) -> None:
        """Forget."""
        if self._entries.pop(name, None) is None:
            return
        shelf = name.partition("/")[0]
        self._names[shelf].discard(name)
        if not self._names[shelf]:
            del self._names[shelf]
        self._bytes -= self._ending.pop(name, 0)

    def sweep(self, now_ms: int) -> list[int]:
        """Remove what is over, and the oldest of what ends where there is too much of that.
        Return the versions that were removed.
        """
        gone = []
        while self._ends and self._ends[0][0] <= now_ms:
            _, version, name = heapq.heappop(self._ends)
            if self._is_current(name, version):
                gone.append(version)
                self.remove(name)
        while self._bytes > self._capacity_bytes and len(self._ending) > 1:
            name = next(iter(self._ending))
            gone.append(self._entries[name].value.version)
            self.remove(name)
        if len(self._ends) > 2 * len(self._ending) + 1_000:
            self._ends = [each for each in self._ends if self._is_current(each[2], each[1])]
            heapq.heapify(self._ends)
        return gone

    @property
    def is_ending(self) -> bool:
        """Whether there is anything that a later sweep may remove."""
        return bool(self._ending)

    def _is_current(self, name: str, version: int) -> bool:
        entry = self._entries.get(name)
        return entry is not None and entry.value.version == version
