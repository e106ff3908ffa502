import asyncio
import gzip
import socket
import ssl
import time
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from outbound.raw_venue import raw_venue
from privyseald import __version__
from privyseald.errors import Unavailable, VenueOutcomeUnknown, VenueUnreachable
from privyseald.outbound.http import HttpOutbound
from privyseald.outbound.outbound import OutboundRequest, OutboundResponse
from server_certificate import write_certificate

MIB = 1_048_576


@pytest.fixture
async def outbound() -> AsyncIterator[HttpOutbound]:
    """A client with short patience."""
    client = HttpOutbound(timeout_ms=1_000, connect_timeout_ms=300)
    yield client
    await client.close()


def get(url: str) -> OutboundRequest:
    """Return the plainest request."""
    return OutboundRequest("GET", url, (), b"")


def reply(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """Return an answer with its length."""
    head = "\r\n".join((f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers))
    return head.encode() + b"\r\n\r\n" + body


async def failure_of(outbound: HttpOutbound, url: str) -> Unavailable:
    """Return how a request failed, within the client's patience."""
    began = time.monotonic()
    with pytest.raises(Unavailable) as caught:
        await outbound.send(get(url))
    assert time.monotonic() - began < 5
    return caught.value


async def test_a_request_goes_out_as_it_is(outbound: HttpOutbound) -> None:
    """URL, header order and case, and body reach the venue byte for byte; what HTTP itself
    needs is added beside them.
    """
    target = "/a%2cb/%7e;x=1/~%C3%a4?s=%2C+%20&t=a%zz&&u=%2F/?&e="
    headers = (("X-b", "2"), ("x-A", "1"), ("Content-Type", "application/json"), ("X-b", "3"))
    async with raw_venue() as venue:
        await outbound.send(
            OutboundRequest("POST", venue.url + target, headers, b'{"b":1.0, "a":"\xc3\xa4"}\n')
        )

    head, _, body = venue.requests[0].partition(b"\r\n\r\n")
    line, *lines = head.decode().split("\r\n")
    assert f"POST {target} HTTP/1.1" == line
    assert b'{"b":1.0, "a":"\xc3\xa4"}\n' == body
    given = [f"{name}: {value}" for name, value in headers]
    assert given == [each for each in lines if each in given]
    assert {
        f"Host: {venue.url.removeprefix('http://')}",
        f"User-Agent: privyseal/{__version__}",
        "Accept: */*",
        "Accept-Encoding: gzip, deflate",
        f"Content-Length: {len(body)}",
        "Connection: close",
    } == set(lines) - set(given)


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_a_request_without_a_body_has_none(outbound: HttpOutbound, method: str) -> None:
    """Nothing is made up where the body is empty."""
    async with raw_venue() as venue:
        await outbound.send(OutboundRequest(method, venue.url + "/", (), b""))

    assert venue.requests[0].startswith(f"{method} / HTTP/1.1\r\n".encode())
    assert venue.requests[0].endswith(b"\r\n\r\n")


@pytest.mark.parametrize("status", ["200 OK", "204 No Content", "400 Bad", "429 X", "503 Y"])
async def test_any_status_is_an_answer(outbound: HttpOutbound, status: str) -> None:
    """What a status means is for the venue's file to say."""
    body = b"" if status.startswith("204") else b"words"
    async with raw_venue(reply(body, "Content-Type: text/plain", status=status)) as venue:
        response = await outbound.send(get(venue.url))

    assert OutboundResponse(int(status[:3]), "text/plain", body) == response


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("Content-Type: application/json; charset=utf-8", "application/json"),
        ("Content-Type: TEXT/HTML", "text/html"),
        ("Content-Type: rubbish", "application/octet-stream"),
        ("X-None: 1", "application/octet-stream"),
    ],
)
async def test_the_media_type_is_told_bare(
    outbound: HttpOutbound, header: str, expected: str
) -> None:
    """Parameters and case are taken off; what is none counts as bytes."""
    async with raw_venue(reply(b"{}", header)) as venue:
        response = await outbound.send(get(venue.url))

    assert expected == response.content_type


