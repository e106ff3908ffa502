import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from fakes import FakeClock
from privyseal.v1 import key_service_pb2
from privyseal.v1 import signing_service_pb2 as pb
from privyseald.sandbox.accounts import AsterAccount
from privyseald.sandbox.faults import Fault, Spoil
from service import (
    ASTER,
    ASTER_AGENT,
    ASTER_WALLET,
    KIIEX,
    NEBULAEX,
    OPERATOR,
    STRANGER,
    WHITEBIT,
    Failure,
    SandboxKey,
    Service,
    Stubs,
    failure_of,
    import_key,
    import_sandbox_key,
    send,
    sign_request,
)


def login(stubs: Stubs, key_id: str = "kx", **fields: Any) -> Any:
    """Call Login."""
    return stubs.signing.Login(pb.LoginRequest(key=f"keys/{key_id}", **fields))


def calls(service: Service, venue: str, path: str) -> int:
    """Return how often the venue was asked on a path."""
    return sum(path in seen.path for seen in service.sandbox.requests(venue))


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


async def test_kiiex_opens_a_session(service: Service, operator: Stubs) -> None:
    """Login returns token, ready headers, user and life span."""
    await import_sandbox_key(operator, "kx", KIIEX)
    session = (await login(operator)).session
    life_ms = session.expire_time.ToMilliseconds() - session.create_time.ToMilliseconds()
    assert (session.key, session.user_id, life_ms) == ("keys/kx", "149", 3_600_000)
    assert [(each.name, each.value) for each in session.headers] == [("aptoken", session.token)]
    assert calls(service, "kiiex", "AuthenticateUser") == 1


@pytest.mark.parametrize("key", [ASTER_WALLET, ASTER_AGENT], ids=["aster", "aster-v3"])
async def test_a_wallet_logs_in_at_aster(
    service: Service, operator: Stubs, key: SandboxKey
) -> None:
    """Login returns the website's token and uid, and no headers; its end is not known."""
    agent = "0x21cF8Ae13Bb72632562c6Fff438652Ba1a151bb0"
    service.sandbox.accounts.add(AsterAccount(agent, uid=12345678))
    await import_sandbox_key(operator, "wallet", key)
    session = (await login(operator, "wallet")).session
    assert (session.user_id, list(session.headers)) == ("12345678", [])
    assert len(session.token) >= 8
    assert not session.HasField("expire_time")


async def test_a_session_that_lasts_is_given_again(service: Service, operator: Stubs) -> None:
    """A second Login asks the venue nothing."""
    await import_sandbox_key(operator, "kx", KIIEX)
    first, second = (await login(operator)).session, (await login(operator)).session
    assert first == second
    assert calls(service, "kiiex", "AuthenticateUser") == 1


async def test_force_opens_another_session(service: Service, operator: Stubs) -> None:
    """`force` asks the venue again, and its session is the current one."""
    await import_sandbox_key(operator, "kx", KIIEX)
    first, second = (await login(operator)).session, (await login(operator, force=True)).session
    assert first.token != second.token
    assert (await login(operator)).session.token == second.token
    assert calls(service, "kiiex", "AuthenticateUser") == 2


async def test_logins_at_once_are_one_call(service: Service, operator: Stubs) -> None:
    """However many ask at the same time, the venue is asked once, and all get its session."""
    await import_sandbox_key(operator, "kx", KIIEX)
    service.sandbox.faults.add(Fault("kiiex", latency_ms=100))
    answers = await asyncio.gather(*(login(operator, force=True) for _ in range(10)))
    assert len({answer.session.token for answer in answers}) == 1
    assert calls(service, "kiiex", "AuthenticateUser") == 1


async def test_a_session_ends_with_its_life(stopped: Service, clock: FakeClock) -> None:
    """Shortly before its end a session is not given any more, and the next Login opens one."""
    operator = await stopped.as_caller(OPERATOR)
    first = (await login(operator)).session
    clock.advance(3_600_000 - 10_000)
    assert (await login(operator)).session.token != first.token


