import contextlib
import gzip
import json
import uuid
from collections.abc import Iterator
from typing import Any

import aiohttp
import grpc
import httpx
import httpx2
import pytest
import requests
from http_doors import DOORS, HTTPX, opened
from scripted_server import ScriptedServer, refuse
from venue_server import DROP, VenueServer, http_answer
from yarl import URL

from privyseal import AsyncClient, Client, ConfigurationError, PrivysealError, RequestRefused
from privyseal.aiohttp import SigningMiddleware
from privyseal.httpx import SigningTransport
from privyseal.requests import SigningAdapter
from privyseal.v1 import signing_service_pb2 as pb

_CODE = grpc.StatusCode
_OF_HTTP = {"host", "content-length", "user-agent", "accept", "accept-encoding"}

every_door = pytest.mark.parametrize("door", DOORS)


@pytest.fixture
def venue() -> Iterator[VenueServer]:
    """A venue."""
    with VenueServer() as server:
        yield server


@pytest.fixture
def signer(venue: VenueServer) -> Iterator[ScriptedServer]:
    """A server that signs for it: each signature has a number of its own."""

    def sign(request: bytes, _: object) -> bytes:
        asked = pb.SignRequest.FromString(request)
        return signed(venue, server, asked).SerializeToString()

    with ScriptedServer() as server:
        server.always("Sign", sign)
        yield server


def signed(venue: VenueServer, server: ScriptedServer, asked: pb.SignRequest) -> pb.SignResponse:
    """Return a signature over a request."""
    number = len(server.calls("Sign"))
    wanted = asked.http_request
    response = pb.SignResponse(nonce=str(number))
    response.sign_time.FromSeconds(1_000 + number)
    found = response.signed_http_request
    found.method, found.url, found.body = wanted.method, venue.url + wanted.path, wanted.body
    found.headers.add(name="X-Signature", value=str(number))
    if wanted.content_type:
        found.headers.add(name="Content-Type", value=wanted.content_type)
    return response


def asked(server: ScriptedServer) -> list[pb.SignRequest]:
    """Return what was to be signed."""
    return [pb.SignRequest.FromString(each.request) for each in server.calls("Sign")]


def reports(server: ScriptedServer) -> list[pb.ReportAnswerRequest]:
    """Return what was reported."""
    return [
        pb.ReportAnswerRequest.FromString(each.request) for each in server.calls("ReportAnswer")
    ]


@every_door
@pytest.mark.parametrize(
    "target",
    ["/", "/a/b", "/a?b=1", "/a?b=1%2F2&c=x%20y&d=%C3%A9&e=p%2Bq&f=a+b&g=", "/a/~b.-_/?x=[1]&y=*"],
)
async def test_the_target_arrives_as_it_was_signed(
    door: str, target: str, venue: VenueServer, signer: ScriptedServer
) -> None:
    """Whatever the library makes of the URL is what is signed."""
    async with opened(door, signer.target) as http:
        url: Any = f"http://venue.example{target}"
        await http.send("GET", URL(url, encoded=True) if door == "aiohttp" else url)
    (request,) = asked(signer)
    (received,) = venue.received
    assert f"GET {request.http_request.path} HTTP/1.1" == received.line
    assert b"" == received.body
    assert [] == received.values("Content-Type") == received.values("Content-Length")
    assert [venue.url.removeprefix("http://")] == received.values("Host")
    uuid.UUID(request.request_id)


@every_door
async def test_headers_go_along(door: str, venue: VenueServer, signer: ScriptedServer) -> None:
    """The caller's, but for those that are signed, HTTP's own, and who the caller is."""
    async with opened(door, signer.target) as http:
        await http.send(
            "POST",
            "http://venue.example/a",
            content=b"{}",
            headers={
                "X-Strategy": "mm",
                "x-signature": "forged",
                "Authorization": "Basic x",
                "Cookie": "a=b",
                "Content-Type": "application/json",
            },
        )
    (received,) = venue.received
    sent = {name.lower(): value for name, value in received.headers}
    assert {"x-strategy": "mm", "x-signature": "1", "content-type": "application/json"} == {
        name: value for name, value in sent.items() if name not in _OF_HTTP
    }
    assert len(sent) == len(received.headers)
    assert (b"{}", ["2"]) == (received.body, received.values("Content-Length"))
    assert "application/json" == asked(signer)[0].http_request.content_type


