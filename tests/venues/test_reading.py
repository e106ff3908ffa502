"""Clocks and refusals of all venues, read from what they answer."""

import json

import pytest

from fakes import NOW_MS, answer
from privyseald.outbound.outbound import OutboundResponse
from privyseald.venues.reading import (
    Meaning,
    VenueTime,
    date_time,
    reads_answers,
    tells_time,
)
from privyseald.venues.registry import Venues

VENUES = Venues()
NOW_S = NOW_MS // 1_000
DATE = "Tue, 14 Nov 2023 22:13:20 GMT"
EXACT = VenueTime(NOW_MS, 1)
COARSE = VenueTime(NOW_MS, 1_000)


def read_time(venue: str, body: object, *, status: int = 200, date: str = "") -> VenueTime | None:
    """Return what the venue's file reads."""
    found = VENUES.get(venue)
    assert tells_time(found)
    response = answer(body, status=status)
    return found.read_time(
        OutboundResponse(response.status, response.content_type, response.body, date)
    )


def read_answer(venue: str, status: int, body: object) -> Meaning:
    """Return what the venue's file reads."""
    found = VENUES.get(venue)
    assert reads_answers(found)
    return found.read_answer(status, body if isinstance(body, bytes) else json.dumps(body).encode())


@pytest.mark.parametrize(
    ("venue", "body", "expected"),
    [
        ("aster", {"serverTime": NOW_MS + 7}, VenueTime(NOW_MS + 7, 1)),
        ("aster-v3", {"serverTime": NOW_MS}, EXACT),
        ("whitebit", {"time": NOW_S}, COARSE),
        ("nebulaex", NOW_S, COARSE),
    ],
)
def test_the_body_tells_the_time(venue: str, body: object, expected: VenueTime) -> None:
    """Each venue's time endpoint, in its own unit; the header says something else."""
    assert expected == read_time(venue, body, date="Tue, 14 Nov 2023 23:00:00 GMT")


@pytest.mark.parametrize("venue", [venue.name for venue in VENUES])
@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"1", b'{"serverTime":true,"time":"1"}', b'{"time":1e99}']
)
def test_else_the_header_does(venue: str, body: bytes) -> None:
    """Whatever the body is, a `Date` is a time; without either there is none."""
    assert COARSE == read_time(venue, body, date=DATE)
    assert COARSE == read_time(venue, {"serverTime": 1, "time": 1}, status=503, date=DATE)
    assert read_time(venue, body) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "Tue, 14 Nov 2023 22:13:20",
        "Tue, 14 Nov 2023 22:13:20 +0000",
        "Tue, 14 Foo 2023 22:13:20 GMT",
        "Tue, 32 Nov 2023 22:13:20 GMT",
        "Tue, 14 Nov 2023 24:13:20 GMT",
        "Tuesday, 14-Nov-23 22:13:20 GMT",
        "Tue, 14 Nov 0000 22:13:20 GMT",
    ],
)
def test_another_form_of_date_is_none(text: str) -> None:
    """Only the form that servers may send is read; nothing raises."""
    assert COARSE == date_time(DATE)
    assert date_time(text) is None


ASTER = ("aster", "aster-v3")
AHEAD = {"code": -1021, "msg": "Timestamp for this request was 1000ms ahead of the server's time."}
BEHIND = {"code": -1021, "msg": "Timestamp for this request is outside of the recvWindow."}
NOT_AUTHORIZED = {"result": False, "errormsg": "Not Authorized", "errorcode": 20, "detail": None}
TOO_LOW = {"code": 0, "errors": {}, "message": "Too many requests."}
FIVE_SECONDS = "Your nonce is more than 5 seconds lesser than the current nonce"


@pytest.mark.parametrize(
    ("venue", "status", "body", "meaning"),
    [
        ("nebulaex", 401, {"errors": ["authz.nonce_expired"]}, Meaning.NONCE_OUTSIDE),
        ("nebulaex", 401, {"errors": ["authz.nonce_from_future"]}, Meaning.NONCE_AHEAD),
        ("nebulaex", 401, {"errors": ["authz.signature_blacklisted"]}, Meaning.NONCE_STALE),
        ("whitebit", 429, TOO_LOW, Meaning.NONCE_STALE),
        ("whitebit", 400, {"code": 0, "message": FIVE_SECONDS}, Meaning.NONCE_OUTSIDE),
        ("whitebit", 400, {"message": [[FIVE_SECONDS]], "result": []}, Meaning.NONCE_OUTSIDE),
        *((venue, 400, BEHIND, Meaning.NONCE_STALE) for venue in ASTER),
        *((venue, 400, AHEAD, Meaning.NONCE_AHEAD) for venue in ASTER),
        *((venue, 400, {"code": -4225, "msg": "?"}, Meaning.NONCE_STALE) for venue in ASTER),
        ("kiiex", 200, NOT_AUTHORIZED, Meaning.SESSION_EXPIRED),
        ("kiiex", 200, {"Result": False, "ErrorCode": 20}, Meaning.SESSION_EXPIRED),
        ("kiiex", 401, b"", Meaning.SESSION_EXPIRED),
    ],
)
def test_a_refusal_means_what_is_documented(
    venue: str, status: int, body: object, meaning: Meaning
) -> None:
    """The documented refusals, by their codes or words."""
    assert meaning is read_answer(venue, status, body)


@pytest.mark.parametrize("venue", [venue.name for venue in VENUES])
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, {"errors": ["authz.nonce_expired"], "code": -1021, "message": "Too many requests."}),
        (429, {"message": "Too Many Requests", "code": -1003}),
        (400, {"errors": [["authz.nonce_expired"]], "errorcode": 20}),
        (400, {"errors": "authz.nonce_expired", "result": False, "message": [[]]}),
        (422, {"errors": ["authz.nonce_expired", "other"], "code": "-1021"}),
        (500, b"<html>authz.nonce_expired Too many requests. Not Authorized</html>"),
        (400, b"[" * 5_000),
        (400, b'{"code":-1021'),
        (400, b"\xff\xfe"),
        (404, b""),
    ],
)
def test_anything_else_means_nothing(venue: str, status: int, body: object) -> None:
    """Success, limits, pages, halves, depths: nothing is made of them, and nothing raises."""
    assert Meaning.NOTHING is read_answer(venue, status, body)