async def test_logout_ends_the_session_here_and_there(service: Service, operator: Stubs) -> None:
    """After Logout the venue refuses the token, and requests are signed without it."""
    await import_sandbox_key(operator, "kx", KIIEX)
    request = sign_request("kx", "POST", "/ap/GetUserInfo", b"{}")
    await login(operator)
    by_session = await operator.signing.Sign(request)
    answer = await operator.signing.Logout(pb.LogoutRequest(key="keys/kx"))
    assert answer == pb.LogoutResponse()
    assert b"Not Authorized" in (await send(by_session)).body
    stateless = await operator.signing.Sign(request)
    assert b"UserName" in (await send(stateless)).body
    assert calls(service, "kiiex", "LogOut") == 1


async def test_logout_without_a_session_asks_nobody(service: Service, operator: Stubs) -> None:
    """Logout succeeds where there is nothing to end."""
    await import_sandbox_key(operator, "kx", KIIEX)
    await operator.signing.Logout(pb.LogoutRequest(key="keys/kx"))
    assert service.sandbox.requests("kiiex") == ()


async def test_a_logout_that_fails_still_forgets(service: Service, operator: Stubs) -> None:
    """Where the venue fails at LogOut the session is gone here all the same."""
    await import_sandbox_key(operator, "kx", KIIEX)
    first = (await login(operator)).session
    service.sandbox.faults.add(Fault("kiiex", "/ap/LogOut", status=500))
    failure = await failure_of(operator.signing.Logout(pb.LogoutRequest(key="keys/kx")))
    assert (failure.code, failure.reason) == ("UNAVAILABLE", "VENUE_OUTCOME_UNKNOWN")
    assert (await login(operator)).session.token != first.token


async def test_aster_has_no_logout(service: Service, operator: Stubs) -> None:
    """A wallet's session ends here; Aster is not asked."""
    await import_sandbox_key(operator, "wallet", ASTER_WALLET)
    first = (await login(operator, "wallet")).session
    asked = len(service.sandbox.requests("aster"))
    await operator.signing.Logout(pb.LogoutRequest(key="keys/wallet"))
    assert len(service.sandbox.requests("aster")) == asked
    assert (await login(operator, "wallet")).session.token != first.token


@pytest.mark.parametrize(
    ("key", "rpc"),
    [
        (NEBULAEX, "Login"),
        (NEBULAEX, "Logout"),
        (WHITEBIT, "Login"),
        (WHITEBIT, "Logout"),
        (ASTER, "Login"),
    ],
    ids=lambda each: each if isinstance(each, str) else each.venue,
)
async def test_a_key_without_sessions(operator: Stubs, key: SandboxKey, rpc: str) -> None:
    """Where venue or key has no login, the answer says so."""
    await import_sandbox_key(operator, "one", key)
    request = {"Login": pb.LoginRequest, "Logout": pb.LogoutRequest}[rpc](key="keys/one")
    failure = await failure_of(getattr(operator.signing, rpc)(request))
    assert (failure.code, failure.reason, failure.metadata["venue"]) == (
        "FAILED_PRECONDITION",
        "LOGIN_UNSUPPORTED",
        key.venue,
    )


@pytest.mark.parametrize(
    ("key", "options", "reason", "field"),
    [
        (KIIEX, {"agent_code": "1"}, "OPTION_UNKNOWN", "options[agent_code]"),
        (KIIEX, {"two_factor_code": "12"}, "FIELD_INVALID", "options[two_factor_code]"),
        (KIIEX, {"credentials_in": ""}, "FIELD_INVALID", "options[credentials_in]"),
        (ASTER_WALLET, {"client_type": "app"}, "FIELD_INVALID", "options[client_type]"),
        (ASTER_WALLET, {"agentCode": "1"}, "OPTION_UNKNOWN", "options[agentCode]"),
    ],
)
async def test_an_option_that_the_venue_has_not(  # a row of the table
    service: Service,
    operator: Stubs,
    key: SandboxKey,
    options: dict[str, str],
    reason: str,
    field: str,
) -> None:
    """An unknown or malformed option is refused by name before the venue is asked."""
    await import_sandbox_key(operator, "one", key)
    failure = await failure_of(login(operator, "one", options=options))
    assert (failure.code, failure.reason, failure.field_name) == ("INVALID_ARGUMENT", reason, field)
    assert service.sandbox.requests() == ()