@every_door
async def test_what_the_caller_did_not_say_is_not_signed(
    door: str, venue: VenueServer, signer: ScriptedServer
) -> None:
    """Bytes have no media type by themselves; JSON and forms have one."""
    async with opened(door, signer.target) as http:
        await http.send("POST", "http://venue.example/a", content=b"raw")
        await http.send("POST", "http://venue.example/a", content="text")
        await http.send("POST", "http://venue.example/a", json={"a": 1})
        await http.send("POST", "http://venue.example/a", data={"a": "1"})
        await http.send("POST", "http://venue.example/a")
    types = [each.http_request.content_type for each in asked(signer)]
    assert ["", "", "application/json", "application/x-www-form-urlencoded", ""] == types
    assert types == ["".join(each.values("Content-Type")) for each in venue.received]
    assert [b"raw", b"text"] == [each.body for each in venue.received[:2]]
    assert {"a": 1} == json.loads(venue.received[2].body)
    assert (b"a=1", b"") == (venue.received[3].body, venue.received[4].body)
    assert ["0"] == venue.received[4].values("Content-Length")


@every_door
async def test_a_body_in_parts_is_signed_whole(
    door: str, venue: VenueServer, signer: ScriptedServer
) -> None:
    """It goes out with its length and not in chunks; one that is too long is not signed."""
    async with opened(door, signer.target, max_body_bytes=9) as http:
        parts = http.stream_of([b"abc", b"def", b"ghi"])
        await http.send("POST", "http://venue.example/a", content=parts)
        for content in (http.stream_of([b"abcde", b"fghij"]), b"0123456789", "0123456789"):
            with pytest.raises(RequestRefused, match="longer than 9 bytes"):
                await http.send("POST", "http://venue.example/a", content=content)
    (received,) = venue.received
    assert (b"abcdefghi", ["9"]) == (received.body, received.values("Content-Length"))
    assert [] == received.values("Transfer-Encoding")
    assert 1 == len(signer.calls("Sign"))


@every_door
async def test_redirects_are_not_followed(
    door: str, venue: VenueServer, signer: ScriptedServer
) -> None:
    """The caller has the answer, or is told."""
    for status in ("301 Moved", "302 Found", "303 Other", "307 Again", "308 Moved"):
        venue.answers.append(http_answer(status, b"gone", Location="/elsewhere"))
        async with opened(door, signer.target) as http:
            if door == "aiohttp":
                with pytest.raises(RequestRefused, match="was sent"):
                    await http.send("POST", "http://venue.example/a", content=b"x")
            else:
                got = await http.send("POST", "http://venue.example/a", content=b"x")
                assert (int(status[:3]), b"gone") == (got.status, got.body)
                assert "/elsewhere" == got.headers.get("location", got.headers.get("Location"))
    assert 5 == len(venue.received) == len(signer.calls("Sign"))


@every_door
@pytest.mark.parametrize(
    ("report", "status", "count"),
    [
        ("errors", "200 OK", 0),
        ("errors", "399 Odd", 0),
        ("errors", "400 Bad", 1),
        ("all", "200 OK", 1),
        ("none", "500 Bad", 0),
    ],
)
async def test_answers_are_reported(
    door: str, report: str, status: str, count: int, venue: VenueServer, signer: ScriptedServer
) -> None:
    """With what is needed to understand them; the caller has the answer whole."""
    body = b"{" + b"x" * 100_000
    venue.answers.append(http_answer(status, body, Date="Sun, 01 Nov 2026 00:00:00 GMT"))
    async with opened(door, signer.target, report=report) as http:
        got = await http.send("GET", "http://venue.example/a")
    assert (int(status[:3]), body) == (got.status, got.body)
    assert count == len(reports(signer))
    for found in reports(signer):
        assert ("keys/x", int(status[:3]), "1") == (found.key, found.http_status, found.nonce)
        assert (body[:65_536], 1_001) == (found.body, found.sign_time.seconds)
        assert "Sun, 01 Nov 2026 00:00:00 GMT" == found.date


@every_door
async def test_a_compressed_answer_is_reported_as_text(
    door: str, venue: VenueServer, signer: ScriptedServer
) -> None:
    """And the caller reads it as ever."""
    body = b'{"code": -1021}'
    venue.answers.append(http_answer("400 Bad", gzip.compress(body), Content_Encoding="gzip"))
    async with opened(door, signer.target) as http:
        got = await http.send("GET", "http://venue.example/a")
    assert (400, body) == (got.status, got.body)
    assert body == reports(signer)[0].body


