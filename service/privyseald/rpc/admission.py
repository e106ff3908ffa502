"""How many RPCs are under way at once: of all callers, and of each. A fifth of the places is for
what is urgent, so that a flood of orders keeps no cancel out.

Nobody waits here. Who finds no place is told so at once, and when to try again.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from google.protobuf.message import Message

from privyseald.caller import Caller
from privyseald.errors import Overloaded
from privyseald.rpc.priority import Priority, places_of

_RETRY_MS = 100


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is taken on: RPCs at once, those of one caller, bytes of a request."""

    concurrent_rpcs: int = 1_000
    rpcs_per_caller: int = 500
    message_bytes: int = 1_048_576


class Admission:
    """Gives places to RPCs. One that finds nothing under way goes in, however much it takes."""

    def __init__(self, bounds: Bounds, priority: Priority) -> None:
        self._bounds = bounds
        self._priority = priority
        self._taken = 0
        self._of_callers: Counter[str] = Counter()
        # For those who watch: RPCs that found no place, urgent ones and others.
        self.shed = {"urgent": 0, "normal": 0}

    @property
    def taken(self) -> int:
        """The places that are taken now."""
        return self._taken

    @property
    def most(self) -> int:
        """How many places there are."""
        return self._bounds.concurrent_rpcs

    @contextmanager
    def enter(self, procedure: str, caller: Caller, request: Message) -> Iterator[None]:
        """Hold the places that a request takes. Raises Overloaded."""
        places, name = places_of(request), caller.name
        self._check(procedure, name, request, places)
        self._taken += places
        self._of_callers[name] += places
        try:
            yield
        finally:
            self._taken -= places
            self._of_callers[name] -= places
            if not self._of_callers[name]:
                del self._of_callers[name]

    def _check(self, procedure: str, caller: str, request: Message, places: int) -> None:
        bounds, taken = self._bounds, self._of_callers[caller]
        shares = (
            (self._taken, bounds.concurrent_rpcs, ""),
            (taken, bounds.rpcs_per_caller, " of one caller"),
        )
        for used, bound, whose in shares:
            # Told only where it matters: a look at each request of a batch takes its time.
            if not used or used + places <= _orders_share(bound):
                continue
            if not self._priority.is_urgent(procedure, request):
                self.shed["normal"] += 1
                raise _overloaded(whose, _orders_share(bound))
            if used + places > bound:
                self.shed["urgent"] += 1
                raise _overloaded(whose, bound)


def _orders_share(bound: int) -> int:
    return max(bound * 4 // 5, 1)


def _overloaded(whose: str, bound: int) -> Overloaded:
    return Overloaded(
        f"this server takes no more than {bound} RPCs of this kind{whose} at once, and they are "
        "under way; nothing was begun: try again soon, here or at another server",
        retry_after_ms=_RETRY_MS,
    )
