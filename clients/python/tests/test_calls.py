import asyncio
import contextlib
import math
import re
import signal
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

import grpc
import pytest
from either import KINDS, connected
from scripted_server import Action, ScriptedServer, answer, refuse

import privyseal.v1 as stubs_package
from privyseal import AsyncClient, Client, PrivysealError, Tls, __version__
from privyseal.v1 import (
    hold_service_pb2,
    key_service_pb2,
    signing_service_pb2,
    venue_service_pb2,
)
from privyseal.v1 import signing_service_pb2 as pb
from privyseald.cli.certificates import TryOutCa

_CODE = grpc.StatusCode
_MODULES = (signing_service_pb2, key_service_pb2, venue_service_pb2, hold_service_pb2)
_RPCS = [
    method
    for module in _MODULES
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]

both = pytest.mark.parametrize("kind", KINDS)


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def _request(method: Any) -> Any:
    return method.input_type._concrete_class()


def sleep(time_s: float) -> Action:
    """Return an action that takes its time."""

    def act(*_: object) -> bytes:
        time.sleep(time_s)
        return b""

    return act


async def failed(awaitable: Any) -> PrivysealError:
    """Return what a call failed with."""
    with pytest.raises(PrivysealError) as raised:
        await awaitable
    return raised.value


@both
async def test_every_rpc_is_a_method(kind: str) -> None:
    """It reaches the RPC of its name, with the client's name, and returns its response."""
    assert stubs_package.__name__ == "privyseal.v1"
    with ScriptedServer() as server:
        async with connected(kind, server.target) as client:
            for method in _RPCS:
                if not method.server_streaming:
                    response = await client.call(_snake(method.name), _request(method))
                    assert method.output_type._concrete_class() == response
                    seen = server.seen[-1]
                    assert method.name == seen.rpc
                    agent = seen.metadata["user-agent"]
                    assert agent.startswith(f"privyseal-python/{__version__} ")
                    assert "authorization" not in seen.metadata
                    assert seen.left_s is not None
                    assert 9 < seen.left_s < 10.2  # gRPC rounds up
    assert 20 == len(server.seen)


@both
async def test_deadlines(kind: str) -> None:
    """The call's beats the client's, and past it the call ends."""
    with ScriptedServer() as server:
        server.always("Sign", sleep(0.6))
        async with connected(kind, server.target, timeout_s=0.2) as client:
            started_s = time.monotonic()
            error = await failed(client.call("sign", pb.SignRequest(request_id="x")))
            assert 0.15 < time.monotonic() - started_s < 0.5
            assert ("DEADLINE_EXCEEDED", "") == (error.code, error.reason)
            assert "request_id" in error.message
            await client.call("sign", pb.SignRequest(), timeout_s=5)
            error = await failed(client.call("sign", pb.SignRequest(), timeout_s=0))
            assert "DEADLINE_EXCEEDED" == error.code
    assert 2 == len(server.calls("Sign"))


@both
async def test_retries_send_the_same_bytes(kind: str) -> None:
    """Four attempts, also where the caller changes its request meanwhile."""
    request = pb.CreateKeyRequest(request_id="x", labels={str(n): "v" for n in range(50)})

    def change(_: bytes, context: grpc.ServicerContext) -> bytes:
        request.key_id = "changed"
        refuse(_CODE.UNAVAILABLE, "STATE_UNAVAILABLE", retry_after_s=0.01)(b"", context)
        return b""

    with ScriptedServer() as server:
        server.then("CreateKey", change, refuse(_CODE.UNAVAILABLE), refuse(_CODE.ABORTED, "NEW"))
        async with connected(kind, server.target) as client:
            await client.call("create_key", request)
    assert 4 == len(server.seen)
    assert 1 == len({each.request for each in server.seen})


@both
@pytest.mark.parametrize(
    ("request_id", "attempts", "code", "reason"),
    [
        ("", 4, _CODE.UNAVAILABLE, "OVERLOADED"),
        ("x", 1, _CODE.UNAVAILABLE, "OVERLOADED"),
        ("x", 4, _CODE.UNAVAILABLE, "VENUE_OUTCOME_UNKNOWN"),
        ("x", 4, _CODE.RESOURCE_EXHAUSTED, "OVERLOADED"),
        ("x", 4, _CODE.INTERNAL, "INTERNAL"),
    ],
)
async def test_what_is_not_retried(
    kind: str, request_id: str, attempts: int, code: grpc.StatusCode, reason: str
) -> None:
    """Without an id, with retries off, or where it would not be right, there is one attempt."""
    with ScriptedServer() as server:
        server.always("Sign", refuse(code, reason))
        async with connected(kind, server.target, max_attempts=attempts) as client:
            error = await failed(client.call("sign", pb.SignRequest(request_id=request_id)))
    assert (code.name, reason) == (error.code, error.reason)
    assert 1 == len(server.seen)


