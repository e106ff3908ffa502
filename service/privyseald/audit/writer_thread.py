"""A thread that does what may block, one task after the other, for an event loop."""

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")


class WriterThread:
    """Runs tasks in order. It is a daemon: a task that never returns does not keep the process."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._tasks: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="privyseal-audit", daemon=True)
        self._thread.start()

    def submit(self, task: Callable[[], _T], done: Callable[[_T], None]) -> None:
        """Run the task, and then `done` with its result in the event loop."""

        def run() -> None:
            self._tell(done, task())

        self._tasks.put(run)

    def stop(self) -> None:
        """End after the tasks before."""
        self._tasks.put(None)

    def _tell(self, done: Callable[[_T], None], result: _T) -> None:
        try:
            self._loop.call_soon_threadsafe(done, result)
        except RuntimeError:
            # The loop is closed: nobody waits for it any more.
            return

    def _run(self) -> None:
        while (run := self._tasks.get()) is not None:
            run()
