"""What this server asks of others (Vault, venues, the state): how often, how it ended, how long
it took.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType

from privyseald.clock import Clock
from privyseald.durations import Durations
from privyseald.errors import PrivysealError
from privyseald.tracer import Tracer

_OK = "ok"


def outcome_of(error: BaseException) -> str:
    """Return what is counted for an error: its reason, never its text."""
    if isinstance(error, PrivysealError):
        return error.reason
    return "cancelled" if isinstance(error, asyncio.CancelledError) else "error"


class Calls:
    """Counts calls by labels, which are few and known before; and traces them.

    `outcomes` has the outcome behind the labels: `ok`, or what `name_outcome` says of an error.
    """

    def __init__(
        self,
        kind: str,
        clock: Clock,
        tracer: Tracer | None = None,
        name_outcome: Callable[[BaseException], str] = outcome_of,
    ) -> None:
        self.kind = kind
        self.outcomes: Counter[tuple[str, ...]] = Counter()
        self.durations: defaultdict[tuple[str, ...], Durations] = defaultdict(Durations)
        self._clock = clock
        self._tracer = tracer
        self._name_outcome = name_outcome

    def call(self, *labels: str) -> AbstractContextManager[None]:
        """Count what happens in the block."""
        return _Call(self, labels)

    def begin(self, labels: tuple[str, ...]) -> tuple[int, AbstractContextManager[None] | None]:
        """Return when a call began, in microseconds, and its span."""
        span: AbstractContextManager[None] | None = None
        if self._tracer is not None:
            span = self._tracer.call(" ".join((self.kind, *labels)))
            span.__enter__()
        return self._clock.monotonic_us(), span

    def end(
        self,
        labels: tuple[str, ...],
        begun: tuple[int, AbstractContextManager[None] | None],
        error: BaseException | None,
    ) -> None:
        """Count a call that has ended."""
        began_us, span = begun
        self.durations[labels].add(self._clock.monotonic_us() - began_us)
        outcome = _OK if error is None else self._name_outcome(error)
        self.outcomes[*labels, outcome] += 1
        if span is not None and self._tracer is not None:
            if error is not None:
                self._tracer.tell(outcome=outcome)
            span.__exit__(None, None, None)


class _Call:
    """A context manager by hand: one made of a generator takes twice as long."""

    __slots__ = ("_begun", "_calls", "_labels")

    def __init__(self, calls: Calls, labels: tuple[str, ...]) -> None:
        self._calls = calls
        self._labels = labels

    def __enter__(self) -> None:
        self._begun = self._calls.begin(self._labels)

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._calls.end(self._labels, self._begun, error)
