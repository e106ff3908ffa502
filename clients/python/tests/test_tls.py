import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from either import KINDS, Either, connected
from scripted_server import ScriptedServer, answer

from privyseal import PrivysealError, Tls
from privyseal.v1 import signing_service_pb2 as pb
from privyseald.cli.certificates import TryOutCa

_CA = TryOutCa()

both = pytest.mark.parametrize("kind", KINDS)


def credentials(*, ask: bool = True) -> grpc.ServerCredentials:
    """Return what a server of the CA shows."""
    pem = _CA.server(("localhost", "127.0.0.1"))
    return grpc.ssl_server_credentials(
        [(pem.private_key, pem.certificate)], _CA.certificate if ask else None, ask
    )


def write(folder: Path, caller: str) -> Tls:
    """Write a caller's files as somebody who renews them does."""
    pem = _CA.caller(caller)
    for name, text in (
        ("ca", _CA.certificate),
        ("client", pem.certificate),
        ("key", pem.private_key),
    ):
        (folder / ".fresh").write_bytes(text)
        (folder / ".fresh").rename(folder / f"{name}.pem")
    return Tls(folder / "ca.pem", folder / "client.pem", folder / "key.pem")


class Callers:
    """Keeps who called."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def note(self, _: bytes, context: grpc.ServicerContext) -> bytes:
        """Note the name in the certificate."""
        names: Any = context.auth_context().get("peer_spiffe_id", [b"nobody"])
        self.names.append(names[0].decode().rpartition("/")[2])
        return b""


@both
async def test_renewed_files_are_used(kind: str, tmp_path: Path) -> None:
    """By new calls, without one that fails; a stream goes on over the old connection, which is
    closed at its end.
    """
    callers, ended = Callers(), threading.Event()

    def stay(_: bytes, context: grpc.ServicerContext) -> bytes:
        while context.is_active():
            time.sleep(0.01)
        ended.set()
        return b""

    session = pb.WatchSessionResponse(session=pb.Session(token="one"))
    with ScriptedServer(credentials()) as server:
        server.then("WatchSession", answer(session), stay)
        server.always("Sign", callers.note)
        tls = write(tmp_path, "spiffe://privyseal.test/old")
        async with connected(kind, server.target, tls=tls) as client:
            watch = client.watch()
            assert isinstance(await watch.next(), pb.Session)
            await client.call("sign", pb.SignRequest())
            write(tmp_path, "spiffe://privyseal.test/new")
            until_s = time.monotonic() + 5
            while callers.names[-1] != "new":
                assert time.monotonic() < until_s
                await asyncio.gather(*(client.call("sign", pb.SignRequest()) for _ in range(4)))
                await asyncio.sleep(0.05)
            assert {"old", "new"} == set(callers.names)
            assert not ended.is_set()
            assert 1 == len(_others(client))
            await watch.close()
            assert await asyncio.to_thread(ended.wait, 5)
            assert 0 == len(_others(client))


@both
async def test_files_that_break_leave_the_last_good(kind: str, tmp_path: Path) -> None:
    """Also for connections that are opened later."""
    callers = Callers()
    with ScriptedServer(credentials()) as server:
        server.always("Sign", callers.note)
        tls = write(tmp_path, "spiffe://privyseal.test/old")
        async with connected(kind, server.target, tls=tls) as client:
            await client.call("sign", pb.SignRequest())
            for name in ("ca", "client", "key"):
                (tmp_path / f"{name}.pem").write_text("no PEM")
            await asyncio.sleep(1.1)
            await client.call("sign", pb.SignRequest())
    assert ["old", "old"] == callers.names


@both
async def test_a_token_is_asked_for_each_attempt(kind: str, tmp_path: Path) -> None:
    """From a function, also one that fails or returns something else."""
    write(tmp_path, "spiffe://privyseal.test/x")
    tokens: list[Any] = ["one", "two", "", RuntimeError("SECRET")]

    def give() -> Any:
        token = tokens.pop(0)
        if isinstance(token, Exception):
            raise token
        return token

    with ScriptedServer(credentials(ask=False)) as server:
        async with connected(
            kind, server.target, tls=Tls(tmp_path / "ca.pem"), token=give
        ) as client:
            for _ in range(2):
                await client.call("sign", pb.SignRequest())
            for words in ("something else", "RuntimeError"):
                with pytest.raises(PrivysealError, match=words) as raised:
                    await client.call("sign", pb.SignRequest())
                assert "UNAUTHENTICATED" == raised.value.code
                assert "SECRET" not in str(raised.value)
    assert ["Bearer one", "Bearer two"] == [each.metadata["authorization"] for each in server.seen]


async def test_a_token_may_come_from_a_coroutine(tmp_path: Path) -> None:
    """For the asyncio client, within the deadline."""
    write(tmp_path, "spiffe://privyseal.test/x")

    async def soon() -> str:
        await asyncio.sleep(0)
        return "soon"

    async def never() -> str:
        await asyncio.sleep(60)
        return "late"

    with ScriptedServer(credentials(ask=False)) as server:
        kinds: tuple[Callable[[], Any], ...] = (soon, never)
        for token in kinds:
            async with connected(
                "asyncio", server.target, tls=Tls(tmp_path / "ca.pem"), token=token, timeout_s=0.5
            ) as client:
                if token is soon:
                    await client.call("sign", pb.SignRequest())
                    continue
                with pytest.raises(PrivysealError, match="DEADLINE_EXCEEDED"):
                    await client.call("sign", pb.SignRequest())
    assert ["Bearer soon"] == [each.metadata["authorization"] for each in server.seen]


def _others(client: Either) -> set[Any]:
    others: set[Any] = client.client._pool._others
    return others