@both
async def test_the_last_failure_stands(kind: str) -> None:
    """After the last attempt, or where the wait would not end before the deadline, at once."""
    with ScriptedServer() as server:
        server.always("Sign", refuse(_CODE.UNAVAILABLE, "SEALED", retry_after_s=5))
        async with connected(kind, server.target) as client:
            started_s = time.monotonic()
            error = await failed(client.call("sign", pb.SignRequest(request_id="x"), timeout_s=2))
            assert ("SEALED", 5.0) == (error.reason, error.retry_after_s)
            assert time.monotonic() - started_s < 1
            server.always("Sign", refuse(_CODE.ABORTED, "AGAIN", retry_after_s=0))
            assert (
                "AGAIN"
                == (await failed(client.call("sign", pb.SignRequest(request_id="y")))).reason
            )
    assert 1 + 4 == len(server.seen)


@both
async def test_closing_ends_calls_and_waits(kind: str) -> None:
    """As CANCELLED; what is called on a closed client is, too."""
    with ScriptedServer() as server:
        server.then("Sign", sleep(1))
        server.always("CreateKey", refuse(_CODE.UNAVAILABLE, "SEALED", retry_after_s=9))
        async with connected(kind, server.target) as client:
            calls = [
                asyncio.ensure_future(client.call("sign", pb.SignRequest())),
                asyncio.ensure_future(
                    client.call("create_key", pb.CreateKeyRequest(request_id="x"))
                ),
            ]
            await asyncio.sleep(0.3)
            await client.close()
            for call in (*calls, client.call("sign", pb.SignRequest())):
                error = await failed(asyncio.wait_for(call, 1))
                assert ("CANCELLED", "the client is closed; make a new one") == (
                    error.code,
                    error.message,
                )
            await client.close()


@both
async def test_a_server_that_cancels(kind: str) -> None:
    """As one does that is stopped by force: the call may be made again, and does not look like a
    cancelled task.
    """
    with ScriptedServer() as server:
        server.then("Sign", refuse(_CODE.CANCELLED, "X"), refuse(_CODE.CANCELLED))
        async with connected(kind, server.target) as client:
            error = await failed(client.call("sign", pb.SignRequest()))
            assert ("UNAVAILABLE", "", True) == (error.code, error.reason, error.is_retryable)
            assert "the server ended the call" in error.message
            await client.call("sign", pb.SignRequest(request_id="x"))
    assert 3 == len(server.seen)


@both
@pytest.mark.parametrize("timeout_s", [math.inf, 1e12, 1e300])
async def test_long_deadlines(kind: str, timeout_s: float) -> None:
    """Beyond what gRPC can count they are far away, and not at once; what is no number is over."""
    with ScriptedServer() as server:
        async with connected(kind, server.target) as client:
            await client.call("sign", pb.SignRequest(), timeout_s=timeout_s)
            error = await failed(client.call("sign", pb.SignRequest(), timeout_s=math.nan))
    assert "DEADLINE_EXCEEDED" == error.code


async def test_a_token_function_that_runs_out_of_time(tmp_path: Path) -> None:
    """By itself, long before the call's deadline, it has failed."""

    async def token() -> str:
        raise TimeoutError

    (tmp_path / "ca.pem").write_bytes(TryOutCa().certificate)
    tls = Tls(tmp_path / "ca.pem")
    async with AsyncClient("localhost:1", tls=tls, token=token) as client:
        error = await failed(client.sign(pb.SignRequest()))
    assert "UNAUTHENTICATED" == error.code


def test_no_token_in_tracebacks_with_local_variables(tmp_path: Path) -> None:
    """As tools that report errors make them."""
    (tmp_path / "ca.pem").write_bytes(TryOutCa().certificate)
    (tmp_path / "token").write_text("s3cr3t")
    with Client(
        "localhost:1", tls=Tls(tmp_path / "ca.pem"), token_file=tmp_path / "token"
    ) as client:
        with pytest.raises(PrivysealError) as raised:
            client.sign(pb.SignRequest())
        shown = traceback.TracebackException.from_exception(raised.value, capture_locals=True)
        assert "metadata" in "".join(shown.format())
        assert "s3cr3t" not in "".join(shown.format())
        assert "s3cr3t" not in str(vars(client._token))


@both
async def test_nobody_there(kind: str) -> None:
    """UNAVAILABLE without a reason, with what to look at; and fine once somebody is."""
    with ScriptedServer() as server:
        port = server.port
    async with connected(kind, f"localhost:{port}") as client:
        error = await failed(client.call("sign", pb.SignRequest(), timeout_s=5))
        assert ("UNAVAILABLE", "", True) == (error.code, error.reason, error.is_retryable)
        assert "check that it runs" in error.message
        with ScriptedServer(port=port):
            await client.call("sign", pb.SignRequest(request_id="x"))


