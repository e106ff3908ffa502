"""Faults that a venue shows on purpose: slow, wrong, cut, silent, out of time."""

from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase

VENUES = ("nebulaex", "kiiex", "whitebit", "aster")


class Spoil(StrEnum):
    """What becomes of the answer."""

    HTML = "html"
    EMPTY = "empty"
    HALF = "half"
    WRONG_JSON = "wrong-json"
    REDIRECT = "redirect"
    DROP = "drop"


@dataclass(slots=True)
class Fault:
    """A fault at one venue, for paths of a pattern, for the next `times` requests or for ever.

    `handled` says that the venue acts on the request before the answer is lost or spoilt:
    the caller can't know the outcome. Where neither `status` nor `spoil` is given the venue
    answers as always, late by `latency_ms` and with its clock off by `clock_skew_ms`.
    `locked` makes KIIEX take every user as locked.
    """

    venue: str
    path: str = "*"
    method: str = "*"
    times: int | None = None
    latency_ms: int = 0
    status: int | None = None
    spoil: Spoil | None = None
    handled: bool = False
    clock_skew_ms: int = 0
    locked: bool = False

    def __post_init__(self) -> None:
        if self.venue not in VENUES:
            raise ValueError(f"venue must be one of {', '.join(VENUES)}")
        if self.times is not None and self.times < 1:
            raise ValueError("times must be at least 1")
        if self.status is not None and not 200 <= self.status <= 599:
            raise ValueError("status must be from 200 to 599")

    @property
    def replaces(self) -> bool:
        """Whether the caller gets another answer than the venue's."""
        return self.status is not None or self.spoil is not None

    @property
    def answer_status(self) -> int | None:
        """The HTTP status of the answer; None leaves the venue's own."""
        return 302 if self.status is None and self.spoil is Spoil.REDIRECT else self.status

    def hits(self, venue: str, method: str, path: str) -> bool:
        """Whether this request is one of those that the fault is for."""
        return (
            self.venue == venue
            and fnmatchcase(method, self.method)
            and fnmatchcase(path, self.path)
        )


class Faults:
    """The faults in force, the latest first: one request meets at most one."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Put a fault in force; it comes before those that were there."""
        self._faults.insert(0, fault)

    def clear(self) -> None:
        """End all faults."""
        self._faults.clear()

    def list(self) -> tuple[Fault, ...]:
        """Return the faults that still wait for a request."""
        return tuple(self._faults)

    def take(self, venue: str, method: str, path: str) -> Fault | None:
        """Return the fault for this request, and count it."""
        for fault in self._faults:
            if fault.hits(venue, method, path):
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times == 0:
                        self._faults.remove(fault)
                return fault
        return None
