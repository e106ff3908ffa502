import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from fakes import FakeClock
from privyseal.v1 import hold_service_pb2, key_service_pb2
from privyseal.v1 import signing_service_pb2 as pb
from privyseald.rpc import listener
from privyseald.sandbox.faults import Fault, Spoil
from service import (
    KIIEX,
    OPERATOR,
    STRANGER,
    WHITEBIT,
    Service,
    Stubs,
    eventually,
    failure_of,
    import_sandbox_key,
    sign_request,
)
from session_watch import Watch, lines_of

LIFE_MS = 3_600_000
# Later than any server begins to renew, and earlier than anybody stops to use the session.
LATE_MS = 3_100_000
_RPC = "privyseal.v1.SigningService/WatchSession"


@pytest.fixture
def clock() -> FakeClock:
    """A clock for server and venues alike."""
    return FakeClock()


@pytest.fixture
async def stopped(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Service]:
    """A server in whose life time only passes by hand, with a KIIEX key `kx`."""
    async with Service(tmp_path, clock=clock) as running:
        await import_sandbox_key(await running.as_caller(OPERATOR), "kx", KIIEX)
        yield running


@pytest.fixture
async def desk(stopped: Service) -> Stubs:
    """Stubs of the caller who may do everything."""
    return await stopped.as_caller(OPERATOR)


def logins(service: Service) -> int:
    """Return how often the venue was asked for a session."""
    return sum("AuthenticateUser" in seen.path for seen in service.sandbox.requests("kiiex"))


async def login(stubs: Stubs, *, force: bool = False) -> pb.Session:
    """Call Login."""
    request = pb.LoginRequest(key="keys/kx", force=force)
    session: pb.Session = (await stubs.signing.Login(request)).session
    return session


async def renewals(service: Service, count: int) -> list[dict[str, Any]]:
    """Return the audit lines of our own logins, when there are so many."""

    async def are_there() -> bool:
        return len(lines_of(service, "renewal")) >= count

    await eventually(are_there)
    lines = lines_of(service, "renewal")
    assert len(lines) == count
    return lines


async def nothing_is_open(service: Service) -> None:
    """Wait until no stream is left."""

    async def is_none() -> bool:
        return service.app.server._streams.open == 0

    await eventually(is_none)


async def test_the_session_comes_at_once(stopped: Service, desk: Stubs) -> None:
    """A stream opens a session where there is none, and those that follow get the same."""
    first, second = Watch(desk), Watch(desk)
    session = await first.session()
    assert session == await second.session() == await login(desk)
    assert [(each.name, each.value) for each in session.headers] == [("aptoken", session.token)]
    assert logins(stopped) == 1


async def test_each_opening_token_and_end_is_audited(stopped: Service, desk: Stubs) -> None:
    """The lines say who got a token when, and never the token."""
    watch = Watch(desk)
    token = (await watch.session()).token
    watch.cancel()
    await nothing_is_open(stopped)

    def lines() -> list[tuple[str, ...]]:
        return [
            tuple(line.get(name, "") for name in ("operation", "code", "decision", "caller", "key"))
            for line in stopped.audit_lines()
            if line.get("rpc") == _RPC
        ]

    async def is_ended() -> bool:
        return len(lines()) == 3

    await eventually(is_ended)
    assert lines() == [
        ("open", "OK", "allowed", OPERATOR, "keys/kx"),
        ("session", "OK", "allowed", OPERATOR, "keys/kx"),
        ("end", "CANCELLED", "cancelled", OPERATOR, "keys/kx"),
    ]
    assert token not in (stopped.directory / "audit.jsonl").read_text()