@pytest.mark.parametrize(
    ("key", "options"),
    [
        (KIIEX, {"credentials_in": "body"}),
        (KIIEX, {"credentials_in": "headers"}),
        (ASTER_WALLET, {"agent_code": "56789", "client_type": "web"}),
    ],
)
async def test_an_option_that_the_venue_has(
    service: Service, operator: Stubs, key: SandboxKey, options: dict[str, str]
) -> None:
    """Each documented option leads to a session too."""
    await import_sandbox_key(operator, "one", key)
    session = (await login(operator, "one", options=options)).session
    assert len(session.token) >= 8
    assert [seen.refusal for seen in service.sandbox.requests() if seen.refusal] == []


async def test_a_second_factor_is_named_and_taken(stopped: Service, clock: FakeClock) -> None:
    """A user with a second factor gets no session without the code, and one with it."""
    stopped.sandbox.accounts.kiiex["149"].code_2fa = "123456"
    operator = await stopped.as_caller(OPERATOR)
    failure = await failure_of(login(operator))
    assert (failure.code, failure.reason) == ("FAILED_PRECONDITION", "VENUE_TWO_FACTOR_PENDING")
    assert "give the option two_factor_code" in failure.message
    clock.advance(30_000)
    session = (await login(operator, options={"two_factor_code": "123456"})).session
    assert session.user_id == "149"


async def test_a_refused_login_is_not_repeated(stopped: Service, clock: FakeClock) -> None:
    """Inside the back-off the venue is left alone, also with `force`; after it, asked again."""
    operator = await stopped.as_caller(OPERATOR)
    stopped.sandbox.accounts.kiiex["149"].api_secret = "another"
    refused = await failure_of(login(operator))
    assert (refused.code, refused.reason, refused.retry_after_ms) == (
        "FAILED_PRECONDITION",
        "VENUE_CREDENTIAL_REJECTED",
        30_000,
    )
    assert refused.metadata == {"venue": "kiiex", "venueMessage": "Invalid username or password"}
    clock.advance(10_000)
    backing_off = await failure_of(login(operator, force=True))
    assert backing_off == Failure(
        "FAILED_PRECONDITION",
        "the venue refused the last login of keys/kx; asking again could lock the account, so "
        f"wait 20 s. It said: {refused.message}",
        "LOGIN_BACKING_OFF",
        {"key": "keys/kx", "refusal": "VENUE_CREDENTIAL_REJECTED"},
        retry_after_ms=20_000,
        precondition=("LOGIN_BACKING_OFF", "keys/kx"),
    )
    assert calls(stopped, "kiiex", "AuthenticateUser") == 1
    clock.advance(20_000)
    assert (await failure_of(login(operator))).retry_after_ms == 60_000
    assert calls(stopped, "kiiex", "AuthenticateUser") == 2
    stopped.sandbox.accounts.kiiex["149"].api_secret = KIIEX.material
    clock.advance(60_000)
    assert (await login(operator)).session.user_id == "149"


async def test_a_refused_login_does_not_stop_signing(stopped: Service) -> None:
    """The back-off is about logins; requests are signed without a session."""
    operator = await stopped.as_caller(OPERATOR)
    stopped.sandbox.accounts.kiiex["149"].api_secret = "another"
    await failure_of(login(operator))
    answer = await operator.signing.Sign(sign_request("kx", "POST", "/ap/GetUserInfo", b"{}"))
    assert answer.key == "keys/kx"


async def test_a_locked_user_is_left_alone(stopped: Service, clock: FakeClock) -> None:
    """A lock is told as one, without another call to the venue, until a custodian enables the
    key: then the venue is asked again.
    """
    operator = await stopped.as_caller(OPERATOR)
    stopped.sandbox.accounts.kiiex["149"].locked = True
    first = await failure_of(login(operator))
    stopped.sandbox.unlock("149")
    clock.advance(10 * 86_400_000)
    second = await failure_of(login(operator, force=True))
    assert (first.code, first.reason) == ("FAILED_PRECONDITION", "VENUE_ACCOUNT_LOCKED")
    assert (first.retry_after_ms, second.retry_after_ms) == (None, None)
    assert first.message == second.message
    assert "an administrator of KIIEX must unlock it" in first.message
    assert "'privyseal keys enable kx'" in first.message
    assert calls(stopped, "kiiex", "AuthenticateUser") == 1
    await operator.keys.EnableKey(key_service_pb2.EnableKeyRequest(name="keys/kx"))
    assert (await login(operator)).session.user_id == "149"