@pytest.mark.parametrize(
    "answer",
    [
        reply(gzip.compress(b'{"a":1}', mtime=0), "Content-Encoding: gzip"),
        reply(zlib.compress(b'{"a":1}'), "Content-Encoding: deflate"),
        b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{"a\r\n4\r\n":1}\r\n0\r\n\r\n',
        b'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{"a":1}',
        b'HTTP/1.0 200 OK\r\n\r\n{"a":1}',
    ],
)
async def test_an_answer_is_read_however_it_travels(outbound: HttpOutbound, answer: bytes) -> None:
    """Compressed, in chunks, or up to the connection's end."""
    async with raw_venue(answer) as venue:
        response = await outbound.send(get(venue.url))

    assert (200, b'{"a":1}') == (response.status, response.body)


@pytest.mark.parametrize("status", ["301 A", "302 B", "303 C", "307 D", "308 E"])
async def test_a_redirect_is_not_followed(outbound: HttpOutbound, status: str) -> None:
    """A signed request goes to no other place than the one it was signed for."""
    async with raw_venue() as elsewhere:
        answer = reply(b"moved", f"Location: {elsewhere.url}/", status=status)
        async with raw_venue(answer) as venue:
            response = await outbound.send(get(venue.url))

    assert (int(status[:3]), b"moved") == (response.status, response.body)
    assert (1, []) == (len(venue.requests), elsewhere.requests)


async def test_no_cookie_is_kept(outbound: HttpOutbound) -> None:
    """One key's request never carries what the venue told another's."""
    async with raw_venue(reply(b"ok", "Set-Cookie: session=1; Path=/")) as venue:
        for _ in range(2):
            await outbound.send(get(venue.url + "/"))

    assert 2 == len(venue.requests)
    assert not any(b"cookie" in request.lower() for request in venue.requests)


async def test_proxies_of_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where requests go is for the config to say alone."""
    async with raw_venue() as proxy, raw_venue() as venue:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        client = HttpOutbound(timeout_ms=1_000, connect_timeout_ms=300)
        await client.send(get(venue.url))
        await client.close()

    assert ([], 1) == (proxy.requests, len(venue.requests))


async def test_a_connection_that_is_refused_did_nothing(outbound: HttpOutbound) -> None:
    """Where nobody listens, nothing can have happened."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        failure = await failure_of(outbound, f"http://127.0.0.1:{taken.getsockname()[1]}/")

    assert isinstance(failure, VenueUnreachable)
    assert ({"host": "127.0.0.1"}, 1_000) == (failure.metadata, failure.retry_after_ms)


@pytest.mark.parametrize(
    "url",
    [
        # Too long for the DNS: the resolver refuses it before it asks anybody.
        f"http://{'.'.join(['a' * 60] * 6)}/",
        f"http://{'a' * 70}.test/",
        "http://a..b/",
        "http://127.0.0.1:99999/",
        "http://[::1/",
        "http://",
        "ftp://127.0.0.1/",
        "",
    ],
)
async def test_a_host_that_is_none_did_nothing(outbound: HttpOutbound, url: str) -> None:
    """A name that can't be resolved, or a URL that is none, is told as unreachable."""
    assert isinstance(await failure_of(outbound, url), VenueUnreachable)