async def test_a_new_session_comes_before_the_old_one_dies(
    stopped: Service, desk: Stubs, clock: FakeClock
) -> None:
    """At about 80 % of its life the session is renewed, once for all who watch; our own login is
    audited as ours.
    """
    watches = [Watch(desk) for _ in range(5)]
    old = {(await watch.session()).token for watch in watches}
    clock.advance(2_600_000)
    assert await watches[0].is_quiet()
    watches[0] = Watch(desk)
    await watches[0].session()
    clock.advance(LATE_MS - 2_600_000)
    new = {(await watch.session()).token for watch in watches}
    assert (len(old), len(new), old & new, logins(stopped)) == (1, 1, set(), 2)
    (line,) = await renewals(stopped, 1)
    assert (line["rpc"], line["caller"], line["key"], line["code"], line["venue"]) == (
        "privyseal.v1.SigningService/Login",
        "privyseal",
        "keys/kx",
        "OK",
        "kiiex",
    )


async def test_who_watches_hears_of_others_logins(stopped: Service, desk: Stubs) -> None:
    """A forced Login's session reaches the stream at once, with one audit line for each token."""
    watch = Watch(desk)
    await watch.session()
    for _ in range(2):
        assert (await login(desk, force=True)) == await watch.session()
    assert len(lines_of(stopped, "session")) == 3


async def test_a_logout_is_told_and_not_undone(
    stopped: Service, desk: Stubs, clock: FakeClock
) -> None:
    """After a Logout nothing is opened unasked, for hours; the next Login's session comes."""
    watch = Watch(desk)
    await watch.session()
    await desk.signing.Logout(pb.LogoutRequest(key="keys/kx"))
    failure = await watch.failure()
    assert (failure.code, failure.reason) == ("FAILED_PRECONDITION", "SESSION_MISSING")
    for _ in range(3):
        clock.advance(3_600_000)
        await asyncio.sleep(0.3)
    assert await watch.is_quiet()
    assert logins(stopped) == 1
    watch = Watch(desk)
    assert await watch.session() == await login(desk)
    assert logins(stopped) == 2


@pytest.mark.parametrize(
    ("verb", "code", "reason"),
    [
        ("disable", "FAILED_PRECONDITION", "KEY_DISABLED"),
        ("delete", "NOT_FOUND", "KEY_UNKNOWN"),
        ("hold", "FAILED_PRECONDITION", "HELD"),
    ],
)
async def test_the_stream_ends_with_the_right_to_it(
    stopped: Service, desk: Stubs, verb: str, code: str, reason: str
) -> None:
    """What takes the session from the caller is told, and ends the stream."""
    watch = Watch(desk)
    await watch.session()
    match verb:
        case "disable":
            await desk.keys.DisableKey(key_service_pb2.DisableKeyRequest(name="keys/kx"))
        case "delete":
            await desk.keys.DeleteKey(key_service_pb2.DeleteKeyRequest(name="keys/kx"))
        case _:
            hold = hold_service_pb2.Hold(key="keys/kx", cause="runaway")
            await desk.holds.CreateHold(hold_service_pb2.CreateHoldRequest(hold=hold))
    failure, end = await watch.failure(), await watch.end()
    assert (failure.code, failure.reason) == (end.code, end.reason) == (code, reason)
    assert failure.message == end.message
    await nothing_is_open(stopped)
    line = lines_of(stopped, "end")[-1]
    assert (line["code"], line["reason"], line["decision"]) == (code, reason, "refused")


async def test_a_rotated_key_has_another_session(stopped: Service, desk: Stubs) -> None:
    """The stream goes on with the next version's session."""
    watch = Watch(desk)
    first = await watch.session()
    await desk.keys.RotateKey(
        key_service_pb2.RotateKeyRequest(name="keys/kx", plaintext=KIIEX.material.encode())
    )
    assert (await watch.session()).token != first.token
    assert logins(stopped) == 2


async def test_who_may_not_log_in_may_not_watch(stopped: Service) -> None:
    """A refused stream has no event and one audit line."""
    end = await Watch(await stopped.as_caller(STRANGER)).end()
    assert (end.code, end.metadata["action"]) == ("PERMISSION_DENIED", "login")
    lines = [line for line in stopped.audit_lines() if line.get("rpc") == _RPC]
    assert [line["code"] for line in lines] == ["PERMISSION_DENIED"]
    assert logins(stopped) == 0


