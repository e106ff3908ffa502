"""How RPCs end: what those who watch want to know. Plain numbers, because each RPC counts."""

from collections import Counter
from collections.abc import Iterable, Iterator

from privyseald.audit.entry import Entry
from privyseald.durations import Durations
from privyseald.errors import LimitExceeded, PolicyDenied

UNKNOWN = "unknown"


class Ended:
    """How the RPCs of one name ended. Each comes here, so it is cheap where all went well."""

    __slots__ = ("done", "durations", "failed")

    def __init__(self) -> None:
        self.done = 0
        # By gRPC code and reason.
        self.failed: Counter[tuple[str, str]] = Counter()
        self.durations = Durations()

    def end(self, code: str, reason: str, duration_us: int) -> None:
        """Count one that has ended."""
        self.durations.add(duration_us)
        if code == "OK":
            self.done += 1
        else:
            self.failed[code, reason] += 1


class RpcCounts:
    """Counts by names of the contract, codes, reasons, and the policy file's rules: never by what
    a caller chose.
    """

    def __init__(self) -> None:
        self._ended: dict[str, Ended] = {}
        self._unknown = 0
        # By code and reason.
        self.parts: Counter[tuple[str, str]] = Counter()
        # By rule.
        self.denied: Counter[str] = Counter()
        self.limited: Counter[str] = Counter()

    def of(self, rpc: str) -> Ended:
        """Return how the RPCs of a name of the contract ended."""
        return self._ended.setdefault(rpc, Ended())

    def end_unknown(self) -> None:
        """Count an RPC that the contract does not have."""
        self._unknown += 1

    def ended(self) -> Iterator[tuple[tuple[str, str, str], int]]:
        """Yield how many RPCs ended, by name, gRPC code and reason."""
        for rpc, ended in self._ended.items():
            if ended.done:
                yield (rpc, "OK", ""), ended.done
            for (code, reason), count in ended.failed.items():
                yield (rpc, code, reason), count
        if self._unknown:
            yield (UNKNOWN, "UNIMPLEMENTED", ""), self._unknown

    def durations(self) -> Iterator[tuple[str, Durations]]:
        """Yield how long they took, by name; not of those that never came."""
        for rpc, ended in self._ended.items():
            if ended.done or ended.failed:
                yield rpc, ended.durations

    def note(self, entry: Entry, parts: Iterable[Entry]) -> None:
        """Count what the audit lines of an RPC say of rules, and of the parts of a batch."""
        if entry.reason:
            self._refused(entry)
        for part in parts:
            self.parts[part.code, part.reason] += 1
            if part.reason:
                self._refused(part)

    def _refused(self, entry: Entry) -> None:
        if entry.reason == PolicyDenied.reason:
            self.denied[entry.rule] += 1
        elif entry.reason == LimitExceeded.reason:
            self.limited[entry.rule] += 1
