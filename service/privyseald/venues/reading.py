"""What a venue's file may offer beside signing: to read its clock, and to read its answers."""

import calendar
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeGuard

from privyseald.outbound.outbound import OutboundResponse
from privyseald.strict_json import is_deeper_than
from privyseald.venues.venue import Venue

_MAX_DEPTH = 64
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
# IMF-fixdate, the one form that RFC 9110 lets servers send (section 5.6.7).
_DATE = re.compile(
    r"[A-Z][a-z]{2}, ([0-9]{2}) ([A-Z][a-z]{2}) ([0-9]{4}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) GMT"
)


@dataclass(frozen=True, slots=True)
class VenueTime:
    """What a venue's clock showed, in Unix milliseconds: this, or less than `grain_ms` more."""

    time_ms: int
    grain_ms: int


class Meaning(StrEnum):
    """What an answer says of the request's nonce (or time), or of its session."""

    NOTHING = "nothing"
    # The venue has seen a higher one, or this one, or it lay too far behind the venue's clock.
    NONCE_STALE = "nonce-stale"
    NONCE_AHEAD = "nonce-ahead"
    # Too far from the venue's clock; the answer does not tell on which side.
    NONCE_OUTSIDE = "nonce-outside"
    SESSION_EXPIRED = "session-expired"


class TimedVenue(Venue, Protocol):
    """A venue whose clock can be asked for, without a key and at little cost."""

    @property
    def time_path(self) -> str:
        """The path of a GET that anybody may send."""

    def read_time(self, answer: OutboundResponse) -> VenueTime | None:
        """Return what the venue's clock showed; None where the answer does not tell."""


class AnsweringVenue(Venue, Protocol):
    """A venue whose refusals can be understood."""

    def read_answer(self, status: int, body: bytes) -> Meaning:
        """Return what an answer to a signed request means; NOTHING where that is not sure."""


def tells_time(venue: Venue) -> TypeGuard[TimedVenue]:
    """Whether the venue's clock can be asked for."""
    return hasattr(venue, "read_time")


def reads_answers(venue: Venue) -> TypeGuard[AnsweringVenue]:
    """Whether the venue's refusals can be understood."""
    return hasattr(venue, "read_answer")


def date_time(date: str) -> VenueTime | None:
    """Return the time of a header `Date`; None where it is none."""
    match = _DATE.fullmatch(date)
    if match is None or match[2] not in _MONTHS:
        return None
    day, year, hour, minute, second = (int(match[group]) for group in (1, 3, 4, 5, 6))
    if not (1 <= day <= 31 and year >= 1970 and hour < 24 and minute < 60 and second <= 60):
        return None
    parts = (year, _MONTHS.index(match[2]) + 1, day, hour, minute, second)
    return VenueTime(calendar.timegm(parts) * 1_000, 1_000)


def number_time(answer: OutboundResponse, name: str, unit_ms: int) -> VenueTime | None:
    """Return the time under a name of a JSON answer, in units; the header `Date` else."""
    value = object_of(answer.body).get(name) if answer.status == 200 else None
    if type(value) is int and 0 < value * unit_ms < 2**53:
        return VenueTime(value * unit_ms, unit_ms)
    return date_time(answer.date)


def object_of(body: bytes) -> Mapping[str, object]:
    """Return the JSON object of an answer; an empty one where it is anything else."""
    try:
        text = body.decode("utf-8-sig")
        value = {} if is_deeper_than(_MAX_DEPTH, text) else json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
