"""A venue that sessions are opened at, and servers that open them, as tests of sessions play it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager

from fakes import NOW_MS, FakeClock, FakeState, sealed
from privyseald.errors import PrivysealError, StateUnavailable
from privyseald.key import Key, KeyState
from privyseald.sessions.sessions import Sessions
from privyseald.state.state import Charge, Shortage, Step, Value
from privyseald.venues.venue import Session

KEY = Key("desk-1", "kiiex", "production", "hmac-sha256", "public", KeyState.ENABLED, 1, NOW_MS, 0)
LIFE_MS = 3_600_000


class Link:
    """A server's way to the state that it shares with others. It can be cut, and lose the answer
    to as many puts as `lost_answers` says.
    """

    def __init__(self, state: FakeState) -> None:
        self.is_cut = False
        self.lost_answers = 0
        self._state = state

    async def advance(self, name: str, step: Step) -> int:
        """Pass it on."""
        return await self._way().advance(name, step)

    async def resync(self, name: str, target: int) -> tuple[int, int]:
        """Pass it on."""
        return await self._way().resync(name, target)

    async def get(self, name: str) -> Value | None:
        """Pass it on."""
        return await self._way().get(name)

    async def put(
        self, name: str, data: bytes, *, version: int | None = None, ttl_ms: int | None = None
    ) -> int | None:
        """Pass it on."""
        version = await self._way().put(name, data, version=version, ttl_ms=ttl_ms)
        if self.lost_answers:
            self.lost_answers -= 1
            raise StateUnavailable("lost", retry_after_ms=500)
        return version

    async def delete(self, name: str, *, version: int | None = None) -> bool:
        """Pass it on."""
        return await self._way().delete(name, version=version)

    async def list(self, prefix: str) -> Mapping[str, Value]:
        """Pass it on."""
        return await self._way().list(prefix)

    async def signal(self, name: str) -> None:
        """Pass it on."""
        await self._way().signal(name)

    async def spend(self, charges: Sequence[Charge], *, look: bool = False) -> Shortage | None:
        """Pass it on."""
        return await self._way().spend(charges, look=look)

    def signals(self) -> AbstractAsyncContextManager[AsyncIterator[str]]:
        """Pass it on."""
        return self._way().signals()

    async def check(self) -> None:
        """Pass it on."""
        await self._way().check()

    async def close(self) -> None:
        """Pass it on."""
        await self._state.close()

    def _way(self) -> FakeState:
        if self.is_cut:
            raise StateUnavailable("cut", retry_after_ms=500)
        return self._state


class Crew:
    """Servers with clocks of their own, which share a state with a clock of its own."""

    def __init__(self, count: int = 3) -> None:
        self.state_clock = FakeClock()
        self.state = FakeState(self.state_clock)
        self.clocks = [FakeClock() for _ in range(count)]
        self.links = [Link(self.state) for _ in range(count)]
        self.servers: list[Sessions] = []
        self.restart()

    def restart(self) -> None:
        """Have all servers begin anew, with empty memories."""
        self.servers = [
            Sessions(link, sealed(link), clock, random=lambda: 0.5)
            for link, clock in zip(self.links, self.clocks, strict=True)
        ]

    def advance(self, milliseconds: int) -> None:
        """Let time pass everywhere."""
        for clock in (self.state_clock, *self.clocks):
            clock.advance(milliseconds)


class VenueDesk:
    """Plays the venue: counts logins, holds them up, answers or refuses."""

    def __init__(self, clock: FakeClock, life_ms: int | None = LIFE_MS) -> None:
        self.calls = 0
        self.open = asyncio.Event()
        self.open.set()
        self.refusal: BaseException | None = None
        self._clock = clock
        self._life_ms = life_ms

    async def asked(self, times: int) -> None:
        """Wait until the venue has been asked so often."""
        async with asyncio.timeout(10):
            while self.calls < times:  # noqa: ASYNC110  # a coroutine that nobody rings
                await asyncio.sleep(0.001)

    async def log_in(self) -> Session:
        """Return a session with a token of its own."""
        self.calls += 1
        token = f"token-{self.calls}"
        await self.open.wait()
        if isinstance(self.refusal, PrivysealError):
            # As a venue's file does: one of its own for each answer.
            error = self.refusal
            raise type(error)(
                error.message, metadata=error.metadata, retry_after_ms=error.retry_after_ms
            )
        if self.refusal is not None:
            raise self.refusal
        now_ms = self._clock.time_us() // 1_000
        end_ms = None if self._life_ms is None else now_ms + self._life_ms
        return Session(token, (("aptoken", token),), "7", now_ms, end_ms)


async def login(
    sessions: Sessions,
    log_in: Callable[[], Awaitable[Session]],
    key: Key = KEY,
    *,
    force: bool = False,
    has_code: bool = False,
) -> str:
    """Log in and return the token."""
    return (await sessions.login(key, log_in, force=force, has_code=has_code)).token
