"""What this server asks of others (Vault, venues, the state): how often, how it ended, how long
it took.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from types import TracebackType

from privyseald.clock import Clock
from privyseald.durations import Durations
from privyseald.errors import PrivysealError
from privyseald.tracer import Tracer


def outcome_of(error: BaseException) -> str:
    """Return what is counted for an error: its reason, never its text."""
    if isinstance(error, PrivysealError):
        return error.reason
    return "cancelled" if isinstance(error, asyncio.CancelledError) else "error"


class Outcomes:
    """How the calls of one kind ended. `done` is for each one that worked."""

    __slots__ = ("done", "durations", "failed")

    def __init__(self) -> None:
        self.done = 0
        self.failed: Counter[str] = Counter()
        self.durations = Durations()


class Calls:
    """Counts calls by labels, which are few and known before; and traces them, where there is a
    `tracer`. A failure is counted by what `name_outcome` makes of it.
    """

    def __init__(
        self,
        kind: str,
        clock: Clock,
        tracer: Tracer | None = None,
        name_outcome: Callable[[BaseException], str] = outcome_of,
    ) -> None:
        self.kind = kind
        self.clock = clock
        self.tracer = tracer
        self._name_outcome = name_outcome
        self._outcomes: dict[tuple[str, ...], Outcomes] = {}

    def of(self, *labels: str) -> Outcomes:
        """Return how the calls with these labels ended so far."""
        outcomes = self._outcomes.get(labels)
        if outcomes is None:
            outcomes = self._outcomes[labels] = Outcomes()
        return outcomes

    def items(self) -> Iterator[tuple[tuple[str, ...], Outcomes]]:
        """Yield what there was, by labels."""
        yield from self._outcomes.items()

    def call(self, *labels: str) -> AbstractContextManager[None]:
        """Count what happens in the block."""
        return _Call(self, labels)

    def fail(self, outcomes: Outcomes, error: BaseException) -> str:
        """Count a failure, and return what it is called."""
        outcome = self._name_outcome(error)
        outcomes.failed[outcome] += 1
        return outcome


class _Call:
    """A context manager by hand: one made of a generator takes twice as long."""

    __slots__ = ("_began_us", "_calls", "_outcomes", "_span")

    def __init__(self, calls: Calls, labels: tuple[str, ...]) -> None:
        self._calls = calls
        self._outcomes = calls.of(*labels)
        self._span: AbstractContextManager[None] | None = None
        if calls.tracer is not None:
            self._span = calls.tracer.call(" ".join((calls.kind, *labels)))

    def __enter__(self) -> None:
        if self._span is not None:
            self._span.__enter__()
        self._began_us = self._calls.clock.monotonic_us()

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        calls, outcomes = self._calls, self._outcomes
        outcomes.durations.add(calls.clock.monotonic_us() - self._began_us)
        outcome = ""
        if error is None:
            outcomes.done += 1
        else:
            outcome = calls.fail(outcomes, error)
        if self._span is not None and calls.tracer is not None:
            if outcome:
                calls.tracer.tell(outcome=outcome)
            self._span.__exit__(None, None, None)
