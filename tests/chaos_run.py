"""Running a scenario against a desk that goes on with its day, and what it met."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Self

from chaos_scenarios import Scenario
from vault_desk import Probe, VaultDesk

GOOD = frozenset({"OK", "ready"})
_PAUSE_S = 0.1
_LEAST_S = 2.5
_LONGEST_S = 20.0
_STEPS_S = (1, 2, 5, 10)


@dataclass(frozen=True, slots=True)
class Seen:
    """One answer."""

    start_s: float
    end_s: float
    answer: str


@dataclass(slots=True)
class Watch:
    """Makes one probe over and over, and keeps what it answers."""

    probe: Probe
    seen: list[Seen] = field(default_factory=list)

    async def run(self) -> None:
        """Go on until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            start_s = loop.time()
            answer = await self.probe()
            self.seen.append(Seen(start_s, loop.time(), answer))
            await asyncio.sleep(_PAUSE_S)

    def since(self, moment_s: float) -> list[Seen]:
        """Return the answers to what was asked after a moment."""
        return [each for each in self.seen if each.start_s >= moment_s]

    def has_settled(self, moment_s: float) -> bool:
        """Whether the last answers since a moment are the same."""
        last = [each.answer for each in self.since(moment_s)[-3:]]
        return len(last) == 3 and len(set(last)) == 1

    def is_good(self, moment_s: float) -> bool:
        """Whether the last answers since a moment are all good."""
        return self.has_settled(moment_s) and self.seen[-1].answer in GOOD


@dataclass(frozen=True, slots=True)
class Row:
    """What a scenario came to. `answers` are those of the fault, once they had settled."""

    name: str
    answers: dict[str, str]
    between: frozenset[str]
    heals_by_itself: bool
    heal_s: float
    slowest_s: float

    @property
    def healing(self) -> str:
        """How long it took after the mending, roughly."""
        within = next((step for step in _STEPS_S if self.heal_s <= step), _STEPS_S[-1])
        return f"within {within} s" + (" by itself" if self.heals_by_itself else "")


class Day:
    """A desk under watch. Use `async with`."""

    def __init__(self, desk: VaultDesk) -> None:
        self._desk = desk
        self.watches = {name: Watch(probe) for name, probe in desk.probes.items()}
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for watch in self.watches.values():
            task = asyncio.create_task(watch.run())
            self._open.callback(task.cancel)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def all_good(self, since_s: float) -> None:
        """Return when everything works again."""
        await self._until(lambda watch: watch.is_good(since_s))

    async def settled(self, since_s: float) -> None:
        """Return when a fault shows for good."""
        await asyncio.sleep(_LEAST_S)
        await self._until(lambda watch: watch.has_settled(since_s))

    async def _until(self, is_so: Callable[[Watch], bool]) -> None:
        async with asyncio.timeout(_LONGEST_S):
            while not all(is_so(watch) for watch in self.watches.values()):  # noqa: ASYNC110  # polls
                await asyncio.sleep(0.02)


async def run(scenario: Scenario, desk: VaultDesk) -> Row:
    """Let the scenario happen, and be mended. Raises TimeoutError when it does not heal."""
    loop = asyncio.get_running_loop()
    async with Day(desk) as day:
        await day.all_good(0)
        await asyncio.to_thread(scenario.strike, desk)
        struck_s = mended_s = loop.time()
        answers = {}
        if scenario.mend is not None:
            await day.settled(struck_s)
            answers = {name: watch.seen[-1].answer for name, watch in day.watches.items()}
            await asyncio.to_thread(scenario.mend, desk)
            mended_s = loop.time()
        await day.all_good(mended_s)
        answers = answers or {name: watch.seen[-1].answer for name, watch in day.watches.items()}
        seen = [each for watch in day.watches.values() for each in watch.since(struck_s)]
        bad = [each.end_s for each in seen if each.answer not in GOOD]
        return Row(
            scenario.name,
            answers,
            frozenset(each.answer for each in seen),
            scenario.mend is None,
            max(0.0, max(bad, default=0.0) - mended_s),
            max(each.end_s - each.start_s for each in day.watches["Sign, key in use"].seen),
        )