@pytest.mark.parametrize(
    ("fault", "reason", "words"),
    [
        (Fault("kiiex", status=500), "VENUE_OUTCOME_UNKNOWN", "HTTP 500 with a fault of its own"),
        (Fault("kiiex", spoil=Spoil.HTML), "VENUE_OUTCOME_UNKNOWN", "HTTP 200 with no JSON"),
        (Fault("kiiex", spoil=Spoil.EMPTY), "VENUE_OUTCOME_UNKNOWN", "HTTP 200 with nothing"),
        (Fault("kiiex", spoil=Spoil.HALF), "VENUE_OUTCOME_UNKNOWN", "did not answer whole"),
        (Fault("kiiex", spoil=Spoil.DROP), "VENUE_OUTCOME_UNKNOWN", "did not answer whole"),
        (Fault("kiiex", spoil=Spoil.REDIRECT), "VENUE_OUTCOME_UNKNOWN", "never followed"),
        (Fault("kiiex", status=502, spoil=Spoil.HTML), "VENUE_OUTCOME_UNKNOWN", "HTTP 502"),
        (Fault("kiiex", spoil=Spoil.DROP, handled=True), "VENUE_OUTCOME_UNKNOWN", "taken effect"),
    ],
    ids=["500", "html", "nothing", "half", "drop", "redirect", "502-html", "handled"],
)
async def test_kiiex_answering_nonsense_is_away(
    service: Service, operator: Stubs, fault: Fault, reason: str, words: str
) -> None:
    """Nonsense is no refusal: UNAVAILABLE, no session, one call; and soon worth a retry."""
    await import_sandbox_key(operator, "kx", KIIEX)
    fault.times = 1
    service.sandbox.faults.add(fault)
    failure = await failure_of(login(operator))
    assert (failure.code, failure.reason) == ("UNAVAILABLE", reason)
    assert words in failure.message
    assert failure.retry_after_ms == 5_000
    again = await failure_of(login(operator, force=True))
    assert (again.code, again.reason) == ("UNAVAILABLE", reason)
    assert len(service.sandbox.requests("kiiex")) == 1


async def test_after_a_login_without_an_outcome_the_venue_is_asked_again(
    stopped: Service, clock: FakeClock
) -> None:
    """Five seconds later, which can lock no user, Login works."""
    operator = await stopped.as_caller(OPERATOR)
    stopped.sandbox.faults.add(Fault("kiiex", status=500, times=1))
    await failure_of(login(operator))
    clock.advance(5_000)

    assert (await login(operator)).session.user_id == "149"


async def test_a_redirect_is_not_followed(service: Service, operator: Stubs) -> None:
    """Credentials go nowhere but to the configured host."""
    await import_sandbox_key(operator, "kx", KIIEX)
    service.sandbox.faults.add(Fault("kiiex", spoil=Spoil.REDIRECT))
    await failure_of(login(operator))
    assert [seen.path for seen in service.sandbox.requests()] == ["/ap/AuthenticateUser"]


@pytest.mark.parametrize("spoil", [Spoil.HTML, Spoil.EMPTY, Spoil.HALF, Spoil.DROP, Spoil.REDIRECT])
async def test_aster_answering_a_login_with_nonsense(
    service: Service, operator: Stubs, spoil: Spoil
) -> None:
    """Nonsense at the last step of a wallet's login is an unknown outcome."""
    await import_sandbox_key(operator, "wallet", ASTER_WALLET)
    service.sandbox.faults.add(Fault("aster", "*/ae/login", spoil=spoil, times=1))
    failure = await failure_of(login(operator, "wallet"))
    assert (failure.code, failure.reason) == ("UNAVAILABLE", "VENUE_OUTCOME_UNKNOWN")
    assert failure.retry_after_ms == 5_000


