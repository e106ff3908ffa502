"""What one process spent, in memory, and behind that in its file of values.

It is written a second after it was spent, and when the state is closed. So a crash takes what
was spent in the last second or two, and of windows shorter than a minute all: they would be over
before long, and would have to be written all the time.
"""

import asyncio
from collections.abc import Sequence

import structlog

from privyseald.clock import Clock
from privyseald.errors import StateUnavailable
from privyseald.state.spent import Spent, SpentWindow
from privyseald.state.state import Charge, Shortage
from privyseald.state.values import Values

# Where it stands among the values.
_SHELF = "spent/"
_WRITE_S = 1.0
_SHORTEST_WRITTEN_MS = 60_000
_log = structlog.get_logger("privyseald.state")


class SpentValues:
    """Spends in one process. Time goes by the monotonic clock; across a restart by the wall's."""

    def __init__(self, values: Values, clock: Clock) -> None:
        self._values = values
        self._clock = clock
        self._offset_ms = self._wall_offset_ms()
        self._spent = Spent()
        self._unwritten: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Task[None] | None = None
        for name, value in values.under(_SHELF).items():
            self._restore(name.removeprefix(_SHELF), value.data)

    def spend(self, charges: Sequence[Charge], *, look: bool) -> Shortage | None:
        """Spend all charges, or nothing of them."""
        now_ms = self._clock.monotonic_ms() + self._offset_ms
        short = self._spent.spend(charges, now_ms, look=look)
        if short or look:
            return short
        names = [each.name for each in charges if each.window_ms >= _SHORTEST_WRITTEN_MS]
        if names:
            self._unwritten.update(names)
            self._write_later()
        return None

    async def close(self) -> None:
        """Write all that counts, so that an orderly restart forgets nothing."""
        self.abandon()
        if self._writing is not None:
            await asyncio.wait([self._writing])
        self._spent.forget(self._clock.monotonic_ms() + self._offset_ms)
        short = (name for name, each in self._spent.windows.items() if _is_short(each))
        self._unwritten.update(short)
        if not await self._write():
            _log.warning("what was spent is not written", names=len(self._unwritten))

    def abandon(self) -> None:
        """Write nothing more, as the end of a process does."""
        if self._timer is not None:
            self._timer.cancel()

    def _write_later(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_WRITE_S, self._begin_to_write)

    def _begin_to_write(self) -> None:
        self._writing = asyncio.ensure_future(self._write_now())

    async def _write_now(self) -> None:
        try:
            await self._write()
        finally:
            self._writing = self._timer = None
            if self._unwritten:
                self._write_later()

    async def _write(self) -> bool:
        """Write what is not written; False where that can't be, and it stays to be written."""
        shift_ms, names = self._wall_offset_ms() - self._offset_ms, self._unwritten
        self._unwritten = set()
        found = ((name, self._spent.windows.get(name)) for name in names)
        done = await asyncio.gather(
            *(self._put(name, window, shift_ms) for name, window in found if window),
            return_exceptions=True,
        )
        problems = [each for each in done if isinstance(each, BaseException)]
        for problem in problems:
            if not isinstance(problem, StateUnavailable):
                raise problem
        if problems:
            self._unwritten |= names
        return not problems

    async def _put(self, name: str, window: SpentWindow, shift_ms: int) -> None:
        data = f"{window.window_ms} {window.record(shift_ms)}".encode()
        await self._values.put(_SHELF + name, data, None, window.life_ms)

    def _restore(self, name: str, data: bytes) -> None:
        window_ms, _, record = data.decode("ascii", "replace").partition(" ")
        try:
            self._spent.windows[name] = SpentWindow.of_record(record, int(window_ms))
        except ValueError:
            _log.warning("what was spent is not readable, and counts no more", name=name[:80])

    def _wall_offset_ms(self) -> int:
        return self._clock.time_us() // 1_000 - self._clock.monotonic_ms()


def _is_short(window: SpentWindow) -> bool:
    return window.window_ms < _SHORTEST_WRITTEN_MS
