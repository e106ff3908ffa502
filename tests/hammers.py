"""Processes that hammer the counters of one Valkey, and all that they were given."""

import asyncio
import os
import signal
import sys
from collections import defaultdict
from contextlib import AsyncExitStack
from itertools import pairwise
from pathlib import Path
from typing import Self

_PROGRAM = Path(__file__).parent / "state" / "hammer.py"


class Hammers:
    """Use `async with`: it ends those that are left."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._open = AsyncExitStack()
        self.given: dict[int, dict[str, list[int]]] = {}
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self._readers: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for number in tuple(self._processes):
            await self.kill(number)

    async def start(self, skew_ms: int = 0) -> int:
        """Start a process whose clock is off by so much; return its number."""
        number = len(self.given)
        path = os.pathsep.join([str(_PROGRAM.parent.parent), *sys.path])
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(_PROGRAM),
            self._url,
            str(skew_ms),
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
        )
        self._processes[number] = process
        self.given[number] = defaultdict(list)
        self._readers.append(asyncio.ensure_future(self._read(number, process)))
        return number

    async def kill(self, number: int) -> None:
        """End a process as kill -9 does."""
        process = self._processes.pop(number)
        process.kill()
        await process.wait()
        await self._readers[number]

    def stop(self, number: int) -> None:
        """Let a process stand still."""
        self._processes[number].send_signal(signal.SIGSTOP)

    def go_on(self, number: int) -> None:
        """Let it go on."""
        self._processes[number].send_signal(signal.SIGCONT)

    def count(self, number: int) -> int:
        """Return how many values a process was given."""
        return sum(len(values) for values in self.given[number].values())

    def total(self, name: str) -> int:
        """Return how many values of a counter were given."""
        return sum(len(each[name]) for each in self.given.values())

    async def until_more(self, *numbers: int, within_s: float = 20) -> None:
        """Return when each of these (all that live, if none is named) was given more values."""
        living = numbers or tuple(self._processes)
        before = {number: self.count(number) for number in living}
        async with asyncio.timeout(within_s):
            while any(self.count(number) <= before[number] + 20 for number in living):  # noqa: ASYNC110  # other processes
                await asyncio.sleep(0.02)

    def assert_never_twice(self) -> None:
        """Fail where a value was given twice, or a process saw its values go down."""
        for name in ("windowed", "free"):
            merged = [value for each in self.given.values() for value in each[name]]
            assert len(merged) > 100
            assert len(merged) == len(set(merged)), _twice(merged)

    async def _read(self, number: int, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            # The last line of one that was killed may be cut; it then counts for nobody.
            if line.endswith(b"\n"):
                name, value = line.split()
                self.given[number][name.decode()].append(int(value))


def _twice(values: list[int]) -> list[int]:
    ordered = sorted(values)
    return [one for one, other in pairwise(ordered) if one == other][:10]