@pytest.mark.parametrize(
    ("key_id", "code", "reason"),
    [
        ("KX", "INVALID_ARGUMENT", "FIELD_INVALID"),
        ("other", "NOT_FOUND", "KEY_UNKNOWN"),
        ("wb", "FAILED_PRECONDITION", "LOGIN_UNSUPPORTED"),
    ],
)
async def test_what_can_not_be_watched(desk: Stubs, key_id: str, code: str, reason: str) -> None:
    """Nothing is opened for a key without sessions."""
    await import_sandbox_key(desk, "wb", WHITEBIT)
    end = await Watch(desk, key_id).end()
    assert (end.code, end.reason) == (code, reason)


async def test_a_refusal_at_the_start_is_told_and_tried_again(
    stopped: Service, desk: Stubs, clock: FakeClock
) -> None:
    """The stream stays open, and has its session when the back-off is over; nobody asks earlier."""
    stopped.sandbox.accounts.kiiex["149"].api_secret = "another"
    watch = Watch(desk)
    failure = await watch.failure()
    assert (failure.code, failure.reason, failure.retry_after_ms) == (
        "FAILED_PRECONDITION",
        "VENUE_CREDENTIAL_REJECTED",
        30_000,
    )
    stopped.sandbox.accounts.kiiex["149"].api_secret = KIIEX.material
    clock.advance(29_000)
    assert await watch.is_quiet()
    assert logins(stopped) == 1
    watch = Watch(desk)
    assert (await watch.failure()).reason == "LOGIN_BACKING_OFF"
    clock.advance(1_000)
    assert (await watch.session()).user_id == "149"


async def test_a_renewal_that_fails_is_told_and_tried_again(
    stopped: Service, desk: Stubs, clock: FakeClock
) -> None:
    """The old session serves on meanwhile; each failure comes, and so does the new session."""
    watch = Watch(desk)
    old = await watch.session()
    stopped.sandbox.faults.add(Fault("kiiex", spoil=Spoil.HTML, times=2))
    clock.advance(LATE_MS)
    for wait_ms in (5_000, 10_000):
        failure = await watch.failure()
        assert (failure.reason, failure.retry_after_ms) == ("VENUE_OUTCOME_UNKNOWN", wait_ms)
        assert (await login(desk)).token == old.token
        clock.advance(wait_ms)
    assert (await watch.session()).token != old.token
    assert logins(stopped) == 4
    assert [line["code"] for line in await renewals(stopped, 3)] == [
        "UNAVAILABLE",
        "UNAVAILABLE",
        "OK",
    ]


async def test_a_locked_account_is_left_alone_until_a_custodian_acts(
    stopped: Service, desk: Stubs, clock: FakeClock
) -> None:
    """However long the stream waits, the venue is not asked; EnableKey brings the session."""
    stopped.sandbox.accounts.kiiex["149"].locked = True
    watch = Watch(desk)
    assert (await watch.failure()).reason == "VENUE_ACCOUNT_LOCKED"
    stopped.sandbox.unlock("149")
    for _ in range(3):
        clock.advance(86_400_000)
        assert await watch.is_quiet()
        watch = Watch(desk)
        assert (await watch.failure()).reason == "VENUE_ACCOUNT_LOCKED"
    assert logins(stopped) == 1
    await desk.keys.EnableKey(key_service_pb2.EnableKeyRequest(name="keys/kx"))
    assert (await watch.session()).user_id == "149"


async def test_a_session_that_nobody_watches_or_uses_is_left_to_die(
    stopped: Service, desk: Stubs, clock: FakeClock
) -> None:
    """After the last stream ends, and without use in the second half of its life, it dies."""
    watch = Watch(desk)
    await watch.session()
    watch.cancel()
    await nothing_is_open(stopped)
    clock.advance(LATE_MS)
    await asyncio.sleep(0.8)
    assert logins(stopped) == 1


