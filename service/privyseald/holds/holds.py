"""The holds that this server knows: what every request looks at, and waits for nothing."""

import math
from collections.abc import Callable

import structlog

from privyseald.caller import Caller
from privyseald.clock import Clock
from privyseald.errors import StateUnavailable
from privyseald.holds.hold import Hold
from privyseald.holds.known_holds import KnownHolds
from privyseald.holds.stops import Stops

_log = structlog.get_logger("privyseald.holds")


class Holds:
    """Says no while a hold is in force, and while that can't be known.

    `SharedHolds` keeps it up to date. `on_begin` hears of each hold that begins.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._stops = Stops()
        self._is_any = False
        self._fresh_until_ms = -math.inf
        self._asked_ms: int | None = None
        self.known = KnownHolds()
        self.on_begin: list[Callable[[Hold], None]] = []
        # For those who watch: requests refused for a hold, and for not knowing.
        self.refused = 0
        self.refused_blind = 0

    def check(self, caller: Caller, key_id: str, venue: str = "") -> None:
        """Return if the caller may use the key now. `venue` is empty while it is not known.

        Raises Held, and StateUnavailable where whether there is a hold can't be known.
        """
        if self._clock.monotonic_ms() > self._fresh_until_ms:
            raise self._blind()
        if self._is_any:
            self.check_caller(caller)
            self._check_key(key_id, venue)

    def check_key(self, key_id: str, venue: str) -> None:
        """Return if the key may be used now, whoever asks. Raises as `check`."""
        if self._clock.monotonic_ms() > self._fresh_until_ms:
            raise self._blind()
        if self._is_any:
            self._check_key(key_id, venue)

    def check_caller(self, caller: Caller) -> None:
        """Return if no hold that is known stops the caller. Raises Held."""
        if self._is_any and (held := self._stops.on_caller(caller.name)) is not None:
            self.refused += 1
            raise held

    def take(self, known: KnownHolds) -> None:
        """Let these holds be in force from now on."""
        before, self.known = self.known, known
        if before.holds == known.holds:
            return
        self._stops = Stops(known.holds.values())
        self._is_any = bool(known.holds)
        for hold in known.holds.values():
            if hold.hold_id not in before.holds:
                _log.warning("hold begins", **hold.told())
                for hear in self.on_begin:
                    hear(hold)
        for hold in before.holds.values():
            if hold.hold_id not in known.holds:
                _log.warning("hold ends", **hold.told())

    @property
    def age_ms(self) -> float:
        """How long ago what is known was confirmed; 0 where that is for ever, infinite before."""
        if self._fresh_until_ms == math.inf:
            return 0
        return math.inf if self._asked_ms is None else self._clock.monotonic_ms() - self._asked_ms

    def confirm(self, until_ms: float, *, asked_ms: int | None = None) -> None:
        """Believe what is known until then; it was asked for at `asked_ms`. Both are the clock's
        monotonic milliseconds.
        """
        self._fresh_until_ms, self._asked_ms = until_ms, asked_ms

    def _check_key(self, key_id: str, venue: str) -> None:
        if (held := self._stops.on_key(key_id, venue)) is not None:
            self.refused += 1
            raise held

    def _blind(self) -> StateUnavailable:
        self.refused_blind += 1
        return StateUnavailable(
            "whether a hold is in force can't be known: this server has not heard from the shared "
            "state for too long; try again, at another server if you can",
            retry_after_ms=500,
        )
