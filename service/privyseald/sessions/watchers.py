"""Who wants to hear of which key's session at this server."""

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from privyseald.errors import PrivysealError


class Watcher:
    """One who wants to hear. `failures` are those that were told and not taken yet."""

    def __init__(self) -> None:
        self.failures: deque[PrivysealError] = deque(maxlen=16)
        self._heard = ""
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """Have the watcher look."""
        self._rung.set()

    def tell(self, failure: PrivysealError, *, is_news: bool) -> None:
        """Have the watcher look at a failure, unless it is the last one again and no news."""
        topic = failure.metadata.get("refusal", failure.reason)
        if is_news or topic != self._heard:
            self.failures.append(failure)
            self.ring()
        self._heard = topic

    def forget(self) -> None:
        """Let the next failure be news, whatever it is."""
        self._heard = ""

    async def wait(self, timeout_s: float) -> None:
        """Wait until rung, or for so long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._rung.wait()
        self._rung.clear()


class Watchers:
    """Watchers by name, each as long as its `watch` is open."""

    def __init__(self) -> None:
        self._watchers: dict[str, set[Watcher]] = {}

    @contextmanager
    def watch(self, name: str) -> Iterator[Watcher]:
        """Give a watcher that is rung when something about the name changed."""
        watcher = Watcher()
        self._watchers.setdefault(name, set()).add(watcher)
        try:
            yield watcher
        finally:
            others = self._watchers[name]
            others.discard(watcher)
            if not others:
                del self._watchers[name]

    @property
    def names(self) -> tuple[str, ...]:
        """The names that are watched."""
        return tuple(self._watchers)

    def ring(self, name: str) -> None:
        """Have all who watch the name look."""
        for watcher in self._watchers.get(name, ()):
            watcher.ring()

    def ring_all(self) -> None:
        """Have everybody look."""
        for name in self._watchers:
            self.ring(name)

    def tell(self, name: str, failure: PrivysealError, *, is_news: bool) -> None:
        """Tell all who watch the name of a failure."""
        for watcher in self._watchers.get(name, ()):
            watcher.tell(failure, is_news=is_news)
