"""Lives of a process that uses its state until it is killed, as a program: path, lives, seed.

Each life is a fork that opens the state, prints what it finds and is given and what was
acknowledged, and is killed at a random moment. Its clock may stand an hour early or late.
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
from privyseald.state.state import HIGHEST, Step
from privyseald.state.values import Values
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


def _tell(word: str, name: str, data: bytes, version: int | None) -> None:
    os.write(1, f"{word} {name} {int(data[:20])} {version}\n".encode())


class _Life:
    """All that goes on at once in one life."""

    def __init__(self, path: Path, offset_ms: int, chance: random.Random) -> None:
        clock = FakeClock(SystemClock().time_us())
        clock.step(offset_ms)
        file = HighWaterFile.open_path(path, compact_after=4)
        self._state = EmbeddedState(file, Values(file.beside(".values"), clock), clock)
        self._nonces = NonceSource(self._state, clock)
        self._chance = chance

    async def live(self, begin: int) -> None:
        """Go on until killed; say at `begin` when the first nonce was given."""
        for name, value in (await self._state.list("value/")).items():
            _tell("found", name, value.data, value.version)
        await self._nonces.reserve(_KEYS[0], _POLICIES[0])
        os.write(begin, b"!")
        await asyncio.gather(
            *(self._reserve(key, policy) for key in _KEYS for policy in _POLICIES),
            *(self._advance(name) for name in ("small-1", "small-1", "small-2")),
            *(self._turn(name) for name in ("turned-1", "turned-1", "turned-2")),
            *(self._put(name) for name in ("value/1", "value/2")),
            self._come_and_go("gone/1"),
        )

    async def _reserve(self, key: Key, policy: NoncePolicy) -> None:
        while True:
            moment = await self._nonces.reserve(key, policy)
            _say(f"{key.public_id}/{policy.unit}", moment.nonce)
            await asyncio.sleep(0)

    async def _advance(self, name: str) -> None:
        while True:
            _say(name, await self._state.advance(name, step_of(0, HIGHEST, 3)))
            await asyncio.sleep(0)

    async def _turn(self, name: str) -> None:
        """Jump ahead, and come back by a resync."""
        while True:
            now = SystemClock().time_us() // 1_000
            step = Step(now + self._chance.choice((0, 1_000, 3_600_000)), HIGHEST, 20, 200, 0)
            for _ in range(self._chance.randrange(1, 40)):
                _say(name, await self._state.advance(name, step))
            await self._state.resync(name, self._chance.choice((now, now + 500, now * 1_000)))
            await self._state.resync(name, now)

    async def _put(self, name: str) -> None:
        found = await self._state.get(name)
        number = int(found.data[:20]) if found else 0
        while True:
            number += 1
            data = f"{number:020}".encode() * self._chance.choice((1, 400))
            _tell("try", name, data, None)
            _tell("put", name, data, await self._state.put(name, data))

    async def _come_and_go(self, name: str) -> None:
        while True:
            await self._state.put(name, b"1", ttl_ms=self._chance.choice((1, 3_600_000, None)))
            await self._state.delete(name)


def main() -> None:
    """Live and die as often as the arguments say."""
    path, lives, chance = Path(sys.argv[1]), int(sys.argv[2]), random.Random(sys.argv[3])  # noqa: S311  # a repeatable one
    for life in range(lives):
        offset_ms = chance.choice((0, -3_600_000, 3_600_000))
        begun, begin = os.pipe()
        child = os.fork()
        if child == 0:
            asyncio.run(_Life(path, offset_ms, chance).live(begin))
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
