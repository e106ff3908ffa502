import asyncio
import contextlib
import gc
import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from http import HTTPStatus
from pathlib import Path

import pytest
import uvloop
from structlog.testing import capture_logs

from privyseald.config_error import ConfigInvalid
from privyseald.telemetry.http_door import Answer, HttpDoor
from service import Service, eventually
from telemetry.scraped import fetch

GET = b"GET /page HTTP/1.1\r\nHost: x\r\n\r\n"


async def page() -> Answer:
    """Return a page."""
    return Answer(HTTPStatus.OK, b"hello\n")


async def large() -> Answer:
    """Return more than the system buffers."""
    return Answer(HTTPStatus.OK, b"x" * 16_777_216)


async def broken() -> Answer:
    """Fail as a mistake of a programmer would."""
    raise KeyError("secret-text")


@pytest.fixture
async def door() -> AsyncIterator[HttpDoor]:
    """A door with two paths."""
    paths = {"/page": page, "/large": large, "/broken": broken}
    door = await HttpDoor.open("here", "127.0.0.1:0", paths)
    yield door
    await door.close()


async def raw(port: int, request: bytes) -> bytes:
    """Return all that comes back for these bytes until the connection ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await rest(reader)
    await shut(writer)
    return answer


async def rest(reader: asyncio.StreamReader) -> bytes:
    """Return what comes until the connection ends, or is cut off."""
    async with asyncio.timeout(10):
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""


async def shut(writer: asyncio.StreamWriter) -> None:
    """Close a connection, whatever the other side did."""
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


@pytest.mark.parametrize(
    ("method", "path", "status", "body"),
    [
        ("GET", "/page", 200, b"hello\n"),
        ("GET", "/page?x=1", 200, b"hello\n"),
        ("HEAD", "/page", 200, b""),
        ("POST", "/page", 405, b"Method Not Allowed\n"),
        ("DELETE", "/page", 405, b"Method Not Allowed\n"),
        ("GET", "/", 404, b"Not Found\n"),
        ("GET", "/page/", 404, b"Not Found\n"),
    ],
)
async def test_a_path_is_answered(
    door: HttpDoor, method: str, path: str, status: int, body: bytes
) -> None:
    """GET and HEAD at known paths, and nothing else; each answer closes its connection."""
    answer = await fetch(door.port, path, method)
    assert (answer.status, answer.body) == (status, body)
    assert answer.headers["Connection"] == "close"
    if status == 405:
        assert answer.headers["Allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET /page\r\n\r\n", b"400"),
        (b"GET  /page HTTP/1.1\r\n\r\n", b"400"),
        (b"\xff\x00\r\n\r\n", b"400"),
        (b"PRI * HTTP/2.0\r\n\r\n", b"400"),
        (b"GET /page HTTP/1.1\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", b"431"),
        (b"POST /page HTTP/1.1\r\nContent-Length: 9\r\n\r\n" + b"x" * 200_000, b"405"),
        (GET * 2, b"200"),
        (GET.replace(b"/page", b"/%70age"), b"404"),
        (GET.replace(b"/page", b"http://x:1/page"), b"200"),
        (GET.replace(b"/page", b"HTTPS://x/page?y"), b"200"),
        (GET.replace(b"/page", b"http://x"), b"404"),
        (GET.replace(b"/page", b"/http://x/page"), b"404"),
        (GET.replace(b"GET /page", b"CONNECT x:1"), b"404"),
        (GET.replace(b"1.1", b"1.0"), b"200"),
    ],
)
async def test_what_is_no_such_request_is_refused(
    door: HttpDoor, request_: bytes, status: bytes
) -> None:
    """Bad lines, long heads; a body or a second request is not looked at."""
    answer = await raw(door.port, request_)
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert (await fetch(door.port, "/page")).status == 200


async def test_who_is_slow_is_let_go(door: HttpDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A head that never ends keeps no connection."""
    monkeypatch.setattr("privyseald.telemetry.http_door._HEAD_S", 0.1)
    assert await raw(door.port, b"GET /page HTTP/1.1\r\nX: ") == b""
    assert await raw(door.port, b"") == b""


@pytest.mark.parametrize("head", [b"", b"GET /page", b"GET /large HTTP/1.1\r\n\r\n"])
async def test_who_hangs_on_makes_room(door: HttpDoor, head: bytes) -> None:
    """Of more than 64 connections those go that came first: whoever says nothing, ends no head or
    reads no answer keeps nobody out.
    """
    with contextlib.ExitStack() as opened:
        for _ in range(64):
            opened.enter_context(await connect(door.port, head))
        await eventually(lambda: _is(len(door._busy) == 64))
        for _ in range(3):
            async with asyncio.timeout(2):
                assert (await raw(door.port, GET)).startswith(b"HTTP/1.1 200")
        assert len(door._busy) <= 64
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        writer.write(GET[:9])
        await asyncio.sleep(0.05)
        writer.write(GET[9:])
        assert (await rest(reader)).startswith(b"HTTP/1.1 200"), "the last to come stays"
        await shut(writer)


