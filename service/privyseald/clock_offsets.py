"""By how much each venue's clock is ahead of ours: as configured, or as its answers tell."""

import asyncio
import random
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import structlog

from privyseald.clock import Clock
from privyseald.clock_estimate import Bounds, ClockEstimate, read_clock
from privyseald.errors import Unavailable
from privyseald.keeper import Keeper
from privyseald.key import Key
from privyseald.outbound.outbound import Outbound, OutboundRequest, OutboundResponse
from privyseald.venues.reading import TimedVenue, VenueTime, date_time, tells_time
from privyseald.venues.registry import Venues

_PAUSE_MS = 60_000
_LONGEST_BACKOFF = 16  # pauses
# However often callers report another time.
_SOONEST_MS = 5_000
# At first it is asked in quick succession, until it is known this well.
_GOOD_ERROR_MS = 100
_QUICK_READINGS = 6
_QUICK_PAUSE_MS = 250
_LOGGED_CHANGE_MS = 250
# For so long our own readings count for more than what callers report.
_OWN_LIFE_MS = 600_000
_LONGEST_REPORT_MS = 60_000
# `sign_time` may be another replica's.
_REPORT_ERROR_US = 500_000
_log = structlog.get_logger("privyseald.clock")


@dataclass(frozen=True, slots=True)
class OffsetRule:
    """What the config says of a venue's clock. Without `offset_ms` it is estimated, and an
    estimate beyond `max_ms` either way, or `max_ahead_ms` ahead, is not believed.
    """

    offset_ms: int | None = 0
    max_ms: int = 5_000
    max_ahead_ms: int = 60_000


_NO_RULE = OffsetRule()


class VenueClock:
    """What is known of the clock of one venue's environment."""

    def __init__(self, name: str, rule: OffsetRule) -> None:
        self.name = name
        # Where the venue is asked; nothing else is taken for its clock.
        self.origin = "-"
        self.offset_ms = 0
        self.error_ms: int | None = None
        self.grain_ms = 1
        self.heard = 0
        self.failures = 0
        self.disbelieved = 0
        self.own_until_ms = 0
        self.ask_now = asyncio.Event()
        self.estimate = ClockEstimate()
        self._lowest_ms = -rule.max_ms
        self._highest_ms = min(rule.max_ms, rule.max_ahead_ms)
        self._logged_ms = 0

    def hear(self, reading: Bounds, now_ms: int) -> None:
        """Take a reading; what is out of bounds leaves the offset as it is, loudly."""
        known = self.estimate.add(reading, now_ms)
        offset_ms, error_ms = known.middle_us // 1_000, -(-known.error_us // 1_000)
        if not self._lowest_ms <= offset_ms <= self._highest_ms:
            self.disbelieved += 1
            _log.error(
                "venue clock too far off to be believed; check this machine's clock",
                venue=self.name,
                offset_ms=offset_ms,
                lowest_ms=self._lowest_ms,
                highest_ms=self._highest_ms,
                kept_offset_ms=self.offset_ms,
            )
            return
        self.offset_ms, self.error_ms = offset_ms, error_ms
        if abs(offset_ms - self._logged_ms) > _LOGGED_CHANGE_MS:
            self._logged_ms = offset_ms
            _log.info("venue clock", venue=self.name, offset_ms=offset_ms, error_ms=error_ms)


