"""The holds of all servers: one value in the state, and a copy on each server's disk.

Each server looks at the value when a signal comes and twice a second. What the state has
forgotten is put back by whoever knows it.
"""

import asyncio
import math
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import structlog

from privyseald.clock import Clock
from privyseald.errors import StateUnavailable, Unavailable
from privyseald.holds.hold import Hold
from privyseald.holds.hold_file import HoldFile
from privyseald.holds.holds import Holds
from privyseald.holds.known_holds import KnownHolds
from privyseald.keeper import Keeper
from privyseald.state.state import State

_NAME = "holds"
# Another server writes too, seldom: a person does, or all do after the state forgot.
_TRIES = 50
_PAUSE_S = 0.5
_log = structlog.get_logger("privyseald.holds")


class SharedHolds:
    """Brings `holds`, the state and the disk to the same.

    `holds` are believed for `max_age_ms` from when the state was last asked; for ever where
    that is None, because nobody else writes to the state.
    """

    def __init__(
        self,
        state: State,
        file: HoldFile,
        holds: Holds,
        clock: Clock,
        keeper: Keeper | None = None,
        *,
        max_age_ms: int | None,
    ) -> None:
        self._state = state
        self._file = file
        self._holds = holds
        self._clock = clock
        self._keeper = keeper or Keeper(clock)
        self._max_age_ms = max_age_ms
        self._last_read = b"", KnownHolds()
        self._turn = asyncio.Lock()
        self._stirred = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._is_kept = True
        # For those who watch: holds that the state had forgotten.
        self.put_back = 0
        holds.take(file.known)

    async def create(self, hold: Hold) -> Hold:
        """Put a hold in force, here when this returns, elsewhere when they hear of it.

        Once for each id: what began first is returned. Raises RequestIdReused, Overloaded, and
        StateUnavailable, after which the hold may be in force or not.
        """
        # The work goes on when the caller goes away: what is to be stopped shall be stopped.
        known = await asyncio.shield(self._change(lambda known: known.with_hold(hold)))
        return known.holds[hold.hold_id]

    async def delete(self, hold_id: str) -> None:
        """Lift a hold. Raises HoldUnknown, and StateUnavailable as `create`."""
        now_ms = self._clock.time_us() // 1_000
        await asyncio.shield(self._change(lambda known: known.without(hold_id, now_ms)))

    async def refresh(self) -> KnownHolds:
        """Return what all know now, after this server knows it too. Raises StateUnavailable."""
        async with self._turn:
            return await self._settle(lambda known: known)

    async def start(self) -> None:
        """Learn what the state has, if it answers, and stay up to date from now on."""
        with suppress(Unavailable):
            await self.refresh()
        self._running = self._keeper.keep("holds-refresh", self._run)

    async def close(self) -> None:
        """Stop to look, and wait until the disk has what is known."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
        if self._keeping is not None:
            await self._keeping

    async def _run(self) -> None:
        pause_s = _PAUSE_S if self._max_age_ms is None else min(_PAUSE_S, self._max_age_ms / 4_000)
        listening = self._keeper.keep("holds-signals", partial(self._listen, pause_s))
        is_away = False
        try:
            while True:
                try:
                    await self.refresh()
                    is_away = False
                    if self._max_age_ms is None:
                        return
                except Unavailable as error:
                    if not is_away:
                        _log.warning("holds not known", reason=error.reason, advice=error.message)
                    is_away = True
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause_s):
                        await self._stirred.wait()
                self._stirred.clear()
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def _listen(self, pause_s: float) -> None:
        while True:
            with suppress(Unavailable):
                async with self._state.signals() as names:
                    async for name in names:
                        if name in {_NAME, ""}:
                            self._stirred.set()
            await asyncio.sleep(pause_s)

    async def _change(self, alter: Callable[[KnownHolds], KnownHolds]) -> KnownHolds:
        async with self._turn:
            known = await self._settle(alter)
        with suppress(Unavailable):  # who misses the signal looks within half a second
            await self._state.signal(_NAME)
        if self._keeping is not None:
            await asyncio.shield(self._keeping)
        return known

    async def _settle(self, alter: Callable[[KnownHolds], KnownHolds]) -> KnownHolds:
        """Bring all to what is known together, altered, and return that."""
        for _ in range(_TRIES):
            # What comes back is at least as new as this moment.
            asked_ms = self._clock.monotonic_ms()
            found = await self._state.get(_NAME)
            there = self._read(found.data if found else b"")
            together = self._holds.known.merged(there)
            wanted = alter(together)
            if wanted != there:
                data, version = wanted.to_json(), found.version if found else 0
                if await self._state.put(_NAME, data, version=version) is None:
                    continue
                self._last_read = data, wanted
                self._note_put_back(together, there)
            self._holds.take(wanted)
            until_ms = asked_ms + (self._max_age_ms or math.inf)
            self._holds.confirm(until_ms, asked_ms=asked_ms)
            self._start_to_keep()
            return wanted
        raise StateUnavailable(
            "too many change the holds at the same time; try again", retry_after_ms=500
        )

    def _read(self, data: bytes) -> KnownHolds:
        """Return what the state's value says; most often it is the one that was read before."""
        before, known = self._last_read
        if data == before:
            return known
        try:
            known = KnownHolds.of_json(data) if data else KnownHolds()
        except ValueError as error:
            raise StateUnavailable(
                f"what the shared state has under '{_NAME}' is no list of holds; an operator must "
                "remove it there, and each server puts back what it knows",
                retry_after_ms=1_000,
            ) from error
        self._last_read = data, known
        return known

    def _start_to_keep(self) -> None:
        if self._file.known != self._holds.known and (
            self._keeping is None or self._keeping.done()
        ):
            self._keeping = asyncio.ensure_future(self._keep())

    async def _keep(self) -> None:
        """Write to the disk what is known. What fails is tried again after the next look."""
        try:
            while self._file.known != self._holds.known:
                await asyncio.to_thread(self._file.write, self._holds.known)
            self._is_kept = True
        except OSError as error:
            if self._is_kept:
                _log.error("holds not on this server's disk", cause=error.strerror)
            self._is_kept = False

    def _note_put_back(self, together: KnownHolds, there: KnownHolds) -> None:
        for hold in together.holds.values():
            if hold.hold_id not in there.holds:
                self.put_back += 1
                _log.warning("hold put back, which the state had forgotten", **hold.told())
