"""Sessions of several servers, on a real Vault and a real Valkey, at a venue that verifies."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bao import BaoServer
from privyseal.v1 import key_service_pb2
from privyseal.v1 import signing_service_pb2 as pb
from privyseald.sandbox.faults import Fault
from privyseald.sandbox.sandbox import Sandbox
from privyseald.venues import kiiex_session
from replicas import shared
from served import Served
from service import (
    KIIEX,
    OPERATOR,
    Failure,
    Service,
    Stubs,
    eventually,
    failure_of,
    import_sandbox_key,
    sign_request,
)
from session_watch import Watch, lines_of
from valkey_server import ValkeyServer

_REQUEST = sign_request("kx", "POST", "/ap/GetUserInfo", b"{}")


class Fleet:
    """Three servers, each as the operator reaches it, with the KIIEX key `kx`."""

    def __init__(self, services: list[Service], stubs: list[Stubs]) -> None:
        self.services = services
        self.stubs = stubs
        self.sandbox = services[0].sandbox

    @property
    def logins(self) -> int:
        """How often the venue was asked for a session."""
        return _logins(self.sandbox)

    async def login(self, number: int, *, force: bool = False) -> str:
        """Log in at one server and return the token."""
        request = pb.LoginRequest(key="keys/kx", force=force)
        token: str = (await self.stubs[number % 3].signing.Login(request)).session.token
        return token

    async def refusal(self, number: int) -> Failure:
        """Return how a login at one server is refused."""
        return await failure_of(self.login(number))

    async def token_of(self, number: int) -> str:
        """Return the token that one server signs with, nothing where it signs without."""
        answer = await self.stubs[number].signing.Sign(_REQUEST)
        headers = {each.name: each.value for each in answer.signed_http_request.headers}
        return str(headers.get("aptoken", ""))


def _logins(sandbox: Sandbox) -> int:
    return sum("AuthenticateUser" in seen.path for seen in sandbox.requests("kiiex"))


@pytest.fixture
async def fleet(
    tmp_path: Path, bao: BaoServer, prefix: str, valkey_server: ValkeyServer
) -> AsyncIterator[Fleet]:
    """All is up, and nobody is logged in."""
    sections = shared(tmp_path, bao, prefix, valkey_server.url)
    (tmp_path / "first").mkdir()
    async with Service(tmp_path / "first", **sections) as first:
        services = [first, await first.replica(), await first.replica()]
        stubs = [await service.as_caller(OPERATOR) for service in services]
        await import_sandbox_key(stubs[0], "kx", KIIEX)
        yield Fleet(services, stubs)


async def test_200_logins_at_three_servers_are_one(fleet: Fleet) -> None:
    """The venue is asked once, and all get its token; a forced round is one more."""
    fleet.sandbox.faults.add(Fault("kiiex", latency_ms=3_000))
    first = await asyncio.gather(*(fleet.login(number) for number in range(200)))
    assert (len(set(first)), fleet.logins) == (1, 1)
    second = await asyncio.gather(*(fleet.login(number, force=True) for number in range(200)))
    assert (len(set(second)), fleet.logins) == (1, 2)
    assert first[0] != second[0]
    assert [await fleet.token_of(number) for number in range(3)] == [second[0]] * 3


async def test_a_refusal_is_all_servers(fleet: Fleet) -> None:
    """Who waited hears the venue's words, who comes later is told to wait, and one call is made;
    a restart forgets nothing.
    """
    fleet.sandbox.accounts.kiiex["149"].api_secret = "another"
    fleet.sandbox.faults.add(Fault("kiiex", latency_ms=200))
    failures = await asyncio.gather(*(fleet.refusal(number) for number in range(30)))
    assert {failure.reason for failure in failures} == {"VENUE_CREDENTIAL_REJECTED"}
    await fleet.services[2].restart()
    fleet.stubs[2] = await fleet.services[2].as_caller(OPERATOR)
    for number in range(3):
        failure = await fleet.refusal(number)
        assert failure.reason == "LOGIN_BACKING_OFF"
        assert 0 < (failure.retry_after_ms or 0) <= 30_000
    assert fleet.logins == 1


async def test_a_locked_account_is_not_asked_again_by_anybody(fleet: Fleet) -> None:
    """Until a custodian enables the key, at whatever server."""
    fleet.sandbox.accounts.kiiex["149"].locked = True
    watch = Watch(fleet.stubs[1])
    assert (await watch.failure()).reason == "VENUE_ACCOUNT_LOCKED"
    fleet.sandbox.unlock("149")
    for number in range(9):
        assert (await fleet.refusal(number)).reason == "VENUE_ACCOUNT_LOCKED"
    assert fleet.logins == 1
    request = key_service_pb2.EnableKeyRequest(name="keys/kx")
    await fleet.stubs[0].keys.EnableKey(request)
    assert (await watch.session()).token == await fleet.login(2)
    assert fleet.logins == 2


async def test_a_watcher_hears_of_logins_at_other_servers(fleet: Fleet) -> None:
    """A session that one server opens reaches the streams of the others."""
    token = await fleet.login(0)
    watches = [Watch(fleet.stubs[number]) for number in (1, 2)]
    assert [(await watch.session()).token for watch in watches] == [token] * 2
    token = await fleet.login(0, force=True)
    assert [(await watch.session()).token for watch in watches] == [token] * 2
    assert fleet.logins == 2


async def test_a_logout_counts_at_all_servers_within_two_seconds(fleet: Fleet) -> None:
    """Five times: signed with the token at the one, logged out at the other."""
    for _ in range(5):
        token = await fleet.login(0)
        assert await fleet.token_of(1) == token
        began_s = time.monotonic()
        await fleet.stubs[0].signing.Logout(pb.LogoutRequest(key="keys/kx"))
        while await fleet.token_of(1) == token:
            assert time.monotonic() - began_s < 2.0
        assert await fleet.token_of(0) == ""


async def test_a_disabled_key_ends_the_streams_of_all_servers(fleet: Fleet) -> None:
    """Also where the key was opened a moment ago and would be used for a minute without a look."""
    watches = [Watch(stubs) for stubs in fleet.stubs]
    for watch in watches:
        await watch.session()
    began_s = time.monotonic()
    await fleet.stubs[0].keys.DisableKey(key_service_pb2.DisableKeyRequest(name="keys/kx"))
    for watch in watches:
        assert (await watch.failure()).reason == "KEY_DISABLED"
        assert (await watch.end()).reason == "KEY_DISABLED"
    assert time.monotonic() - began_s < 3.0


async def test_no_token_is_readable_in_valkey(fleet: Fleet, valkey_server: ValkeyServer) -> None:
    """Neither in its memory, nor in what it writes, nor in what the venue said of the account."""
    token = await fleet.login(0)
    valkey_server.save()
    (dump,) = valkey_server.folder.glob("*.rdb")
    saved = dump.read_bytes()
    assert b"session/kx" in saved
    for text in (token, token[:13], KIIEX.material, "aptoken"):
        assert text.encode() not in saved


async def test_a_valkey_that_is_away_stops_logins_and_in_two_seconds_sessions(
    fleet: Fleet, valkey_server: ValkeyServer
) -> None:
    """Nothing is guessed; when it is back with what it knew, so is the session."""
    token = await fleet.login(0)
    assert await fleet.token_of(1) == token
    valkey_server.save()
    valkey_server.kill()

    async def is_refused() -> bool:
        failure = await failure_of(fleet.stubs[1].signing.Sign(_REQUEST))
        return failure.reason == "STATE_UNAVAILABLE"

    await asyncio.sleep(2.0)
    await eventually(is_refused)
    assert (await fleet.refusal(0)).reason == "STATE_UNAVAILABLE"
    valkey_server.restart(empty=False)

    async def is_back() -> bool:
        request = pb.LoginRequest(key="keys/kx")
        try:
            return bool((await fleet.stubs[1].signing.Login(request)).session.token == token)
        except Exception:  # noqa: BLE001  # whatever it says until then
            return False

    await eventually(is_back)
    assert fleet.logins == 1


async def test_sessions_are_renewed_once_for_all(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sessions of four seconds, watched at three servers for three lives: each new one comes
    before the old one is over, the same to all, for one login each.
    """
    monkeypatch.setattr(kiiex_session, "_SESSION_MS", 4_000)
    watches = [Watch(stubs) for stubs in fleet.stubs]
    seen: list[str] = []
    end_ms = 0
    for _ in range(4):
        sessions = [await watch.session() for watch in watches]
        (token,) = {session.token for session in sessions}
        if seen:
            assert time.time() * 1_000 < end_ms
        end_ms = sessions[0].expire_time.ToMilliseconds()
        seen.append(token)
    assert (len(set(seen)), fleet.logins) == (4, 4)
    lines = [line for service in fleet.services for line in lines_of(service, "renewal")]
    assert 2 <= len(lines) <= 3
    assert {(line["caller"], line["code"]) for line in lines} == {("privyseal", "OK")}


