"""How RPCs end: what those who watch want to know. Plain numbers, because each RPC counts."""

from collections import Counter, defaultdict
from collections.abc import Iterable

from privyseald.audit.entry import Entry
from privyseald.durations import Durations
from privyseald.errors import LimitExceeded, PolicyDenied

UNKNOWN = "unknown"


class RpcCounts:
    """Counts by names of the contract, codes, reasons, and the policy file's rules: never by what
    a caller chose.
    """

    def __init__(self) -> None:
        # By RPC, gRPC code and reason.
        self.ended: Counter[tuple[str, str, str]] = Counter()
        self.durations: defaultdict[str, Durations] = defaultdict(Durations)
        # By code and reason.
        self.parts: Counter[tuple[str, str]] = Counter()
        # By rule.
        self.denied: Counter[str] = Counter()
        self.limited: Counter[str] = Counter()

    def end(self, rpc: str, code: str, reason: str, duration_us: int) -> None:
        """Count an RPC that has ended."""
        self.ended[rpc, code, reason] += 1
        self.durations[rpc].add(duration_us)

    def end_unknown(self) -> None:
        """Count an RPC that the contract does not have."""
        self.ended[UNKNOWN, "UNIMPLEMENTED", ""] += 1

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
