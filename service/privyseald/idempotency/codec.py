"""The port of how an answer travels between replicas, also of two releases."""

from typing import Protocol, TypeVar

_T = TypeVar("_T")


class Codec(Protocol[_T]):
    """Writes answers of one kind as bytes, and reads them."""

    def dump(self, answer: _T) -> bytes:
        """Return the answer as bytes."""

    def load(self, data: bytes) -> _T:
        """Return an answer equal to the one that was dumped. Raises ValueError for all else."""