class ClockOffsets:
    """The offsets of all venues, in this process. Lookups never wait.

    Each process has its own. They move the floor of nonces, and a floor only moves the counter up,
    which all processes share: where offsets differ a little, no nonce comes twice.
    """

    def __init__(
        self,
        clock: Clock,
        venues: Venues,
        outbound: Outbound,
        rules: Mapping[str, OffsetRule],
        keeper: Keeper | None = None,
        *,
        pause_ms: int = _PAUSE_MS,
    ) -> None:
        self._clock = clock
        self._venues = venues
        self._outbound = outbound
        self._rules = rules
        self._pause_ms = pause_ms
        self._keeper = keeper or Keeper(clock)
        self._watched: dict[tuple[str, str], VenueClock] = {}
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def clocks(self) -> Mapping[tuple[str, str], VenueClock]:
        """The clocks that are estimated, by venue and environment."""
        return self._watched

    def offset_ms(self, venue: str, environment: str) -> int:
        """Return what is believed now."""
        known = self._watched.get((venue, environment))
        if known is not None:
            return known.offset_ms
        return self._rules.get(venue, _NO_RULE).offset_ms or 0

    def of(self, key: Key) -> int:
        """Return the same for a key that is about to be used. From then on, a clock that is to be
        estimated is asked for.
        """
        rule = self._rules.get(key.venue, _NO_RULE)
        return self._watch(key, rule).offset_ms if rule.offset_ms is None else rule.offset_ms

    async def send(self, request: OutboundRequest) -> OutboundResponse:
        """Send as an `Outbound` does, and learn from the answer's header `Date`."""
        known = next(
            (each for each in self._watched.values() if request.url.startswith(each.origin)), None
        )
        return await self._send(request, known, None)

    def report(self, key: Key, date: VenueTime, sign_time_ms: int) -> None:
        """Learn from an answer to a request that was signed then, as a caller reports it.

        Our own readings beat it: where the two disagree, the venue is asked at once.
        """
        rule = self._rules.get(key.venue, _NO_RULE)
        now_us, now_ms = self._clock.time_us(), self._clock.monotonic_ms()
        wait_us = now_us - sign_time_ms * 1_000
        if rule.offset_ms is not None or not 0 <= wait_us <= _LONGEST_REPORT_MS * 1_000:
            return
        known = self._watch(key, rule)
        reading = _reading(date, now_us, wait_us).widened(_REPORT_ERROR_US)
        if now_ms >= known.own_until_ms:
            known.hear(reading, now_ms)
            return
        bounds = known.estimate.bounds(now_ms)
        if bounds is not None and bounds.narrowed(reading) is None:
            known.ask_now.set()

    async def close(self) -> None:
        """Ask no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _watch(self, key: Key, rule: OffsetRule) -> VenueClock:
        """Return the clock of a key's venue, which is asked for from the first time on."""
        place = (key.venue, key.environment)
        known = self._watched.get(place)
        if known is not None:
            return known
        known = self._watched[place] = VenueClock("/".join(place), rule)
        venue = self._venues.get(key.venue)
        if tells_time(venue):
            environment = self._venues.environment(venue, key.environment)
            url = environment.url(venue.time_path) or ""
            known.origin = url.removesuffix(venue.time_path)
            request = OutboundRequest("GET", url, (), b"")
            follow = partial(self._follow, known, venue, request)
            self._tasks.append(self._keeper.keep("venue-clock", follow))
        return known

    async def _follow(self, known: VenueClock, venue: TimedVenue, request: OutboundRequest) -> None:
        while True:
            heard = known.heard
            with suppress(Unavailable):
                await self._send(request, known, venue)
            known.failures = 0 if known.heard > heard else known.failures + 1
            if known.failures == 1:
                _log.warning("venue does not tell the time", venue=known.name)
            next_ms = self._next_ms(known)
            soonest_ms = min(next_ms, _SOONEST_MS)
            await asyncio.sleep(soonest_ms / 1_000)
            with suppress(TimeoutError):
                async with asyncio.timeout((next_ms - soonest_ms) / 1_000):
                    await known.ask_now.wait()
            known.ask_now.clear()

    async def _send(
        self, request: OutboundRequest, known: VenueClock | None, venue: TimedVenue | None
    ) -> OutboundResponse:
        """Send, and take the time that the answer to the venue's own question tells, or the
        header of any other.
        """
        began_ms = self._clock.monotonic_ms()
        answer = await self._outbound.send(request)
        now_us, now_ms = self._clock.time_us(), self._clock.monotonic_ms()
        time = venue.read_time(answer) if venue else date_time(answer.date)
        if known is not None and time is not None:
            wait_ms = now_ms - began_ms if answer.wait_ms is None else answer.wait_ms
            # Both ends of the wait are whole milliseconds.
            known.hear(_reading(time, now_us, (wait_ms + 1) * 1_000), now_ms)
            known.heard += 1
            known.grain_ms = time.grain_ms
            known.own_until_ms = now_ms + _OWN_LIFE_MS
        return answer

    def _next_ms(self, known: VenueClock) -> float:
        """Return after how long to ask again. Where a venue tells whole seconds, that is as its
        second turns, as far as that is known: then the answer halves what is not known.
        """
        pause_ms: float = _QUICK_PAUSE_MS
        bounds = known.estimate.bounds(self._clock.monotonic_ms())
        error_us = bounds.error_us if bounds else 0
        if known.failures:
            pause_ms = self._pause_ms * min(2 ** (known.failures - 1), _LONGEST_BACKOFF)
        elif known.estimate.count >= _QUICK_READINGS or error_us <= _GOOD_ERROR_MS * 1_000:
            pause_ms = self._pause_ms
        pause_ms *= random.uniform(0.75, 1.25)  # noqa: S311  # spreads load, hides nothing
        if bounds is None or known.grain_ms == 1:
            return pause_ms
        then_us = self._clock.time_us() + round(pause_ms * 1_000) + bounds.middle_us
        return pause_ms + -then_us % (known.grain_ms * 1_000) / 1_000


def _reading(time: VenueTime, received_us: int, wait_us: int) -> Bounds:
    return read_clock(time.time_ms * 1_000, time.grain_ms * 1_000, received_us, wait_us)
