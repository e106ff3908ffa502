"""Whose turn it is to log in to an account: one at a time, of all servers, and none too often.

Under the account's name stands who has the turn, for five seconds at a time; or, behind a refusal
and for as long as that counts, what the venue said. So it is the state's own clock that ends a
wait, and the name is never free in between.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace

from privyseald.clock import Clock
from privyseald.errors import Unavailable, VenueOutcomeUnknown
from privyseald.key import Key
from privyseald.sessions.refusals import (
    Attempts,
    Turn,
    VenueAnswer,
    attempts_of_json,
    attempts_to_json,
    refuse,
)
from privyseald.state.sealed_values import SealedValues

# A server that died or stands still loses its turn after as long.
_LEASE_MS = 5_000
_EXTEND_S = 1.0
# What is remembered of refusals outlasts the longest wait by far.
_MEMORY_MS = 86_400_000


@dataclass(slots=True)
class TakenTurn:
    """The turn, while this server has it. `version` fences: it is gone when it was lost.
    `holder` tells it apart from all others.
    """

    key: Key
    holder: str
    version: int
    has_code: bool
    attempts: Attempts


class LoginTurns:
    """Takes turns, and remembers what came of them. Every method raises StateUnavailable."""

    def __init__(self, values: SealedValues, clock: Clock) -> None:
        self._values = values
        self._clock = clock

    async def take(self, key: Key, *, has_code: bool, has_waited: bool) -> TakenTurn | None:
        """Return the turn, None while somebody else has it.

        Raises what the venue said as long as that counts: as it said it to those who waited
        for that, as LoginBackingOff to others.
        """
        name = turn_name(key)
        found = await self._values.get(name)
        turn = Turn.of_json(found.data) if found else None
        if turn is not None:
            if turn.refusal is None:
                return None
            if not (turn.refusal.needs_code and has_code):
                now_ms = self._now_ms()
                if has_waited:
                    raise turn.refusal.error(now_ms)
                raise turn.refusal.told_again(key, now_ms)
        holder = secrets.token_hex(8)
        version = await self._values.put(
            name,
            Turn(holder).to_json(),
            version=found.version if found else 0,
            ttl_ms=_LEASE_MS,
        )
        if version is None:
            return None
        return await self._begin(TakenTurn(key, holder, version, has_code, Attempts()))

    @asynccontextmanager
    async def kept(self, turn: TakenTurn) -> AsyncIterator[None]:
        """Keep the turn while the venue is asked, however long that takes."""
        over = asyncio.Event()
        keeping = asyncio.ensure_future(self._keep(turn, over))
        try:
            yield
        finally:
            # Not cancelled: an extension under way gives the turn a version to be known.
            over.set()
            await asyncio.shield(keeping)

    async def refuse(self, turn: TakenTurn, error: VenueAnswer) -> None:
        """Leave what the venue said in place of the turn, and say in the error when to retry."""
        refusal, attempts = refuse(
            error, turn.key, turn.attempts, has_code=turn.has_code, now_ms=self._now_ms()
        )
        error.retry_after_ms = refusal.wait_ms
        error.args = (refusal.message,)
        error.message = refusal.message
        if not await self._extend(turn):
            return
        await self._remember(turn.key, attempts)
        await self._values.put(
            turn_name(turn.key),
            Turn(turn.holder, refusal).to_json(),
            version=turn.version,
            ttl_ms=refusal.wait_ms,
        )

    async def release(self, turn: TakenTurn) -> None:
        """Give the turn back as if it had not been taken: the venue was not asked."""
        if not await self._extend(turn):
            return
        if turn.attempts == Attempts():
            await self._values.delete(_attempts_name(turn.key))
        else:
            await self._remember(turn.key, turn.attempts)
        await self._values.delete(turn_name(turn.key), version=turn.version)

    async def finish(self, turn: TakenTurn) -> None:
        """Give the turn back after a login that worked: what was refused before is forgotten."""
        turn.attempts = Attempts()
        await self.release(turn)

    async def pardon(self, key: Key) -> None:
        """Forget what the venue said to the key's account."""
        found = await self._values.get(turn_name(key))
        turn = Turn.of_json(found.data) if found else None
        if found is not None and (turn is None or turn.refusal is not None):
            await self._values.delete(turn_name(key), version=found.version)
        await self._values.delete(_attempts_name(key))

    async def _begin(self, turn: TakenTurn) -> TakenTurn:
        """Note that the venue is about to be asked, so that a death on the way counts too."""
        found = await self._values.get(_attempts_name(turn.key))
        turn.attempts = attempts_of_json(found.data) if found else Attempts()
        if turn.attempts.is_pending:
            error = VenueOutcomeUnknown(
                f"a server stopped in the middle of a login of {turn.key.name}, which may have "
                "counted at the venue; try again later",
                metadata={"key": turn.key.name, "venue": turn.key.venue},
            )
            await self.refuse(turn, error)
            raise error
        await self._remember(turn.key, replace(turn.attempts, is_pending=True))
        return turn

    async def _keep(self, turn: TakenTurn, over: asyncio.Event) -> None:
        """Extend the turn every second. What can't be extended is lost when its time is over."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_EXTEND_S):
                    await over.wait()
                return
            with suppress(Unavailable):
                if not await self._extend(turn):
                    return

    async def _extend(self, turn: TakenTurn) -> bool:
        """Have the turn for a while longer; False when it is another's, with all that comes."""
        name, data = turn_name(turn.key), Turn(turn.holder).to_json()
        version = await self._values.put(name, data, version=turn.version, ttl_ms=_LEASE_MS)
        if version is None:
            # An extension may have landed whose answer was lost.
            found = await self._values.get(name)
            if found is None or found.data != data:
                return False
            version = await self._values.put(name, data, version=found.version, ttl_ms=_LEASE_MS)
        if version is not None:
            turn.version = version
        return version is not None

    async def _remember(self, key: Key, attempts: Attempts) -> None:
        await self._values.put(_attempts_name(key), attempts_to_json(attempts), ttl_ms=_MEMORY_MS)

    def _now_ms(self) -> int:
        return self._clock.time_us() // 1_000


def account_name(key: Key) -> str:
    """Return whom the venue would lock: two key ids may hold one API key."""
    return f"{key.venue}/{key.environment}/{key.public_id or key.key_id}"


def turn_name(key: Key) -> str:
    """Return the name in the state."""
    return f"login/{account_name(key)}"


def _attempts_name(key: Key) -> str:
    return f"login-attempts/{account_name(key)}"
