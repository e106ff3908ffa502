"""A venue that sessions are opened at, as tests of sessions play it."""

import asyncio
from collections.abc import Awaitable, Callable

from fakes import NOW_MS, FakeClock
from privyseald.key import Key, KeyState
from privyseald.sessions.sessions import Sessions
from privyseald.venues.venue import Session

KEY = Key("desk-1", "kiiex", "production", "hmac-sha256", "public", KeyState.ENABLED, 1, NOW_MS, 0)
LIFE_MS = 3_600_000


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