@both
async def test_targets_take_turns(kind: str) -> None:
    """Each gets its share; one that goes down is passed over and taken in again."""
    with ScriptedServer() as first, ScriptedServer() as second, ScriptedServer() as third:
        targets = [each.target for each in (first, second, third)]
        async with connected(kind, targets) as client:
            await client.call("sign", pb.SignRequest())
            await asyncio.sleep(0.3)
            for _ in range(30):
                await client.call("sign", pb.SignRequest())
            counts = [len(each.seen) for each in (first, second, third)]
            assert all(9 <= count <= 12 for count in counts), counts
            third.__exit__()
            await asyncio.sleep(0.1)
            for _ in range(10):
                await client.call("sign", pb.SignRequest())
            with ScriptedServer(port=third.port) as again:
                for _ in range(100):
                    await client.call("sign", pb.SignRequest())
                    if again.seen:
                        break
                    await asyncio.sleep(0.05)
                assert again.seen


@both
async def test_all_targets_down(kind: str) -> None:
    """It fails as with one."""
    with ScriptedServer() as first, ScriptedServer() as second:
        targets = [first.target, second.target]
    async with connected(kind, targets) as client:
        for _ in range(2):
            error = await failed(client.call("sign", pb.SignRequest(), timeout_s=5))
            assert ("UNAVAILABLE", "") == (error.code, error.reason)


@both
async def test_many_at_once(kind: str) -> None:
    """A client is for many threads, or tasks."""
    with ScriptedServer() as server:
        server.always("Sign", answer(pb.SignResponse(key="keys/x")))
        async with connected(kind, [server.target, server.target]) as client:
            calls = (client.call("sign", pb.SignRequest()) for _ in range(200))
            answers = await asyncio.gather(*calls)
    assert 200 == len(answers) == len(server.seen)


async def test_a_cancelled_task_ends_its_call() -> None:
    """At once, also while it waits to try again, and the server hears of it."""
    heard = threading.Event()

    def hang(_: bytes, context: grpc.ServicerContext) -> bytes:
        context.add_callback(heard.set)
        heard.wait(5)
        return b""

    with ScriptedServer() as server:
        server.then("Sign", hang)
        server.always("CreateKey", refuse(_CODE.UNAVAILABLE, "SEALED", retry_after_s=9))
        async with connected("asyncio", server.target) as client:
            for name, request in (
                ("sign", pb.SignRequest()),
                ("create_key", pb.CreateKeyRequest(request_id="x")),
            ):
                call = asyncio.create_task(client.call(name, request))
                await asyncio.sleep(0.2)
                call.cancel()
                started_s = time.monotonic()
                with pytest.raises(asyncio.CancelledError):
                    await call
                assert time.monotonic() - started_s < 0.1
            assert await asyncio.to_thread(heard.wait, 5)


_INTERRUPTED = """
import signal, sys
from privyseal import Client
from privyseal.v1 import signing_service_pb2 as pb
signal.signal(signal.SIGINT, signal.default_int_handler)
client = Client(sys.argv[1], plaintext=True, timeout_s=30)
print("ready", flush=True)
try:
    client.sign(pb.SignRequest(request_id=sys.argv[2]))
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.parametrize("waits", [False, True])
def test_an_interrupt_ends_a_blocking_call(waits: bool) -> None:
    """Ctrl-C, in the call as in the wait before the next attempt; the server hears of it."""
    begun, heard = threading.Event(), threading.Event()

    def hang(_: bytes, context: grpc.ServicerContext) -> bytes:
        context.add_callback(heard.set)
        begun.set()
        heard.wait(10)
        return b""

    def ask_to_wait(_: bytes, context: grpc.ServicerContext) -> bytes:
        begun.set()
        refuse(_CODE.UNAVAILABLE, "SEALED", retry_after_s=20)(b"", context)
        return b""

    with ScriptedServer() as server:
        server.always("Sign", ask_to_wait if waits else hang)
        process = subprocess.Popen(
            [sys.executable, "-c", _INTERRUPTED, server.target, "x"], stdout=subprocess.PIPE
        )
        with contextlib.closing(process.stdout) as output:  # type: ignore[type-var]
            assert output is not None
            assert b"ready\n" == output.readline()
            assert begun.wait(10)
            time.sleep(0.2)
            process.send_signal(signal.SIGINT)
            assert b"interrupted\n" == output.readline()
            assert 0 == process.wait(10)
        assert waits or heard.wait(5)


def test_an_async_client_belongs_to_one_loop() -> None:
    """It may be made before there is one; in another it is refused with what to do."""
    with ScriptedServer() as server:
        made = AsyncClient(server.target, plaintext=True)
        asyncio.run(made.sign(pb.SignRequest()))
        with pytest.raises(RuntimeError, match="one event loop"):
            asyncio.run(made.sign(pb.SignRequest()))