async def connect(port: int, head: bytes) -> socket.socket:
    """Return a connection that has sent so much, and takes in no more than a little."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
    client.settimeout(2)
    client.connect(("127.0.0.1", port))
    client.sendall(head)
    await asyncio.sleep(0)
    return client


async def test_a_body_without_an_end_is_cut_off(door: HttpDoor) -> None:
    """Else to read and to forget it would take the time of those who sign."""
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    sent = 0
    writer.write(b"POST /page HTTP/1.1\r\n\r\n")
    async with asyncio.timeout(5):
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(b"x" * 65_536)
                await writer.drain()
                sent += 65_536
    # What the system buffers on both sides comes on top.
    assert sent < 32 * 1_048_576
    assert reader.at_eof() or reader.exception() or await rest(reader) is not None
    await eventually(lambda: _is(not door._busy))
    await shut(writer)


async def test_who_half_closes_is_answered(door: HttpDoor) -> None:
    """A client may say that it sends no more, and wait."""
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(GET)
    writer.write_eof()
    assert (await rest(reader)).endswith(b"hello\n")
    await shut(writer)


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_who_goes_suddenly_leaves_nothing_behind(run: Callable[[Awaitable[None]], None]) -> None:
    """A reset at any moment is no error of ours, and nobody logs it; on either event loop, for a
    supervisor has the plain one.
    """

    async def slow() -> Answer:
        await asyncio.sleep(0.002)
        return await page()

    async def resets() -> None:
        odd: list[dict[str, object]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: odd.append(context))
        paths = {"/page": page, "/slow": slow, "/large": large}
        door = await HttpDoor.open("here", "127.0.0.1:0", paths)
        for number in range(100):
            path = (b"/page", b"/slow", b"/large")[number % 3]
            client = await connect(door.port, GET.replace(b"/page", path))
            await asyncio.sleep(number % 5 / 1_000)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
        await eventually(lambda: _is(not door._busy))
        await door.close()
        gc.collect()
        assert odd == []

    run(resets())


async def _is(value: bool) -> bool:
    return value


async def test_a_mistake_of_ours_tells_nobody_its_text(door: HttpDoor) -> None:
    """The answer is 500, the log has the type, and the door goes on."""
    with capture_logs() as events:
        answer = await fetch(door.port, "/broken")
    assert (answer.status, answer.body) == (500, b"Internal Server Error\n")
    (event,) = events
    assert event["cause"].startswith("KeyError < http_door.py")
    assert "secret-text" not in str(event)
    assert (await fetch(door.port, "/page")).status == 200


async def test_a_port_in_use_is_named(door: HttpDoor) -> None:
    """The message names the setting."""
    with pytest.raises(ConfigInvalid, match=r"^there: 127\.0\.0\.1:[0-9]+ can't be listened on"):
        await HttpDoor.open("there", f"127.0.0.1:{door.port}", {})


async def test_close_cuts_off_what_is_under_way(door: HttpDoor) -> None:
    """A server that ends does not wait for a scraper."""
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(b"GET")
    await eventually(lambda: _is(len(door._busy) == 1))
    await door.close()
    assert await rest(reader) == b""
    await shut(writer)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", door.port)


async def test_a_server_says_that_it_lives_and_is_ready(service: Service) -> None:
    """In words for people, and in JSON."""
    port = service.app.telemetry.port
    live = await fetch(port, "/livez")
    assert (live.status, live.body) == (200, b"ok\n")
    await eventually(lambda: _is(service.app.server.is_ready))
    ready = await fetch(port, "/readyz")
    assert (ready.status, ready.headers["Content-Type"]) == (200, "application/json")
    assert json.loads(ready.body) == {
        "ready": True,
        "checks": {"secret_store": "ok", "state": "ok", "audit_log": "ok"},
    }


async def test_a_server_that_drains_is_not_ready_but_lives(tmp_path: Path) -> None:
    """The HTTP port stays until the end, as the gRPC one does."""
    async with Service(tmp_path, server={"drain_delay_ms": 500}) as service:
        port = service.app.telemetry.port
        await eventually(lambda: _is(service.app.server.is_ready))
        stopping = asyncio.create_task(service.stop())

        async def drains() -> bool:
            return (await fetch(port, "/readyz")).status == 503

        await eventually(drains)
        assert (await fetch(port, "/livez")).status == 200
        await stopping


async def test_the_port_may_be_off(tmp_path: Path) -> None:
    """Then nothing listens, and the server serves."""
    async with Service(tmp_path, server={"http_ops_listen": "off"}) as service:
        assert service.app.telemetry.port == 0
        await eventually(lambda: _is(service.app.server.is_ready))