async def test_another_server_takes_over_from_one_that_is_killed(
    tmp_path: Path, bao: BaoServer, prefix: str, valkey_server: ValkeyServer
) -> None:
    """The server that renews is killed in the middle of its login. Another one takes that for a
    login of unknown outcome, leaves the venue alone for five seconds, and renews.
    """
    async with Sandbox() as sandbox:
        sections = shared(tmp_path, bao, prefix, valkey_server.url)
        sections["venues"] = {"kiiex": {"base_urls": {"production": sandbox.urls["kiiex"]}}}
        servers = []
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            servers.append(Served(tmp_path / name, **sections))
            servers[-1].program = (str(Path(__file__).with_name("short_sessions.py")),)
        one, two = servers
        async with one, two:
            dying = await one.as_caller(OPERATOR)
            await import_sandbox_key(dying, "kx", KIIEX)
            first = (await Watch(dying).session()).token
            sandbox.faults.add(Fault("kiiex", latency_ms=2_000, times=1))

            async def is_renewing() -> bool:
                return sandbox.faults.list() == ()

            await eventually(is_renewing)
            living = Watch(await two.as_caller(OPERATOR))
            assert (await living.session()).token == first
            assert one.signal(signal.SIGKILL) == -signal.SIGKILL
            failure = await living.failure()
            assert (failure.code, failure.reason) == ("UNAVAILABLE", "VENUE_OUTCOME_UNKNOWN")
            assert "a server stopped in the middle of a login of keys/kx" in failure.message
            assert (await living.session()).token != first
            assert _logins(sandbox) == 3
