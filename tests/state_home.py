"""The adapters of the State port under contract, each with a way to end without a goodbye."""

import time
from pathlib import Path
from typing import Protocol

from privyseald.clock import Clock, SystemClock
from privyseald.state.embedded import EmbeddedState
from privyseald.state.state import HIGHEST, State, Step
from privyseald.state.valkey import ValkeyState
from privyseald.state_config import StateConfig
from valkey_server import ValkeyServer

_NO_GAP = 10**15


def step_of(floor: int, ceiling: int = HIGHEST, slack: int = 500) -> Step:
    """Return a step as a test asks for it, with a gap that no test reaches by chance."""
    return Step(floor, ceiling, slack, _NO_GAP, time.time_ns() // 1_000_000)


class StateHome(Protocol):
    """Opens one and the same state again and again."""

    async def start(self) -> State:
        """Return the state, as a process that starts gets it."""

    async def kill(self, state: State) -> None:
        """End a state as a killed process does: nothing more is written."""


class EmbeddedStateHome:
    """A high-water file in a folder of the test's own."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "nonces.high-water"

    def open(self, clock: Clock | None = None) -> EmbeddedState:
        """Open the file."""
        return EmbeddedState.open_path(self._path, clock)

    async def start(self) -> State:
        """Open the file."""
        return self.open()

    async def kill(self, state: State) -> None:
        """Do as `crash`."""
        self.crash(state)

    def crash(self, state: State) -> None:
        """Close the descriptors, as the kernel does."""
        assert isinstance(state, EmbeddedState)
        state._thread.shutdown()
        state._file.close()
        state._spent.abandon()
        state._values.abandon()


class ValkeyStateHome:
    """A Valkey of the test's own, which outlives the processes that use it."""

    def __init__(self, server: ValkeyServer) -> None:
        self._config = StateConfig(url=server.url)

    async def start(self) -> State:
        """Connect."""
        return await ValkeyState.open(self._config, SystemClock())

    async def kill(self, state: State) -> None:
        """Close the connections, as the kernel does."""
        await state.close()
