"""From the configuration to the state that replicas share."""

from privyseald.clock import Clock
from privyseald.keeper import Keeper
from privyseald.state.embedded import EmbeddedState
from privyseald.state.state import State
from privyseald.state.valkey import ValkeyState
from privyseald.state_config import StateConfig


async def open_state(config: StateConfig, clock: Clock, keeper: Keeper | None = None) -> State:
    """Return the state of the config. Raises ConfigInvalid.

    A Valkey that can't be reached now is no reason not to start: it is tried on.
    """
    if config.is_embedded and config.path is not None:
        return EmbeddedState.open_path(config.path, clock)
    return await ValkeyState.open(config, clock, keeper)
