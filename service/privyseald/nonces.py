"""Nonces: strictly increasing for each API key, whatever the clock does."""

from privyseald.clock import Clock
from privyseald.errors import NonceAhead
from privyseald.key import Key
from privyseald.state.state import State
from privyseald.venues.venue import Moment, NoncePolicy, NonceUnit

# How far ahead of the clock a restart may begin, at most. Less than any venue's window.
_SLACK_MS = 500
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
        name = f"nonce/{key.venue}/{key.environment}/{policy.unit}/{key.public_id or key.key_id}"
        if policy.window_ms is not None:
            lead = await self._state.last(name) + 1 - now
            if lead > policy.window_ms * units // 2:
                lead_ms = lead // units
                raise NonceAhead(
                    f"the last nonce of {key.name} is {lead_ms} ms ahead of this server's clock, "
                    "and the venue would refuse the next one; wait, and check the clock",
                    metadata={"key": key.name, "leadMs": str(lead_ms)},
                    retry_after_ms=lead_ms - policy.window_ms // 2 + 1,
                )
        nonce = await self._state.advance(name, now, _SLACK_MS * units)
        return Moment(now_us // 1_000, nonce)
