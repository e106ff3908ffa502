"""A process that takes as many nonces as it gets, as a program: state URL, clock skew in ms.

Prints the counter and the value of each. One counter has a window, and is asked so often that it
runs ahead of the clock as far as it may; the other is a wallet's, in microseconds and without one.
"""

import asyncio
import os
import sys

import structlog

from clocks import SkewedClock
from privyseald.errors import Unavailable
from privyseald.state.state import HIGHEST, Step
from privyseald.state.valkey import ValkeyState
from privyseald.state_config import StateConfig

LEAD_MS = 5_000
_AT_ONCE = 8


async def _take(state: ValkeyState, clock: SkewedClock, name: str, per_ms: int) -> None:
    while True:
        time_us = clock.time_us()
        floor = time_us * per_ms // 1_000
        ceiling = floor + LEAD_MS if per_ms == 1 else HIGHEST
        step = Step(floor, ceiling, 500, 5_000 * per_ms, time_us // 1_000, per_ms)
        try:
            value = await state.advance(name, step)
        except Unavailable:
            await asyncio.sleep(0.01)
            continue
        if value <= ceiling:
            os.write(1, f"{name} {value}\n".encode())
        else:
            await asyncio.sleep(0.001)


async def _main(url: str, skew_ms: int) -> None:
    clock = SkewedClock(skew_ms)
    state = await ValkeyState.open(StateConfig(url=url), clock)
    takers = [("windowed", 1)] * _AT_ONCE + [("free", 1_000)]
    await asyncio.gather(*(_take(state, clock, name, per_ms) for name, per_ms in takers))


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    asyncio.run(_main(sys.argv[1], int(sys.argv[2])))
