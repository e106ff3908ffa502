"""Nonces: strictly increasing for each API key, whatever the clock does."""

from privyseald.clock import Clock
from privyseald.errors import NonceAhead
from privyseald.key import Key
from privyseald.state.state import HIGHEST, State, Step
from privyseald.venues.venue import Moment, NoncePolicy, NonceUnit

# How far ahead of the clock a restart may begin, at most. Less than any venue's window.
_SLACK_MS = 500
_GAP_MS = 5_000
_UNITS_PER_MS = {NonceUnit.MS: 1, NonceUnit.US: 1_000}


class NonceSource:
    """Hands out `max(now, last + 1)` in the venue's unit. A nonce that is not used is burnt.

    All nonces increase, also where the venue only asks that they differ. The counter belongs
    to the API key at the venue: two key ids that hold the same one share it.
    """

    def __init__(self, state: State, clock: Clock) -> None:
        self._state = state
        self._clock = clock

    async def reserve(self, key: Key, policy: NoncePolicy | None) -> Moment:
        """Return the time and, where there is a policy, the next nonce.

        Raises NonceAhead when the venue would refuse it, StateUnavailable.
        """
        now_us = self._clock.time_us()
        if policy is None:
            return Moment(now_us // 1_000)
        units = _UNITS_PER_MS[policy.unit]
        now = now_us * units // 1_000
        half_ms = HIGHEST if policy.window_ms is None else policy.window_ms // 2
        ceiling = min(now + half_ms * units, HIGHEST)
        step = Step(now, ceiling, _SLACK_MS * units, _GAP_MS * units, now_us // 1_000)
        nonce = await self._state.advance(_counter(key, policy), step)
        if nonce > ceiling:
            lead_ms = (nonce - now) // units
            raise NonceAhead(
                f"the last nonce of {key.name} is {lead_ms} ms ahead of this server's clock, "
                "and the venue would refuse the next one; wait, and check the clock",
                metadata={"key": key.name, "leadMs": str(lead_ms)},
                retry_after_ms=lead_ms - half_ms + 1,
            )
        return Moment(now_us // 1_000, nonce)


def _counter(key: Key, policy: NoncePolicy) -> str:
    return f"nonce/{key.venue}/{key.environment}/{policy.unit}/{key.public_id or key.key_id}"
