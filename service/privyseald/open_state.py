"""From the configuration to the state that replicas share."""

from privyseald.clock import Clock
from privyseald.config_error import ConfigInvalid
from privyseald.state.embedded import EmbeddedState
from privyseald.state.state import State
from privyseald.state_config import StateConfig


def open_state(config: StateConfig, clock: Clock) -> State:
    """Return the state of the config. Raises ConfigInvalid."""
    if config.is_embedded and config.path is not None:
        return EmbeddedState.open_path(config.path, clock)
    raise ConfigInvalid("state.url: this build knows 'embedded' alone")