@every_door
async def test_a_report_that_fails_is_nobodys_concern(
    door: str, venue: VenueServer, signer: ScriptedServer
) -> None:
    """The answer comes all the same."""
    venue.answers.append(http_answer("503 Away", b"down"))
    signer.always("ReportAnswer", refuse(_CODE.PERMISSION_DENIED, "POLICY_DENIED"))
    async with opened(door, signer.target) as http:
        got = await http.send("GET", "http://venue.example/a")
    assert (503, b"down") == (got.status, got.body)


@every_door
async def test_a_session_is_opened_once(
    door: str, venue: VenueServer, signer: ScriptedServer
) -> None:
    """Where it is missing, unless the door is told not to; a second refusal stands."""
    missing = refuse(_CODE.FAILED_PRECONDITION, "SESSION_MISSING")
    signer.then("Sign", missing)
    async with opened(door, signer.target) as http:
        await http.send("GET", "http://venue.example/a")
        signer.then("Sign", missing, missing)
        with pytest.raises(PrivysealError, match="SESSION_MISSING"):
            await http.send("GET", "http://venue.example/a")
    assert 2 == len(signer.calls("Login"))
    assert 4 == len({each.request_id for each in asked(signer)})
    signer.then("Sign", missing)
    async with opened(door, signer.target, login=False) as http:
        with pytest.raises(PrivysealError, match="SESSION_MISSING"):
            await http.send("GET", "http://venue.example/a")
    assert (2, 1) == (len(signer.calls("Login")), len(venue.received))


@every_door
async def test_a_sign_is_retried_with_its_id(
    door: str, venue: VenueServer, signer: ScriptedServer
) -> None:
    """Unless the client has retries turned off: then it has none."""
    away = refuse(_CODE.UNAVAILABLE, "STATE_UNAVAILABLE", retry_after_s=0.01)
    signer.then("Sign", away)
    async with opened(door, signer.target) as http:
        await http.send("GET", "http://venue.example/a")
    assert 1 == len({each.request for each in signer.calls("Sign")})
    signer.then("Sign", away)
    async with opened(door, signer.target, attempts=1) as http:
        with pytest.raises(PrivysealError, match="STATE_UNAVAILABLE"):
            await http.send("GET", "http://venue.example/a")
    assert "" == asked(signer)[-1].request_id
    assert 1 == len(venue.received)


@every_door
async def test_a_broken_connection_repeats_no_bytes(
    door: str, venue: VenueServer, signer: ScriptedServer
) -> None:
    """What the library sends again, it has signed again."""
    venue.answers += [http_answer("200 OK"), DROP]
    async with opened(door, signer.target) as http:
        await http.send("GET", "http://venue.example/a")
        with pytest.raises((httpx.HTTPError, httpx2.HTTPError, aiohttp.ClientError, OSError)):
            await http.send("POST", "http://venue.example/a", content=b"order")
        venue.answers.append(DROP)
        with contextlib.suppress(httpx.HTTPError, httpx2.HTTPError, OSError):
            await http.send("GET", "http://venue.example/a")
    signatures = [each.values("X-Signature") for each in venue.received]
    assert len(signatures) == len({each[0] for each in signatures})
    assert 1 == sum(each.body == b"order" for each in venue.received)


@every_door
async def test_a_door_shows_no_secret(door: str, signer: ScriptedServer) -> None:
    """Its key and its client, in short."""
    async with opened(door, signer.target) as http:
        session = http.http
        kind: Any = getattr(session, "_transport", None)
        if door == "aiohttp":
            kind = session._middlewares[0]
        elif door == "requests":
            kind = session.get_adapter("http://x")
        assert "'keys/x'" in repr(kind)
        assert "Client('localhost" in repr(kind)


def test_settings_of_a_door() -> None:
    """What can't be right is told when it is made."""
    with Client("localhost:1", plaintext=True) as client:
        wrong: Any
        for wrong in ({"report": "some"}, {"max_body_bytes": -1}):
            for kind in (SigningTransport, SigningAdapter):
                with pytest.raises(ConfigurationError, match=next(iter(wrong))):
                    kind(client, "keys/x", **wrong)


