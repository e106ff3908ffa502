import asyncio

import aiohttp
import pytest

from privyseald.sandbox.faults import Fault, Faults, Spoil
from sandbox.caller import START_MS, Caller

TIME = "/api/v4/public/time"


async def test_latency_delays_the_answer(caller: Caller) -> None:
    """The venue's own answer comes, late."""
    caller.sandbox.faults.add(Fault("whitebit", latency_ms=80))
    loop = asyncio.get_running_loop()
    before = loop.time()
    reply = await caller.send("whitebit", "GET", TIME)
    assert reply.json == {"time": START_MS // 1000}
    assert loop.time() - before >= 0.08


async def test_status_without_handling_hides_the_venue(caller: Caller) -> None:
    """The status comes in the venue's place, and nothing was accepted."""
    caller.sandbox.faults.add(Fault("whitebit", status=503))
    reply = await caller.send("whitebit", "GET", TIME)
    (seen,) = caller.sandbox.requests()
    assert (reply.status, reply.json) == (503, {"sandbox": "fault"})
    assert (seen.accepted, seen.refusal, seen.status) == (False, "fault", 503)
    assert seen.fault == "status=503"


async def test_status_after_handling_keeps_the_body(caller: Caller) -> None:
    """The venue acts, and its answer arrives under another status."""
    caller.sandbox.faults.add(Fault("whitebit", status=503, handled=True))
    reply = await caller.send("whitebit", "GET", TIME)
    assert (reply.status, reply.json) == (503, {"time": START_MS // 1000})
    assert caller.sandbox.requests()[0].accepted


@pytest.mark.parametrize(
    ("spoil", "content_type", "body"),
    [
        (Spoil.HTML, "text/html", b"<html>"),
        (Spoil.EMPTY, "application/json", b""),
        (Spoil.WRONG_JSON, "application/json", b'{"wrong":["json"]}'),
    ],
)
async def test_answer_is_spoilt(
    caller: Caller, spoil: Spoil, content_type: str, body: bytes
) -> None:
    """HTML, nothing, or JSON of another shape comes in the answer's place."""
    caller.sandbox.faults.add(Fault("whitebit", spoil=spoil))
    reply = await caller.send("whitebit", "GET", TIME)
    assert reply.status == 200
    assert reply.headers["Content-Type"].startswith(content_type)
    assert reply.body.startswith(body)
    assert bool(body) == bool(reply.body)


@pytest.mark.parametrize(("status", "expected"), [(None, 302), (307, 307)])
async def test_redirect_leads_elsewhere(caller: Caller, status: int | None, expected: int) -> None:
    """A redirect has a location, by 302 or the status that is given."""
    caller.sandbox.faults.add(Fault("whitebit", spoil=Spoil.REDIRECT, status=status))
    reply = await caller.send("whitebit", "GET", TIME)
    assert (reply.status, reply.headers["Location"]) == (expected, "/elsewhere")
    assert caller.sandbox.requests()[0].status == expected


@pytest.mark.parametrize("handled", [True, False])
async def test_half_an_answer_breaks_off(caller: Caller, handled: bool) -> None:
    """The answer ends before the length that it announced."""
    caller.sandbox.faults.add(Fault("whitebit", spoil=Spoil.HALF, handled=handled))
    with pytest.raises(aiohttp.ClientPayloadError):
        await caller.send("whitebit", "GET", TIME)
    assert caller.sandbox.requests()[0].accepted is handled


@pytest.mark.parametrize("handled", [True, False])
async def test_dropped_connection_gives_no_answer(caller: Caller, handled: bool) -> None:
    """The caller gets nothing, whether the venue acted (outcome unknown) or not."""
    fault = Fault("whitebit", method="POST", spoil=Spoil.DROP, handled=handled)
    caller.sandbox.faults.add(fault)
    with pytest.raises(aiohttp.ClientConnectionError):
        await caller.send("whitebit", "POST", TIME)
    (seen,) = caller.sandbox.requests()
    assert seen.refusal == ("Method not allowed." if handled else "fault")
    assert "spoil=drop" in seen.fault


async def test_skew_moves_the_clock_of_one_request(caller: Caller) -> None:
    """The venue's clock is off while the fault lasts, and right after it."""
    caller.sandbox.faults.add(Fault("whitebit", times=1, clock_skew_ms=-7_000))
    skewed = await caller.send("whitebit", "GET", TIME)
    right = await caller.send("whitebit", "GET", TIME)
    assert skewed.json == {"time": START_MS // 1000 - 7}
    assert right.json == {"time": START_MS // 1000}


async def test_locked_takes_every_kiiex_user_as_locked(caller: Caller) -> None:
    """While the fault lasts a login says locked, and the account itself stays as it was."""
    caller.sandbox.faults.add(Fault("kiiex", times=1, locked=True))
    headers = {"APIKey": "k", "UserId": "149", "Nonce": "1", "Signature": "s"}
    locked = await caller.send("kiiex", "POST", "/ap/AuthenticateUser", headers)
    after = await caller.send("kiiex", "POST", "/ap/AuthenticateUser", headers)
    assert locked.text("errormsg") == "User is locked"
    assert after.text("errormsg") == "Invalid username or password"
    assert not caller.sandbox.accounts.kiiex["149"].locked


async def test_fault_hits_its_paths_and_methods(caller: Caller) -> None:
    """Only requests of the pattern, at that venue, are hit."""
    caller.sandbox.faults.add(Fault("whitebit", path="*/time", method="GET", status=500))
    hit = await caller.send("whitebit", "GET", TIME + "?a=1")
    path = await caller.send("whitebit", "GET", "/api/v4/public/ping")
    method = await caller.send("whitebit", "POST", TIME)
    venue = await caller.send("aster", "GET", "/fapi/v1/time")
    assert (hit.status, path.status, method.status, venue.status) == (500, 200, 405, 200)


async def test_fault_lasts_for_its_number_of_requests(caller: Caller) -> None:
    """After `times` requests the fault is over and gone from the list."""
    caller.sandbox.faults.add(Fault("whitebit", times=2, status=500))
    statuses = [(await caller.send("whitebit", "GET", TIME)).status for _ in range(3)]
    assert statuses == [500, 500, 200]
    assert caller.sandbox.faults.list() == ()


def test_latest_fault_comes_first_and_clear_ends_all() -> None:
    """One request meets one fault, the one added last."""
    faults = Faults()
    first, second = Fault("aster", status=500), Fault("aster", status=501)
    faults.add(first)
    faults.add(second)
    assert faults.take("aster", "GET", "/") is second
    assert faults.list() == (second, first)
    faults.clear()
    assert faults.take("aster", "GET", "/") is None


def test_fault_that_makes_no_sense_is_refused() -> None:
    """Unknown venues, no times and odd statuses can't be built."""
    with pytest.raises(ValueError, match="venue must be one of"):
        Fault("kraken")
    with pytest.raises(ValueError, match="times must be at least 1"):
        Fault("aster", times=0)
    assert [Fault("aster", status=status).status for status in (200, 599)] == [200, 599]
    for status in (199, 600):
        with pytest.raises(ValueError, match="status must be from 200 to 599"):
            Fault("aster", status=status)