async def test_a_session_that_was_used_lately_is_renewed(
    stopped: Service, desk: Stubs, clock: FakeClock
) -> None:
    """A Sign in the second half of its life is care enough."""
    await login(desk)
    clock.advance(LIFE_MS // 2)
    await desk.signing.Sign(sign_request("kx", "POST", "/ap/GetUserInfo", b"{}"))
    clock.advance(LATE_MS - LIFE_MS // 2)

    async def is_renewed() -> bool:
        return logins(stopped) == 2

    await eventually(is_renewed)
    await renewals(stopped, 1)


async def test_streams_have_a_limit_of_their_own(tmp_path: Path) -> None:
    """Beyond it a stream is refused, and other RPCs are not; one that ends makes room."""
    limits = {"max_streams": 1, "max_concurrent_rpcs": 1}
    async with Service(tmp_path, server=limits) as service:
        desk = await service.as_caller(OPERATOR)
        await import_sandbox_key(desk, "kx", KIIEX)
        first = Watch(desk)
        await first.session()
        refused = await Watch(desk).end()
        assert (refused.code, refused.reason) == ("RESOURCE_EXHAUSTED", "OVERLOADED")
        await login(desk)
        first.cancel()
        await nothing_is_open(service)
        await Watch(desk).session()


async def test_a_server_that_stops_ends_its_streams_first(tmp_path: Path) -> None:
    """Streams don't hold up the end: they hear of it, well within the grace."""
    async with Service(tmp_path, server={"grace_ms": 60_000}) as service:
        desk = await service.as_caller(OPERATOR)
        await import_sandbox_key(desk, "kx", KIIEX)
        watches = [Watch(desk) for _ in range(3)]
        for watch in watches:
            await watch.session()
        stopping = asyncio.ensure_future(service.stop())
        ends = [await watch.end() for watch in watches]
        async with asyncio.timeout(10):
            await stopping
    assert {(end.code, end.reason) for end in ends} == {("UNAVAILABLE", "SERVER_STOPPING")}
    assert [line["reason"] for line in lines_of(service, "end")] == ["SERVER_STOPPING"] * 3


async def test_a_connection_that_is_too_old_ends_its_streams(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The age of connections counts for streams too, so that clients spread over servers anew;
    nothing of the stream stays behind.
    """
    options = {**dict(listener._OPTIONS), "grpc.max_connection_age_grace_ms": 300}
    monkeypatch.setattr(listener, "_OPTIONS", tuple(options.items()))
    async with Service(tmp_path, server={"max_connection_age_ms": 1_000}) as service:
        desk = await service.as_caller(OPERATOR)
        await import_sandbox_key(desk, "kx", KIIEX)
        watch = Watch(desk)
        await watch.session()
        assert (await watch.end()).code == "UNAVAILABLE"
        await nothing_is_open(service)
        assert (await Watch(desk).session()).user_id == "149"


async def test_a_session_outlives_a_restart(stopped: Service, desk: Stubs) -> None:
    """The embedded state keeps it, sealed; the venue is not asked again, and a logout still ends
    it.
    """
    before = await Watch(desk).session()
    await stopped.restart()
    again = await stopped.as_caller(OPERATOR)
    assert await Watch(again).session() == before
    assert logins(stopped) == 1
    for path in stopped.directory.rglob("*"):
        assert path.is_dir() or before.token.encode() not in path.read_bytes(), path
    await again.signing.Logout(pb.LogoutRequest(key="keys/kx"))
    await stopped.restart()
    third = await stopped.as_caller(OPERATOR)
    signed = await third.signing.Sign(sign_request("kx", "POST", "/ap/GetUserInfo", b"{}"))
    assert "aptoken" not in [each.name for each in signed.signed_http_request.headers]


async def test_a_refusal_outlives_a_restart(
    stopped: Service, desk: Stubs, clock: FakeClock
) -> None:
    """A restart is no way around a back-off."""
    stopped.sandbox.accounts.kiiex["149"].api_secret = "another"
    await failure_of(desk.signing.Login(pb.LoginRequest(key="keys/kx")))
    clock.advance(20_000)
    await stopped.restart()
    again = await stopped.as_caller(OPERATOR)
    failure = await failure_of(again.signing.Login(pb.LoginRequest(key="keys/kx")))
    assert (failure.reason, failure.retry_after_ms) == ("LOGIN_BACKING_OFF", 10_000)
    assert logins(stopped) == 1