@pytest.mark.parametrize("door", [*HTTPX, "requests"])
async def test_one_request_object_may_be_sent_again(
    door: str, venue: VenueServer, signer: ScriptedServer
) -> None:
    """Each time it is signed anew, also where its body came from a generator."""
    async with opened(door, signer.target) as http:
        content = http.stream_of([b"ab", b"cd"])
        for _ in range(2):
            if door == "requests":
                prepared = locals().get("prepared") or http.http.prepare_request(
                    requests.Request("POST", "http://venue.example/a", data=content)
                )
                http.http.send(prepared)
            else:
                request = locals().get("request") or http.http.build_request(
                    "POST", "http://venue.example/a", content=content
                )
                response = http.http.send(request)
                if door.endswith("async"):
                    await response
    assert [b"abcd", b"abcd"] == [each.body for each in venue.received]
    assert [["1"], ["2"]] == [each.values("X-Signature") for each in venue.received]


def test_streaming_an_answer_by_httpx(venue: VenueServer, signer: ScriptedServer) -> None:
    """As it comes where it is not reported, from memory where it was; raw and decoded."""
    venue.answers += [
        http_answer("200 OK", b"abc"),
        http_answer("400 Bad", gzip.compress(b"def"), Content_Encoding="gzip"),
        http_answer("400 Bad", b"no gzip", Content_Encoding="gzip"),
    ]
    with (
        Client(signer.target, plaintext=True) as client,
        httpx.Client(transport=SigningTransport(client, "keys/x")) as http,
    ):
        with http.stream("GET", "http://venue.example/a") as response:
            assert b"abc" == b"".join(response.iter_raw())
        with http.stream("GET", "http://venue.example/a") as response:
            assert b"def" == gzip.decompress(b"".join(response.iter_raw()))
        with http.stream("GET", "http://venue.example/a") as response:
            assert b"no gzip" == b"".join(response.iter_raw())
    assert [b"def", b"no gzip"] == [each.body for each in reports(signer)]


def test_requests_refuses_what_it_would_change(venue: VenueServer, signer: ScriptedServer) -> None:
    """A URL that it would write in another way, and a header twice; nothing is sent."""
    response = pb.SignResponse()
    found = response.signed_http_request
    found.method = "GET"
    with Client(signer.target, plaintext=True) as client, requests.Session() as http:
        http.mount("http://", SigningAdapter(client, "keys/x"))
        for path in ("/a b", "/a%2f", "/a/../b", "/é"):
            found.url = venue.url + path
            signer.then("Sign", lambda *_: response.SerializeToString())
            with pytest.raises(RequestRefused, match="would change the signed URL"):
                http.get("http://venue.example/a")
        found.url = venue.url
        found.headers.add(name="A", value="1")
        found.headers.add(name="a", value="2")
        signer.then("Sign", lambda *_: response.SerializeToString())
        with pytest.raises(RequestRefused, match="twice"):
            http.get("http://venue.example/a")
    assert [] == venue.received


@pytest.mark.parametrize("door", [*HTTPX, "aiohttp"])
async def test_what_other_libraries_do_with_an_odd_signed_url(
    door: str, venue: VenueServer, signer: ScriptedServer
) -> None:
    """It goes out letter by letter."""
    response = pb.SignResponse()
    found = response.signed_http_request
    found.method, found.url = "GET", venue.url + "/a%2f%7E/../b?c=%c3%a9&d='\"<>`{}|\\^[]"
    signer.then("Sign", lambda *_: response.SerializeToString())
    async with opened(door, signer.target) as http:
        await http.send("GET", "http://venue.example/a")
    assert f"GET {found.url.removeprefix(venue.url)} HTTP/1.1" == venue.received[0].line


async def test_middlewares_of_aiohttp_that_send_again(
    venue: VenueServer, signer: ScriptedServer
) -> None:
    """What is sent again is what the caller wrote, signed anew; nothing is compressed."""

    async def twice(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        (await handler(request)).close()
        return await handler(request)

    async with AsyncClient(signer.target, plaintext=True) as client:
        middlewares = (twice, SigningMiddleware(client, "keys/x"))
        async with (
            aiohttp.ClientSession(middlewares=middlewares) as http,
            http.post("http://venue.example/a?b=1", data=b"abc", compress="gzip") as response,
        ):
            assert 200 == response.status
    assert ["POST /a?b=1 HTTP/1.1"] * 2 == [each.line for each in venue.received]
    assert [b"abc"] * 2 == [each.body for each in venue.received]
    assert [["1"], ["2"]] == [each.values("X-Signature") for each in venue.received]
    assert [[], []] == [each.values("Content-Encoding") for each in venue.received]
