import asyncio
import gc
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from either import KINDS, connected
from scripted_server import Action, EndOfStreamError, ScriptedServer, answer, refuse, status
from test_tls import credentials, write

from privyseal import Client, PrivysealError, Tls
from privyseal.v1 import signing_service_pb2 as pb

_CODE = grpc.StatusCode
_AWAY = refuse(_CODE.UNAVAILABLE, "SERVER_STOPPING")

both = pytest.mark.parametrize("kind", KINDS)


def session(token: str, expire_s: int = 100) -> Action:
    """Return an action that gives a session."""
    made = pb.Session(key="keys/x", token=token)
    made.expire_time.FromSeconds(expire_s)
    return answer(pb.WatchSessionResponse(session=made))


def failure(reason: str) -> Action:
    """Return an action that tells of a failure to renew."""
    made = status(_CODE.FAILED_PRECONDITION, reason, retry_after_s=1)
    return answer(pb.WatchSessionResponse(failure=made))


def hang(_: bytes, context: grpc.ServicerContext) -> bytes:
    """Give nothing until the call is over."""
    while context.is_active():
        time.sleep(0.01)
    return b""


@both
async def test_sessions_and_failures_come_in_order(kind: str) -> None:
    """Across the ends of streams, and no session twice; a refusal is the end, and is raised."""
    with ScriptedServer() as server:
        server.then(
            "WatchSession",
            session("one"),
            failure("VENUE_REFUSED"),
            _AWAY,
            _AWAY,
            session("one"),
            session("one", 200),
            session("two", 200),
            _AWAY,
            session("two", 200),
            failure("SESSION_MISSING"),
            refuse(_CODE.PERMISSION_DENIED, "POLICY_DENIED"),
        )
        async with connected(kind, server.target) as client:
            watch = client.watch()
            seen = []
            for _ in range(5):
                event = await watch.next()
                if isinstance(event, PrivysealError):
                    assert 1.0 == event.retry_after_s
                    seen.append(event.reason)
                elif event is not None:
                    seen.append(f"{event.token} {event.expire_time.seconds}")
            assert ["one 100", "VENUE_REFUSED", "one 200", "two 200", "SESSION_MISSING"] == seen
            with pytest.raises(PrivysealError) as raised:
                await watch.next()
            assert "POLICY_DENIED" == raised.value.reason
            assert await watch.next() is None
    assert all(each.left_s is None or each.left_s > 1e6 for each in server.seen)


@both
async def test_a_server_that_is_not_there_yet(kind: str) -> None:
    """A watch waits for it."""
    with ScriptedServer() as server:
        port = server.port
    async with connected(kind, f"localhost:{port}") as client:
        watch = client.watch()
        event = asyncio.ensure_future(watch.next())
        await asyncio.sleep(0.3)
        with ScriptedServer(port=port) as server:
            server.then("WatchSession", session("one"), hang)
            found = await asyncio.wait_for(event, 8)
            assert isinstance(found, pb.Session)
            await watch.close()


@both
async def test_closing_ends_the_rpc(kind: str) -> None:
    """And whoever waits for the next event, who gets the end."""
    ended: list[bool] = []

    def wait(request: bytes, context: grpc.ServicerContext) -> bytes:
        hang(request, context)
        ended.append(True)
        return b""

    with ScriptedServer() as server:
        for actions in ((wait,), (refuse(_CODE.UNAVAILABLE, "X", retry_after_s=30),)):
            server.then("WatchSession", *actions)
            async with connected(kind, server.target) as client:
                watch = client.watch()
                event = asyncio.ensure_future(watch.next())
                await asyncio.sleep(0.3)
                await watch.close()
                assert await asyncio.wait_for(event, 2) is None
                assert await watch.next() is None
        await _until(lambda: bool(ended))


@both
async def test_closing_the_client_ends_it(kind: str) -> None:
    """With an error, since the watch itself was not closed."""
    with ScriptedServer() as server:
        server.then("WatchSession", hang)
        async with connected(kind, server.target) as client:
            watch = client.watch()
            event = asyncio.ensure_future(watch.next())
            await asyncio.sleep(0.3)
            await client.close()
            with pytest.raises(PrivysealError, match="the client is closed"):
                await asyncio.wait_for(event, 2)
            assert await watch.next() is None
            with pytest.raises(PrivysealError, match="the client is closed"):
                await client.watch().next()


