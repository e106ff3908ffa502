import os
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from privyseal.v1 import venue_service_pb2
from privyseald.app import App
from privyseald.config_error import ConfigInvalid
from service import (
    NEBULAEX,
    OPERATOR,
    Service,
    Stubs,
    failure_of,
    import_sandbox_key,
    sign_request,
)
from tokens import Issuer, bearer, jwt_section, policy

_LIST = venue_service_pb2.ListVenuesRequest()
_SIGN = sign_request("nx", "GET", "/api/v2/backend/account/balances")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the socket is."""
    folder = tmp_path / "run"
    folder.mkdir(0o755)
    return folder / "privyseal.sock"


@pytest.fixture
async def desk(tmp_path: Path, path: Path) -> AsyncIterator[Service]:
    """A server with a socket for the maker, and its key `nx`."""
    service = Service(
        tmp_path,
        server={
            "unix_socket": {"path": path, "caller": "unix:maker"},
            "jwt": jwt_section(tmp_path, Issuer(), listen="127.0.0.1:0"),
        },
    )
    service.take_policy(policy())
    async with service:
        await import_sandbox_key(await service.as_caller(OPERATOR), "nx", NEBULAEX)
        yield service


async def test_who_can_open_the_socket_is_its_caller(desk: Service, path: Path) -> None:
    """An RPC over the socket is the configured caller's; the policy decides what it may."""
    stubs = await desk.connect_socket(path)
    assert (await stubs.signing.Sign(_SIGN)).signed_http_request.headers
    assert desk.audit_lines()[-1]["caller"] == "unix:maker"
    other = sign_request("other", "GET", "/api/v2/backend/account/balances")
    assert (await failure_of(stubs.signing.Sign(other))).reason == "POLICY_DENIED"


async def test_the_other_doors_are_what_they_were(desk: Service) -> None:
    """A server with a socket still knows certificates by name and refuses nobody's RPC."""
    await (await desk.as_caller(OPERATOR)).venues.ListVenues(_LIST)
    assert desk.audit_lines()[-1]["caller"] == OPERATOR
    stubs = await desk.connect(None, desk.app.server.token_port)
    assert (await failure_of(stubs.venues.ListVenues(_LIST))).reason == "CALLER_UNPROVED"


async def test_local_credentials_open_it_too(desk: Service, path: Path) -> None:
    """A client with gRPC's credentials for local connections gets in as one with none."""
    credentials = grpc.local_channel_credentials(grpc.LocalConnectionType.UDS)
    async with grpc.aio.secure_channel(f"unix:{path}", credentials) as channel:
        await Stubs(channel).venues.ListVenues(_LIST)
    assert desk.audit_lines()[-1]["caller"] == "unix:maker"


async def test_a_token_over_the_socket_is_too_much(desk: Service, path: Path) -> None:
    """The socket names the caller already; a token there proves nobody."""
    stubs = await desk.connect_socket(path)
    failure = await failure_of(stubs.venues.ListVenues(_LIST, metadata=bearer(Issuer().token())))
    assert failure.reason == "CALLER_UNPROVED"
    assert "a bearer token came over the Unix socket" in failure.message


async def test_a_socket_beside_plaintext(tmp_path: Path, path: Path) -> None:
    """Plaintext on loopback stays `local`, and is not taken for the socket."""
    server = {
        "tls": None,
        "allow_plaintext_on_loopback": True,
        "unix_socket": {"path": path, "caller": "maker"},
    }
    async with Service(tmp_path, server=server) as service:
        for stubs, caller in (
            (await service.connect_plaintext(service.app.server.port), "local"),
            (await service.connect_socket(path), "maker"),
        ):
            await stubs.venues.ListVenues(_LIST)
            assert service.audit_lines()[-1]["caller"] == caller


def mode_of(path: Path) -> int:
    """Return kind and permissions of a file, 0 where there is none."""
    return path.stat().st_mode if path.exists() else 0


@pytest.mark.parametrize(("mode", "expected"), [("0600", 0o600), ("0660", 0o660)])
@pytest.mark.parametrize("umask", [0o000, 0o077, 0o022])
async def test_the_sockets_mode_is_what_was_asked_for(
    tmp_path: Path, path: Path, mode: str, expected: int, umask: int
) -> None:
    """Whatever the process's umask is, which stays as it was; and the file goes with the server."""
    unix_socket = {"path": path, "caller": "maker", "mode": mode}
    before = os.umask(umask)
    try:
        async with Service(tmp_path, server={"unix_socket": unix_socket}):
            assert mode_of(path) == stat.S_IFSOCK | expected
            assert os.umask(umask) == umask
        assert mode_of(path) == 0
    finally:
        os.umask(before)


async def test_a_socket_left_behind_is_taken_over(tmp_path: Path, path: Path) -> None:
    """What a killed server left is no reason not to start."""
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    assert stat.S_ISSOCK(mode_of(path))
    unix_socket = {"path": path, "caller": "maker"}
    async with Service(tmp_path, server={"unix_socket": unix_socket}) as service:
        await (await service.connect_socket(path)).venues.ListVenues(_LIST)


async def refused(service: Service) -> str:
    """Return why a second server on the same files does not start."""
    elsewhere = service.config()
    with pytest.raises(ConfigInvalid) as caught:
        await App(elsewhere).__aenter__()
    return str(caught.value)


async def test_a_socket_in_use_is_left_alone(desk: Service, path: Path) -> None:
    """Another server's socket is not taken from it; it goes on to serve."""
    shared = {
        "store": {**desk.config().store.model_dump(), "url": f"embedded://{path.parent}/s.db"},
        "state": {"path": path.parent / "n"},
        "audit": {"file": path.parent / "a.jsonl"},
    }
    for name, section in shared.items():
        desk.override(name, section)
    assert f"another program listens on {path}; stop it" in await refused(desk)
    await (await desk.connect_socket(path)).venues.ListVenues(_LIST)


def spoiled(path: Path, case: str) -> Path:
    """Have something stand against a socket, and return where that is."""
    if case == "file":
        path.touch()
        path.chmod(0o640)
    elif case == "open folder":
        path.parent.chmod(0o777)
    elif case == "no folder":
        path.parent.rmdir()
    else:
        return Path("/proc/privyseal.sock")
    return path


@pytest.mark.parametrize("case", ["file", "open folder", "no folder", "no rights"])
async def test_a_place_where_no_socket_may_be(tmp_path: Path, path: Path, case: str) -> None:
    """Nothing is removed that is no socket, and nobody else may put one there."""
    words = {
        "file": f"{path} is no socket; nothing was removed",
        "open folder": f"everybody may write to {path.parent}",
        "no folder": f"{path.parent} can't be looked at (No such file or directory)",
        "no rights": f"{path} can't be listened on",
    }
    place = spoiled(path, case)
    service = Service(tmp_path, server={"unix_socket": {"path": place, "caller": "maker"}})
    with pytest.raises(ConfigInvalid) as caught:
        await service.__aenter__()
    await service.__aexit__(None, None, None)
    assert words[case].replace(str(path), str(place)) in str(caught.value)
    assert str(caught.value).startswith("server.unix_socket.path: ")
    assert case != "file" or mode_of(path) == stat.S_IFREG | 0o640