async def test_a_login_without_a_nonce_did_not_happen(service: Service, operator: Stubs) -> None:
    """Where Aster gives no nonce nothing was asked of it yet: away, and worth a retry."""
    await import_sandbox_key(operator, "wallet", ASTER_WALLET)
    service.sandbox.faults.add(Fault("aster", "*/get-nonce", status=500, times=1))
    failure = await failure_of(login(operator, "wallet"))
    assert (failure.code, failure.reason, failure.retry_after_ms) == (
        "UNAVAILABLE",
        "VENUE_UNREACHABLE",
        1_000,
    )
    assert "nothing was asked of it yet, so try again" in failure.message
    assert (await login(operator, "wallet")).session.user_id == "12345678"


async def test_a_wallet_without_an_account(service: Service, operator: Stubs) -> None:
    """A wallet that Aster does not know is told to open an account there."""
    service.sandbox.accounts.aster.clear()
    await import_sandbox_key(operator, "wallet", ASTER_WALLET)
    failure = await failure_of(login(operator, "wallet"))
    assert (failure.code, failure.reason) == ("FAILED_PRECONDITION", "VENUE_ACCOUNT_MISSING")
    assert "open a futures account" in failure.message


async def test_a_venue_that_is_not_there(tmp_path: Path) -> None:
    """A venue that can't be reached did not get the request, and the answer says so."""
    nowhere = {"kiiex": {"base_urls": {"production": "http://127.0.0.1:1"}}}
    async with Service(tmp_path, venues=nowhere) as service:
        operator = await service.as_caller(OPERATOR)
        await import_sandbox_key(operator, "kx", KIIEX)
        failure = await failure_of(login(operator))
    assert (failure.code, failure.reason, failure.retry_after_ms) == (
        "UNAVAILABLE",
        "VENUE_UNREACHABLE",
        1_000,
    )
    assert "nothing happened there. Check the network, DNS, and base_urls" in failure.message


async def test_a_venue_that_is_slow(tmp_path: Path) -> None:
    """A venue that answers too late may have acted."""
    async with Service(tmp_path, outbound={"timeout_ms": 100}) as service:
        operator = await service.as_caller(OPERATOR)
        await import_sandbox_key(operator, "kx", KIIEX)
        service.sandbox.faults.add(Fault("kiiex", latency_ms=500, times=1))
        failure = await failure_of(login(operator))
    assert (failure.code, failure.reason) == ("UNAVAILABLE", "VENUE_OUTCOME_UNKNOWN")


async def test_a_stranger_may_not_log_in(service: Service, operator: Stubs) -> None:
    """Login and Logout ask the policy first."""
    await import_sandbox_key(operator, "kx", KIIEX)
    stranger = await service.as_caller(STRANGER)
    failures = (
        await failure_of(login(stranger)),
        await failure_of(stranger.signing.Logout(pb.LogoutRequest(key="keys/kx"))),
    )
    assert [(each.code, each.metadata["action"]) for each in failures] == [
        ("PERMISSION_DENIED", "login")
    ] * 2
    assert service.sandbox.requests() == ()


async def test_a_disabled_key_loses_its_session(operator: Stubs) -> None:
    """Disabling a key refuses Login, and enabling it does not bring the session back."""
    await import_sandbox_key(operator, "kx", KIIEX)
    first = (await login(operator)).session
    await operator.keys.DisableKey(key_service_pb2.DisableKeyRequest(name="keys/kx"))
    assert (await failure_of(login(operator))).reason == "KEY_DISABLED"
    await operator.keys.EnableKey(key_service_pb2.EnableKeyRequest(name="keys/kx"))
    assert (await login(operator)).session.token != first.token


async def test_another_key_of_the_id_gets_no_old_session(operator: Stubs) -> None:
    """A session goes with its key: the next key under the id does not sign by it."""
    await import_sandbox_key(operator, "kx", KIIEX)
    await login(operator)
    await operator.keys.DeleteKey(key_service_pb2.DeleteKeyRequest(name="keys/kx"))
    await import_key(operator, "kx", "kiiex", "0" * 32, api_key="other", user_id="96")
    answer = await operator.signing.Sign(sign_request("kx", "POST", "/ap/GetUserInfo"))
    assert "aptoken" not in [header.name for header in answer.signed_http_request.headers]