async def test_a_certificate_that_nobody_vouches_for_did_nothing(
    outbound: HttpOutbound, tmp_path: Path
) -> None:
    """No request is sent before the venue has proved who it is."""
    _, certificate, key = write_certificate(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    async with raw_venue(tls=tls) as venue:
        failure = await failure_of(outbound, venue.url)

    assert isinstance(failure, VenueUnreachable)
    assert [] == venue.requests


async def test_a_venue_that_takes_no_connection_did_nothing(outbound: HttpOutbound) -> None:
    """A connection that does not come about is given up after the connect time-out."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.settimeout(0)
            each.connect_ex(full.getsockname())
        failure = await failure_of(outbound, f"http://127.0.0.1:{full.getsockname()[1]}/")
        for each in waiting:
            each.close()

    assert isinstance(failure, VenueUnreachable)


async def test_a_venue_that_never_finishes_its_greeting_did_nothing(
    outbound: HttpOutbound,
) -> None:
    """TLS that does not come about counts as no connection."""
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        failure = await failure_of(outbound, f"https://127.0.0.1:{mute.getsockname()[1]}/")

    assert isinstance(failure, VenueUnreachable)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhal",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"HTTP/1.1 two OK\r\n\r\n",
        reply(b"no gzip", "Content-Encoding: gzip"),
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
    ],
)
@pytest.mark.parametrize("stays_open", [False, True])
async def test_a_request_without_a_whole_answer_may_have_happened(
    outbound: HttpOutbound, answer: bytes, stays_open: bool
) -> None:
    """Silence, half an answer and nonsense after the request was sent leave its outcome open."""
    async with raw_venue(answer, stays_open=stays_open) as venue:
        failure = await failure_of(outbound, venue.url)

    assert isinstance(failure, VenueOutcomeUnknown)
    assert ({"host": "127.0.0.1"}, 1) == (failure.metadata, len(venue.requests))


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH"])
async def test_a_request_is_sent_once(outbound: HttpOutbound, method: str) -> None:
    """A venue that hangs up may have acted: nothing below sends the request again."""
    async with raw_venue(b"") as venue:
        with pytest.raises(VenueOutcomeUnknown):
            await outbound.send(OutboundRequest(method, venue.url, (), b"{}"))

    assert 1 == len(venue.requests)


@pytest.mark.parametrize(
    "answer",
    [
        reply(b"x" * (MIB + 1)),
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n" + b"x" * 2 * MIB,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        + b"1000\r\n%b\r\n" % (b"x" * 4096) * 300,
        reply(gzip.compress(b"\0" * 64 * MIB, mtime=0), "Content-Encoding: gzip"),
    ],
)
async def test_an_answer_that_is_too_long_is_not_read_to_its_end(
    outbound: HttpOutbound, answer: bytes
) -> None:
    """Memory is bounded, whatever a venue sends; the request may have happened."""
    async with raw_venue(answer, stays_open=True) as venue:
        failure = await failure_of(outbound, venue.url)
        await asyncio.wait_for(venue.hung_up.wait(), 5)

    assert isinstance(failure, VenueOutcomeUnknown)


async def test_an_answer_of_the_longest_length_is_read(outbound: HttpOutbound) -> None:
    """1 MiB passes."""
    async with raw_venue(reply(b"x" * MIB)) as venue:
        assert MIB == len((await outbound.send(get(venue.url))).body)


async def test_a_caller_who_goes_away_ends_the_connection(outbound: HttpOutbound) -> None:
    """A cancelled request leaves no connection open."""
    async with raw_venue(b"", stays_open=True) as venue:
        caller = asyncio.ensure_future(outbound.send(get(venue.url)))
        await asyncio.wait_for(venue.asked.wait(), 5)
        caller.cancel()
        await asyncio.wait_for(venue.hung_up.wait(), 5)

    assert caller.cancelled()


def test_what_is_sent_and_read_is_not_shown() -> None:
    """A request holds a signature and an answer may hold a secret: repr hides both."""
    shown = repr(
        (
            OutboundRequest("POST", "http://v/", (("X-Sign", "canary-1"),), b"canary-2"),
            OutboundResponse(200, "text/plain", b"canary-3"),
        )
    )

    assert "canary" not in shown


async def test_the_answers_date_and_how_long_it_took_come_with_it(outbound: HttpOutbound) -> None:
    """The header `Date` as it stood, and the wait from the sent request to the whole answer."""
    date = "Tue, 14 Nov 2023 22:13:20 GMT"
    async with raw_venue(reply(b"{}", f"Date: {date}"), pause_s=0.2) as venue:
        dated = await outbound.send(get(venue.url))
    async with raw_venue(reply(b"{}")) as venue:
        undated = await outbound.send(get(venue.url))

    assert date == dated.date
    assert dated.wait_ms is not None
    assert 199 <= dated.wait_ms < 1_000
    assert "" == undated.date
