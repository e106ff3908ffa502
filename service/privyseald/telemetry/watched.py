"""What counts from the start on: calls to others, the lag of the event loop, and what
goes on in the background.
"""

from privyseald.calls import Calls
from privyseald.clock import Clock
from privyseald.keeper import Keeper
from privyseald.telemetry.loop_lag import LoopLag
from privyseald.tracer import Tracer
from privyseald.vault.operations import vault_outcome_of


class Watched:
    """Made first, and handed to whatever calls others."""

    def __init__(self, clock: Clock, tracer: Tracer | None = None) -> None:
        self.vault_calls = Calls("vault", clock, tracer, vault_outcome_of)
        self.venue_calls = Calls("venue", clock, tracer)
        self.state_calls = Calls("state", clock, tracer)
        self.lag = LoopLag(clock)
        self.keeper = Keeper(clock)
