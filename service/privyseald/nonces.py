"""Nonces: strictly increasing for each API key, whatever the clocks and replicas do."""

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from privyseald.clock import Clock
from privyseald.errors import NonceAhead, StateUnavailable
from privyseald.key import Key
from privyseald.state.state import HIGHEST, LONGEST_LEAD_MS, State, Step
from privyseald.venues.venue import Moment, NoncePolicy, NonceUnit

# How far ahead of the clock a restart may begin, at most. Less than any venue's window.
_SLACK_MS = 500
_GAP_MS = 5_000
# An older one is not handed out: another replica's may long have arrived at the venue.
_OLDEST_MS = 1_000
_RENEWALS = 2
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Numbers:
    """The nonces of one API key at its venue; two key ids that hold the same one share them."""

    key: Key
    policy: NoncePolicy

    @property
    def counter(self) -> str:
        """The counter's name in the state."""
        key = self.key
        account = key.public_id or key.key_id
        return f"nonce/{key.venue}/{key.environment}/{self.policy.unit.value}/{account}"

    @property
    def units(self) -> int:
        """How many make a millisecond."""
        return 1_000 if self.policy.unit is NonceUnit.US else 1

    @property
    def lead_ms(self) -> int | None:
        """How far a nonce may be ahead of the venue's clock; None where that does not matter."""
        window_ms = self.policy.window_ms
        return None if window_ms is None else min(window_ms // 2, LONGEST_LEAD_MS)


def _same_clock(_key: Key) -> int:
    return 0


class NonceSource:
    """Hands out `max(the venue's now, last + 1)` in its unit. What is not used is burnt.

    All nonces increase, also where the venue only asks that they differ. `offset_of` tells by
    how many milliseconds the clock of a key's venue is ahead of ours.
    """

    def __init__(
        self, state: State, clock: Clock, offset_of: Callable[[Key], int] = _same_clock
    ) -> None:
        self._state = state
        self._clock = clock
        self._offset_of = offset_of
        # For those who watch, by venue: nonces given, those that went nowhere, and counters
        # brought down or up; and until when, in Unix time by our clock, the highest one lies ahead.
        self.given: Counter[str] = Counter()
        self.burnt: Counter[str] = Counter()
        self.moved: Counter[tuple[str, str]] = Counter()
        self.ahead_until_us: dict[str, int] = {}

    async def reserve(self, key: Key, policy: NoncePolicy | None) -> Moment:
        """Return the time at the venue and, where there is a policy, the next nonce.

        Raises NonceAhead when the venue would refuse the nonce, StateUnavailable, ClockSkewed.
        """
        offset_ms = self._offset_of(key)
        if policy is None:
            return Moment(self._clock.time_us() // 1_000 + offset_ms, None, offset_ms)
        numbers = Numbers(key, policy)
        step = self._step(numbers, offset_ms)
        nonce = await self._state.advance(numbers.counter, step)
        if nonce > step.ceiling:
            raise _ahead(numbers, nonce, step)
        self._note(key.venue, nonce * 1_000 // numbers.units - offset_ms * 1_000)
        return Moment(step.time_ms + offset_ms, nonce, offset_ms)

    async def spend(
        self,
        key: Key,
        policy: NoncePolicy | None,
        use: Callable[[Moment], Awaitable[_T]],
    ) -> tuple[Moment, _T]:
        """Return what `use` made of a moment, and the moment: with a nonce that is still young.

        One that grew old meanwhile (this process stood still, or the signer was slow) goes
        nowhere: it is burnt, and `use` is called again with the next. Raises as `reserve`.
        """
        for _ in range(1 + _RENEWALS):
            began_ms = self._clock.monotonic_ms()
            moment = await self.reserve(key, policy)
            used = await use(moment)
            if policy is None or self._clock.monotonic_ms() - began_ms <= _OLDEST_MS:
                return moment, used
            self.burnt[key.venue] += 1
        raise StateUnavailable(
            f"each of {1 + _RENEWALS} nonces was older than {_OLDEST_MS} ms when its signature "
            "was ready, and none was handed out; this server, its state or Vault is too slow",
            retry_after_ms=1_000,
        )

    async def last(self, numbers: Numbers) -> int:
        """Return the highest nonce that can't come any more, 0 where there was none."""
        step = self._step(numbers)
        # No step is taken where the ceiling is too low; it only tells what would come.
        looked = replace(step, floor=0, ceiling=0)
        return await self._state.advance(numbers.counter, looked) - 1

    async def pass_over(self, numbers: Numbers, nonce: int) -> tuple[int, int]:
        """See that the next nonce is above `nonce`. Return the last one before and now.

        Never lowers the counter.
        """
        before = await self.last(numbers)
        if before >= nonce:
            return before, before
        step = self._step(numbers)
        burnt = await self._state.advance(
            numbers.counter, replace(step, floor=nonce, ceiling=HIGHEST)
        )
        self.moved[numbers.key.venue, "up"] += 1
        return before, burnt

    async def resync(self, numbers: Numbers) -> tuple[int, int]:
        """Bring the counter to the venue's clock, as far as no nonce can come twice.

        Return the last nonce before, and what the next one will be above.
        """
        resynced = await self._state.resync(numbers.counter, self._step(numbers).floor)
        venue = numbers.key.venue
        self.moved[venue, "down"] += 1
        self.ahead_until_us.pop(venue, None)
        return resynced

    def now(self, numbers: Numbers) -> int:
        """Return the time at the venue, in the nonces' unit."""
        return self._step(numbers).floor

    def lead_us(self, venue: str) -> int:
        """Return how far the highest nonce of a venue that was given here is ahead of its clock."""
        return max(self.ahead_until_us.get(venue, 0) - self._clock.time_us(), 0)

    def _note(self, venue: str, ahead_until_us: int) -> None:
        self.given[venue] += 1
        if ahead_until_us > self.ahead_until_us.get(venue, 0):
            self.ahead_until_us[venue] = ahead_until_us

    def _step(self, numbers: Numbers, offset_ms: int | None = None) -> Step:
        now_us, units = self._clock.time_us(), numbers.units
        if offset_ms is None:
            offset_ms = self._offset_of(numbers.key)
        floor = (now_us + offset_ms * 1_000) * units // 1_000
        lead_ms = numbers.lead_ms
        ceiling = HIGHEST if lead_ms is None else min(floor + lead_ms * units, HIGHEST)
        return Step(floor, ceiling, _SLACK_MS * units, _GAP_MS * units, now_us // 1_000, units)


def _ahead(numbers: Numbers, nonce: int, step: Step) -> NonceAhead:
    key, ahead_ms = numbers.key, (nonce - step.floor) // numbers.units
    lead_ms = numbers.lead_ms
    return NonceAhead(
        f"the last nonce of {key.name} is {ahead_ms} ms ahead of its venue's clock as this server "
        "knows it, and the venue would refuse the next one; wait, or check the clock and bring "
        f"the nonces down to it with 'privyseal keys resync-nonce {key.key_id}'",
        metadata={"key": key.name, "leadMs": str(ahead_ms)},
        retry_after_ms=None if lead_ms is None else ahead_ms - lead_ms + 1,
    )
