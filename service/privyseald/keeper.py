"""Keeps the work going that a server does by itself, for as long as it lives."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextvars import Context

import structlog

from privyseald.clock import Clock
from privyseald.unforeseen import new_error_id, trace_of

_FIRST_PAUSE_MS = 100
_LONGEST_PAUSE_MS = 30_000
_GOOD_LIFE_MS = 60_000
_log = structlog.get_logger("privyseald.background")

Work = Callable[[], Awaitable[None]]


class Keeper:
    """Begins work again that ended by an error which nobody foresaw: at once, and then after a
    pause that doubles up to half a minute, until it has gone on for a minute.

    `failures` counts by the name of the work, from 0, for those who watch.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.failures: Counter[str] = Counter()
        self._kept: set[asyncio.Task[None]] = set()

    def keep(self, name: str, work: Work) -> "asyncio.Task[None]":
        """Begin the work, and return the task to cancel; it ends by itself when the work returns.

        Whatever RPC this is called from, the work is not its: neither its log nor its trace.
        """
        self.failures[name] += 0
        task = asyncio.create_task(self._run(name, work), name=name, context=Context())
        # A loop alone does not keep its tasks from the garbage collector.
        self._kept.add(task)
        task.add_done_callback(self._kept.discard)
        return task

    def note(self, name: str, error: BaseException, *, again_in_ms: int) -> None:
        """Tell of work that failed and that somebody begins again."""
        self.failures[name] += 1
        _log.error(
            "background work failed",
            task=name,
            error_id=new_error_id(),
            cause=trace_of(error),
            again_in_ms=again_in_ms,
        )

    async def _run(self, name: str, work: Work) -> None:
        pause_ms, task = _FIRST_PAUSE_MS, asyncio.current_task()
        while True:
            begun_ms = self._clock.monotonic_ms()
            try:
                await work()
            except asyncio.CancelledError as error:
                if task is None or task.cancelling():
                    raise
                # Something that the work waited for was cancelled, and not the work.
                failure: BaseException = error
            except Exception as error:  # noqa: BLE001 - the server lives on without this work
                failure = error
            else:
                return
            if self._clock.monotonic_ms() - begun_ms >= _GOOD_LIFE_MS:
                pause_ms = _FIRST_PAUSE_MS
            self.note(name, failure, again_in_ms=pause_ms)
            # Its frames hold what the work held.
            del failure
            await asyncio.sleep(pause_ms / 1_000)
            pause_ms = min(2 * pause_ms, _LONGEST_PAUSE_MS)
