"""The adapters of the State port under contract, each with a way to end without a goodbye."""

from pathlib import Path
from typing import Protocol

from privyseald.state.embedded import EmbeddedState
from privyseald.state.state import HIGHEST, State, Step


def step_of(floor: int, ceiling: int = HIGHEST, slack: int = 500) -> Step:
    """Return a step as a test asks for it, with a gap that no test reaches by chance."""
    return Step(floor, ceiling, slack, 10**15, 0)


class StateHome(Protocol):
    """Opens one and the same state again and again."""

    def open(self) -> State:
        """Return the state, as a process that starts gets it."""

    def crash(self, state: State) -> None:
        """End a state as a killed process does: nothing more is written."""


class EmbeddedStateHome:
    """A high-water file in a folder of the test's own."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "nonces.high-water"

    def open(self) -> EmbeddedState:
        """Open the file."""
        return EmbeddedState.open_path(self._path)

    def crash(self, state: State) -> None:
        """Close the descriptors, as the kernel does."""
        assert isinstance(state, EmbeddedState)
        state._thread.shutdown()
        state._file.close()
        state._values.abandon()
