import asyncio
import time
import traceback
from collections.abc import Callable

import aiohttp
import httpx
import pytest
import requests
from http_doors import DOORS, opened
from scripted_server import ScriptedServer
from test_doors import asked, reports, signed, signer, venue
from urllib3.util import Retry
from venue_server import DROP, Slowly, VenueServer, http_answer

import privyseal.aiohttp
import privyseal.beginning
import privyseal.httpx_like
from privyseal import ConfigurationError, RequestRefused
from privyseal.v1 import signing_service_pb2 as pb

__all__ = ["signer", "venue"]

REPORT_S = 0.3


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have reports take less time than they may."""
    for module in (privyseal.beginning, privyseal.httpx_like, privyseal.aiohttp):
        monkeypatch.setattr(module, "REPORT_TIMEOUT_S", REPORT_S)


every_door = pytest.mark.parametrize("door", DOORS)


def bad(length: int) -> bytes:
    """Return the head of an answer that is reported."""
    return f"HTTP/1.1 400 Bad\r\nContent-Length: {length}\r\n\r\n".encode()


def by_query(venue: VenueServer, server: ScriptedServer) -> Callable[[bytes, object], bytes]:
    """Return an action that signs as venues want it that take the signature in the query."""

    def sign(request: bytes, _: object) -> bytes:
        response = signed(venue, server, pb.SignRequest.FromString(request))
        response.signed_http_request.url += "?signature=s3cr3t"
        response.signed_http_request.headers.add(name="X-Key", value="s3cr3t")
        return response.SerializeToString()

    return sign


@every_door
@pytest.mark.usefixtures("hasty")
async def test_a_slow_answer_is_not_waited_for(
    door: str, venue: VenueServer, signer: ScriptedServer
) -> None:
    """The report has its time, reading included; then the caller reads on, and has it whole."""
    venue.answers.append(Slowly((bad(6), *(b"%d" % digit for digit in range(6))), 0.1))
    async with opened(door, signer.target) as http:
        started_s = time.monotonic()
        async with http.streamed("http://venue.example/a") as read:
            assert 0.9 * REPORT_S < time.monotonic() - started_s < 0.55
            assert b"012345" == await read()
        got = await http.send("GET", "http://venue.example/a")
    assert (200, []) == (got.status, reports(signer))


@every_door
async def test_a_long_answer_is_not_read_whole(
    door: str, venue: VenueServer, signer: ScriptedServer
) -> None:
    """Its beginning is reported, and the rest read by the caller."""
    begin, rest = b"a" * 70_000, b"b" * 300_000
    venue.answers.append(Slowly((bad(370_000) + begin, rest), 0.7))
    async with opened(door, signer.target) as http:
        started_s = time.monotonic()
        async with http.streamed("http://venue.example/a") as read:
            assert time.monotonic() - started_s < 0.6
            assert [begin[:65_536]] == [each.body for each in reports(signer)]
            assert begin + rest == await read()


@every_door
async def test_a_reported_answer_streams(
    door: str, venue: VenueServer, signer: ScriptedServer
) -> None:
    """All of it, in the library's own way; and its connection is used again."""
    chunked = (
        b"HTTP/1.1 400 Bad\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    )
    venue.answers += [http_answer("400 Bad", b"abcde"), chunked, http_answer("400 Bad")]
    async with opened(door, signer.target) as http:
        for body in (b"abcde", b"abcde", b""):
            async with http.streamed("http://venue.example/a") as read:
                assert body == await read()
    assert [b"abcde", b"abcde", b""] == [each.body for each in reports(signer)]
    assert 1 == venue.connections


@every_door
async def test_an_answer_that_breaks_off(
    door: str, venue: VenueServer, signer: ScriptedServer
) -> None:
    """It is reported as far as it came, and breaks where the caller reads it."""
    venue.answers += [Slowly((bad(9) + b"begun",), 0), DROP]
    async with opened(door, signer.target) as http:
        http.http.headers["Connection"] = "close"
        venue.ends = True
        async with http.streamed("http://venue.example/a") as read:
            with pytest.raises(Exception, match=r"(?i)peer closed|incomplete|not enough|payload"):
                await read()
    assert [b"begun"] == [each.body for each in reports(signer)]


@every_door
@pytest.mark.usefixtures("hasty")
async def test_a_slow_answer_that_is_given_up(
    door: str, venue: VenueServer, signer: ScriptedServer
) -> None:
    """By closing it, and by cancelling the request: nothing hangs, and the next one goes out."""
    slow = Slowly((bad(9), *[b"x"] * 8), 0.25)
    is_async = door == "aiohttp" or door.endswith("async")
    venue.answers += [slow, slow] if is_async else [slow]
    async with opened(door, signer.target) as http:
        async with http.streamed("http://venue.example/a"):
            pass
        if is_async:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(http.send("GET", "http://venue.example/a"), 0.2)
        assert 200 == (await http.send("GET", "http://venue.example/b")).status


@every_door
async def test_no_signature_in_the_text_of_an_error(
    door: str, venue: VenueServer, signer: ScriptedServer
) -> None:
    """Of a venue that is away, does not answer, or answers with an error."""
    signer.always("Sign", by_query(venue, signer))
    venue.answers += [DROP, Slowly((b"",), 0.6), http_answer("400 Bad")]
    timeout: float | aiohttp.ClientTimeout = 0.3
    if door == "aiohttp":
        timeout = aiohttp.ClientTimeout(sock_read=0.3)
    errors: list[BaseException] = []
    async with opened(door, signer.target) as http:
        for _ in range(2):
            with pytest.raises(
                (httpx.HTTPError, OSError, aiohttp.ClientError, Exception)
            ) as raised:
                await http.send("POST", "http://venue.example/a", timeout=timeout)
            errors.append(raised.value)
        if door == "aiohttp":
            with pytest.raises(aiohttp.ClientResponseError) as bad_status:
                await http.send("POST", "http://venue.example/a", raise_for_status=True)
            errors.append(bad_status.value)
        if door == "requests":
            response = await asyncio.to_thread(http.http.post, "http://venue.example/a")
            with pytest.raises(requests.HTTPError, match=r"venue\.example") as bad_request:
                response.raise_for_status()
            errors.append(bad_request.value)
        url, venue.url = venue.url, "http://127.0.0.1:1"
        with pytest.raises((httpx.HTTPError, OSError, aiohttp.ClientError, Exception)) as refused:
            await http.send("POST", "http://venue.example/a")
        errors.append(refused.value)
        venue.url = url
    for error in errors:
        text = "".join(traceback.format_exception(error)) + repr(error)
        assert "s3cr3t" not in text, text


@every_door
@pytest.mark.parametrize("url", ["/a?", "/a#b", "/a?b#c", "/a b", "/a\r\nX: y", "/é"])
async def test_a_signed_url_that_would_lose_something(
    door: str, url: str, venue: VenueServer, signer: ScriptedServer
) -> None:
    """It goes out letter by letter, or not at all."""
    response = pb.SignResponse()
    response.signed_http_request.method = "GET"
    response.signed_http_request.url = venue.url + url
    signer.then("Sign", lambda *_: response.SerializeToString())
    async with opened(door, signer.target) as http:
        if url == "/a?" and door in DOORS[:4]:
            await http.send("GET", "http://venue.example/a")
            assert "GET /a? HTTP/1.1" == venue.received[0].line
        else:
            with pytest.raises(RequestRefused, match="would change the signed URL"):
                await http.send("GET", "http://venue.example/a")
            assert [] == venue.received


@every_door
async def test_an_empty_part_does_not_end_a_body(
    door: str, venue: VenueServer, signer: ScriptedServer
) -> None:
    """What comes after it is signed and sent too."""
    async with opened(door, signer.target) as http:
        parts = http.stream_of([b"ab", b"", b"cd"])
        await http.send("POST", "http://venue.example/a", content=parts)
    assert b"abcd" == venue.received[0].body == asked(signer)[0].http_request.body


async def test_retries_of_urllib3(venue: VenueServer, signer: ScriptedServer) -> None:
    """They would send an old signature, and can't be had."""
    async with opened("requests", signer.target) as http:
        adapter = http.http.get_adapter("http://x")
        for wrong in (Retry(3, status_forcelist=[503]), Retry(None)):
            with pytest.raises(ConfigurationError, match="signed anew"):
                adapter.max_retries = wrong
        adapter.max_retries = Retry(0)
        venue.answers.append(http_answer("503 Away", b"", Retry_After="0"))
        assert 503 == (await http.send("PUT", "http://venue.example/a", content=b"x")).status
    assert 1 == len(venue.received)


async def test_a_redirect_by_another_header(venue: VenueServer, signer: ScriptedServer) -> None:
    """In `URI`, which aiohttp follows too."""
    for headers in ({"URI": "/b"}, {"uri": "/b"}, {"Location": "", "URI": "/b"}):
        venue.answers.append(http_answer("307 Go", b"", **headers))
        async with opened("aiohttp", signer.target) as http:
            with pytest.raises(RequestRefused, match="redirects"):
                await http.send("GET", "http://venue.example/a")
    assert 3 == len(venue.received)
