"""Lives of a process that hands out values until it is killed, as a program: path, lives, seed.

Each life is a fork that opens the state, prints what it is given, and is killed at a random
moment. Its clock may stand an hour early or late.
"""

import asyncio
import os
import random
import select
import signal
import sys
import time
from pathlib import Path

from fakes import FakeClock
from privyseald.clock import SystemClock
from privyseald.key import Key, KeyState
from privyseald.nonces import NonceSource
from privyseald.state.embedded import EmbeddedState
from privyseald.state.high_water_file import HighWaterFile
from privyseald.state.state import HIGHEST
from privyseald.venues.venue import NonceOrder, NoncePolicy, NonceUnit
from state_home import step_of

_KEYS = [
    Key(key_id, "whitebit", "production", "hmac-sha512", public_id, KeyState.ENABLED, 1, 0, 0)
    for key_id, public_id in (("desk-1", "shared"), ("desk-2", "shared"), ("desk-3", "own"))
]
_POLICIES = [
    NoncePolicy(NonceUnit.MS, NonceOrder.INCREASING, None),
    NoncePolicy(NonceUnit.US, NonceOrder.UNIQUE, None),
]


def _say(name: str, value: int | None) -> None:
    os.write(1, f"{name} {value}\n".encode())


async def _live(path: Path, offset_ms: int, begin: int) -> None:
    state = EmbeddedState(HighWaterFile.open_path(path, compact_after=4))
    clock = FakeClock(SystemClock().time_us())
    clock.step(offset_ms)
    nonces = NonceSource(state, clock)

    async def reserve(key: Key, policy: NoncePolicy) -> None:
        while True:
            moment = await nonces.reserve(key, policy)
            _say(f"{key.public_id}/{policy.unit}", moment.nonce)
            await asyncio.sleep(0)

    async def advance(name: str) -> None:
        while True:
            _say(name, await state.advance(name, step_of(0, HIGHEST, 3)))
            await asyncio.sleep(0)

    await nonces.reserve(_KEYS[0], _POLICIES[0])
    os.write(begin, b"!")
    await asyncio.gather(
        *(reserve(key, policy) for key in _KEYS for policy in _POLICIES),
        *(advance(name) for name in ("small-1", "small-1", "small-2")),
    )


def main() -> None:
    """Live and die as often as the arguments say."""
    path, lives, chance = Path(sys.argv[1]), int(sys.argv[2]), random.Random(sys.argv[3])  # noqa: S311  # a repeatable one
    for life in range(lives):
        offset_ms = chance.choice((0, -3_600_000, 3_600_000))
        begun, begin = os.pipe()
        child = os.fork()
        if child == 0:
            asyncio.run(_live(path, offset_ms, begin))
        if life % 4:
            # The others may be killed before they hand out anything.
            select.select([begun], [], [], 10)
        time.sleep(chance.uniform(0.0, 0.1))
        os.close(begun)
        os.close(begin)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        _say(f"\nlife/{life}", offset_ms)


if __name__ == "__main__":
    main()