async def test_a_wait_that_is_cancelled_loses_nothing() -> None:
    """The next one opens the stream again."""
    with ScriptedServer() as server:
        server.then("WatchSession", session("one"), hang, session("one"), session("two"), hang)
        async with connected("asyncio", server.target) as client:
            watch = client.watch()
            assert isinstance(await watch.next(), pb.Session)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(watch.next(), 0.2)
            second = await asyncio.wait_for(watch.next(), 5)
            assert isinstance(second, pb.Session)
            assert "two" == second.token
            await watch.close()


@both
async def test_a_token_that_runs_out(kind: str, tmp_path: Path) -> None:
    """A stream that gave something is opened again at once with a fresh one; one that gave nothing
    is the end.
    """
    tokens = iter(("first", "second", "third"))
    over = refuse(_CODE.UNAUTHENTICATED, "CALLER_UNPROVED", retry_after_s=9)
    tls = write(tmp_path, "spiffe://privyseal.test/x")
    with ScriptedServer(credentials(ask=False)) as server:
        server.then("WatchSession", session("one"), over, session("one"), session("two"), over)
        server.always("WatchSession", over)
        async with connected(
            kind, server.target, tls=Tls(tls.ca), token=lambda: next(tokens)
        ) as client:
            watch = client.watch()
            for expected in ("one", "two"):
                event = await asyncio.wait_for(watch.next(), 3)
                assert isinstance(event, pb.Session)
                assert expected == event.token
            with pytest.raises(PrivysealError, match="CALLER_UNPROVED"):
                await asyncio.wait_for(watch.next(), 3)
    brought = [each.metadata["authorization"] for each in server.calls("WatchSession")]
    assert ["Bearer first", "Bearer second", "Bearer third"] == list(dict.fromkeys(brought))


@both
async def test_ends_that_are_raised(kind: str) -> None:
    """A client without a token has none that is fresh; and no end goes unheard."""
    with ScriptedServer() as server:
        server.then("WatchSession", session("one"), refuse(_CODE.UNAUTHENTICATED, "X"), _end)
        async with connected(kind, server.target) as client:
            for first, code in ((True, "UNAUTHENTICATED"), (False, "UNKNOWN")):
                watch = client.watch()
                if first:
                    await watch.next()
                with pytest.raises(PrivysealError) as raised:
                    await asyncio.wait_for(watch.next(), 3)
                assert code == raised.value.code
                assert await watch.next() is None


def _end(_: bytes, __: grpc.ServicerContext) -> bytes:
    raise EndOfStreamError


def test_a_watch_that_is_collected_at_a_bad_moment() -> None:
    """While its thread makes new channels for new certificates: nothing waits for itself."""
    with ScriptedServer() as server:
        server.then("WatchSession", session("one"), hang)
        with Client(server.target, plaintext=True) as client:
            pool: Any = client._pool
            watch: Any = client.watch_session(pb.WatchSessionRequest(key="keys/x"))
            assert isinstance(next(watch), pb.Session)
            watch.cycle = watch
            old, pool._current = pool._current, None
            pool._others.add(old)
            old.retire()
            del watch

            def collect() -> None:
                with pool._lock:
                    gc.collect()

            thread = threading.Thread(target=collect, daemon=True)
            thread.start()
            thread.join(5)
            assert not thread.is_alive()
            assert set() == pool._others


async def _until(condition: Callable[[], bool]) -> None:
    for _ in range(200):
        if condition():
            return
        await asyncio.sleep(0.02)
    raise TimeoutError


async def test_watches_that_are_closed_as_they_open() -> None:
    """From any thread, at any moment: none hangs, none fails, and nothing stays open."""
    with ScriptedServer() as server:
        server.always("WatchSession", session("one"))
        async with connected("blocking", server.target) as client:
            for number in range(60):
                watch = client.watch()
                event = asyncio.ensure_future(watch.next())
                await asyncio.sleep(number % 12 / 4_000)
                await watch.close()
                assert not isinstance(await asyncio.wait_for(event, 5), PrivysealError)
            channels: Any = client.client._pool._current
            assert 0 == channels._calls
