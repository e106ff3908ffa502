from collections.abc import AsyncIterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from fakes import NOW_MS, FakeClock
from privyseal.v1 import signing_service_pb2 as pb
from privyseal.v1 import venue_service_pb2
from privyseald.outbound.outbound import OutboundResponse
from privyseald.sandbox.faults import Fault, Spoil
from service import (
    ASTER,
    ASTER_AGENT,
    KIIEX,
    NEBULAEX,
    OPERATOR,
    STRANGER,
    TRADER,
    WHITEBIT,
    Service,
    Stubs,
    eventually,
    failure_of,
    import_sandbox_key,
    send,
    sign_request,
)

STALE = pb.ANSWER_MEANING_NONCE_STALE
AHEAD = pb.ANSWER_MEANING_NONCE_AHEAD
SESSION_EXPIRED = pb.ANSWER_MEANING_SESSION_EXPIRED
NOTHING = pb.ANSWER_MEANING_UNSPECIFIED
REQUESTS = {
    "nx": ("GET", "/api/v2/backend/account/balances"),
    "wb": ("POST", "/api/v4/orders"),
    "kx": ("POST", "/ap/GetOpenOrders"),
    "as": ("GET", "/fapi/v1/balance"),
    "agent": ("GET", "/fapi/v3/balance"),
}
TOO_LOW = b'{"code":0,"errors":{},"message":"Too many requests."}'


@pytest.fixture
def clock() -> FakeClock:
    """A clock for server and venues alike, but for what the sandbox's is ahead."""
    return FakeClock()


@pytest.fixture
async def running(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Service]:
    """A server in whose life time passes by hand."""
    async with Service(tmp_path, clock=clock) as found:
        yield found


@pytest.fixture
async def desk(running: Service) -> Stubs:
    """Its operator, with keys of venues that take nonces."""
    return await desk_of(running)


async def desk_of(running: Service) -> Stubs:
    """Return the operator of a server, with the keys of this module."""
    stubs = await running.as_caller(OPERATOR)
    await import_sandbox_key(stubs, "nx", NEBULAEX)
    await import_sandbox_key(stubs, "wb", WHITEBIT, nonce_window="false")
    await import_sandbox_key(stubs, "kx", KIIEX)
    await import_sandbox_key(stubs, "as", ASTER)
    await import_sandbox_key(stubs, "agent", ASTER_AGENT)
    return stubs


async def ask(stubs: Stubs, key_id: str) -> tuple[pb.SignResponse, OutboundResponse]:
    """Return a signed request, and what the venue says to it."""
    method, path = REQUESTS[key_id]
    body = b"{}" if method == "POST" else b""
    signed = await stubs.signing.Sign(sign_request(key_id, method, path, body))
    return signed, await send(signed)


async def report(
    stubs: Stubs,
    key_id: str,
    signed: pb.SignResponse,
    answer: OutboundResponse,
    *,
    date: str | None = None,
    **fields: Any,
) -> int:
    """Return the meaning of an answer, reported as a client does."""
    values: dict[str, Any] = {
        "key": f"keys/{key_id}",
        "http_status": answer.status,
        "body": answer.body,
        "sign_time": signed.sign_time,
        "nonce": signed.nonce,
        "date": answer.date if date is None else date,
        **fields,
    }
    response = await stubs.signing.ReportAnswer(pb.ReportAnswerRequest(**values))
    return int(response.meaning)


def reply(body: bytes, status: int = 429, date: str = "") -> OutboundResponse:
    """Return an answer that no venue gave."""
    return OutboundResponse(status, "application/json", body, date)


async def test_what_the_venue_took_means_nothing(desk: Stubs, running: Service) -> None:
    """Any answer may be reported. The audit line says how it was read."""
    for key_id in REQUESTS:
        signed, answer = await ask(desk, key_id)
        assert 200 == answer.status
        assert NOTHING == await report(desk, key_id, signed, answer)

    line = next(line for line in running.audit_lines() if line["rpc"].endswith("/ReportAnswer"))
    assert ("keys/nx", "answer 200: nothing", "allowed", "operator", "nebulaex") == (
        line["key"], line["operation"], line["decision"], line["rule"], line["venue"],
    )  # fmt: skip


@pytest.mark.parametrize("key_id", ["nx", "agent"])
async def test_a_venues_clock_that_is_ahead_is_approached(
    desk: Stubs, running: Service, key_id: str
) -> None:
    """Nonces that are too old for the venue: the next one is two seconds higher, which is as far
    as a report can push it.
    """
    running.sandbox.knobs.aster.nonce_window_ms = 5_000
    running.sandbox.clock.offset_ms = 6_000
    signed, refused = await ask(desk, key_id)
    assert refused.status in {400, 401}

    assert STALE == await report(desk, key_id, signed, refused)

    after, taken = await ask(desk, key_id)
    units = 1_000 if key_id == "agent" else 1
    assert (NOW_MS + 2_000) * units < int(after.nonce) <= (NOW_MS + 2_000) * units + 1
    assert 200 == taken.status


async def test_without_a_date_only_the_answer_is_understood(desk: Stubs, running: Service) -> None:
    """Where the venue's clock is not told, new nonces would be as wrong: none is lost."""
    running.sandbox.clock.offset_ms = 6_000
    signed, refused = await ask(desk, "nx")

    assert STALE == await report(desk, "nx", signed, refused, date="")
    assert STALE == await report(desk, "nx", signed, refused, date="soon", nonce="")

    assert int(signed.nonce) + 1 == int((await ask(desk, "nx"))[0].nonce)


@pytest.mark.parametrize("key_id", ["nx", "agent"])
@pytest.mark.parametrize("date", [None, ""])
async def test_nonces_that_ran_ahead_come_down(
    desk: Stubs, clock: FakeClock, key_id: str, date: str | None
) -> None:
    """A clock that was ahead and is right again: the report of what the venue refused meanwhile
    brings the nonces down, and none comes twice.
    """
    first, _ = await ask(desk, key_id)
    clock.step(90_000)
    method, path = REQUESTS[key_id]
    ahead = await desk.signing.Sign(sign_request(key_id, method, path))
    clock.step(-90_000)
    refused = await send(ahead)
    assert refused.status in {400, 401}
    assert (
        "NONCE_AHEAD"
        == (await failure_of(desk.signing.Sign(sign_request(key_id, method, path)))).reason
    )

    assert AHEAD == await report(desk, key_id, ahead, refused, date=date)

    after, taken = await ask(desk, key_id)
    assert 200 == taken.status
    assert int(first.nonce) < int(after.nonce) < int(first.nonce) + 1_000
    clock.advance(90_000)
    nonces = [int((await ask(desk, key_id))[0].nonce) for _ in range(3)]
    assert min(nonces) > int(ahead.nonce)


async def test_another_system_on_the_key_is_passed(desk: Stubs, running: Service) -> None:
    """Where each nonce must be above the one that arrived before, and another system's clock is
    ahead of ours, the next nonce goes ahead of it.
    """
    other = await running.replica(clock=FakeClock((NOW_MS + 1_500) * 1_000))
    assert 200 == (await ask(await desk_of(other), "wb"))[1].status
    signed, refused = await ask(desk, "wb")
    assert 429 == refused.status

    assert STALE == await report(desk, "wb", signed, refused)

    after, taken = await ask(desk, "wb")
    assert (NOW_MS + 2_001, 200) == (int(after.nonce), taken.status)


async def test_one_that_was_overtaken_changes_nothing(desk: Stubs) -> None:
    """Where a later request of ours arrived first, the counter is above it already."""
    method, path = REQUESTS["wb"]
    first = await desk.signing.Sign(sign_request("wb", method, path))
    second, taken = await ask(desk, "wb")
    late = await send(first)
    assert (200, 429) == (taken.status, late.status)

    assert STALE == await report(desk, "wb", first, late)

    assert int(second.nonce) + 1 == int((await ask(desk, "wb"))[0].nonce)


@pytest.mark.parametrize(
    ("key_id", "body", "status"),
    [
        ("wb", TOO_LOW, 429),
        ("nx", b'{"errors":["authz.nonce_expired"]}', 401),
        ("agent", b'{"code":-4225,"msg":"Nonce Expired"}', 400),
    ],
)
async def test_a_liar_pushes_nothing_away(
    desk: Stubs, clock: FakeClock, key_id: str, body: bytes, status: int
) -> None:
    """However often somebody reports that a nonce was stale, or ahead, and whatever time the venue
    is said to have: nonces stay within two seconds of the clock, and signing goes on.
    """
    signed, _ = await ask(desk, key_id)
    units = 1_000 if key_id == "agent" else 1
    for turn in range(60):
        far = formatdate(clock.time_us() // 1_000_000 + (3_600, -3_600)[turn % 2], usegmt=True)
        nonce = "" if turn % 3 else "9" * 20
        await report(desk, key_id, signed, reply(body, status, far), nonce=nonce)
        signed, taken = await ask(desk, key_id)
        assert 200 == taken.status
        ahead_ms = int(signed.nonce) // units - clock.time_us() // 1_000
        assert 0 <= ahead_ms <= 2_060
        clock.advance(500)


async def test_reports_move_a_key_at_most_once_a_second(desk: Stubs, clock: FakeClock) -> None:
    """The second report of a second is understood, and nothing else."""
    signed, _ = await ask(desk, "wb")
    stale = reply(TOO_LOW)
    assert STALE == await report(desk, "wb", signed, stale)
    assert NOW_MS + 2_001 == int((await ask(desk, "wb"))[0].nonce)

    clock.advance(999)
    assert STALE == await report(desk, "wb", signed, stale, nonce="")
    assert NOW_MS + 2_002 == int((await ask(desk, "wb"))[0].nonce)
    clock.advance(1)
    assert STALE == await report(desk, "wb", signed, stale, nonce="")
    assert NOW_MS + 3_001 == int((await ask(desk, "wb"))[0].nonce)


async def test_where_time_does_not_count_nothing_is_ahead(desk: Stubs) -> None:
    """WhiteBIT without a window has no clock to be ahead of, and Aster V1 no nonce."""
    signed, _ = await ask(desk, "wb")
    text = b'{"message":"Your nonce is more than 5 seconds lesser than the current nonce"}'
    ahead = reply(text, 400, formatdate(NOW_MS // 1_000 - 60, usegmt=True))

    assert AHEAD == await report(desk, "wb", signed, ahead)
    assert int(signed.nonce) + 1 == int((await ask(desk, "wb"))[0].nonce)

    signed, _ = await ask(desk, "as")
    assert STALE == await report(desk, "as", signed, reply(b'{"code":-1021,"msg":"?"}', 400))
    assert 200 == (await ask(desk, "as"))[1].status


async def test_a_session_that_is_over_is_forgotten(desk: Stubs, clock: FakeClock) -> None:
    """The next Login opens another; a late report of the old one does not end the new one."""
    old = (await desk.signing.Login(pb.LoginRequest(key="keys/kx"))).session
    clock.advance(120_000)
    await send(await desk.signing.Sign(sign_request("kx", "POST", "/ap/LogOut", b"{}")))
    signed, refused = await ask(desk, "kx")
    assert b"Not Authorized" in refused.body
    same = (await desk.signing.Login(pb.LoginRequest(key="keys/kx"))).session
    assert old.token == same.token

    assert SESSION_EXPIRED == await report(desk, "kx", signed, refused)

    clock.advance(1_000)
    new = (await desk.signing.Login(pb.LoginRequest(key="keys/kx"))).session
    assert old.token != new.token
    clock.advance(120_000)
    late = reply(refused.body, 200)
    assert SESSION_EXPIRED == await report(desk, "kx", signed, late)
    assert SESSION_EXPIRED == await report(desk, "kx", signed, late, sign_time=old.create_time)
    assert new.token == (await desk.signing.Login(pb.LoginRequest(key="keys/kx"))).session.token
    assert 200 == (await ask(desk, "kx"))[1].status


async def test_a_key_that_never_uses_a_session_has_none_that_is_over(desk: Stubs) -> None:
    """There the same words mean that the key itself is refused."""
    await import_sandbox_key(desk, "stateless", KIIEX, sign_with="stateless")
    signed = await desk.signing.Sign(sign_request("stateless", "POST", "/ap/GetOpenOrders", b"{}"))
    refused = reply(b'{"result":false,"errormsg":"Not Authorized","errorcode":20}', 200)

    assert NOTHING == await report(desk, "stateless", signed, refused)


async def test_reports_teach_a_venues_clock_that_can_not_be_asked(
    tmp_path: Path, clock: FakeClock
) -> None:
    """With `estimate`, and no way to the venue from here, callers' answers tell its time."""
    async with Service(tmp_path, clock=clock) as running:
        urls = {"production": running.sandbox.urls["aster"]}
        settings = {"aster": {"base_urls": urls, "clock_offset_ms": "estimate"}}
        running.override("venues", settings)
        await running.restart()
        running.sandbox.faults.add(Fault("aster", path="/fapi/v1/time", spoil=Spoil.DROP))
        running.sandbox.clock.offset_ms = -3_400
        desk = await running.as_caller(OPERATOR)
        await import_sandbox_key(desk, "as", ASTER)
        signed, refused = await ask(desk, "as")
        assert b"ahead of the server" in refused.body

        assert AHEAD == await report(desk, "as", signed, refused)

        after, taken = await ask(desk, "as")
        assert 200 == taken.status
        assert signed.sign_time == after.sign_time
        assert -3_500 == await offset_ms(desk, "aster")


async def offset_ms(stubs: Stubs, venue: str) -> int:
    """Return what GetVenue says."""
    request = venue_service_pb2.GetVenueRequest(name=venue)
    return int((await stubs.venues.GetVenue(request)).venue.environments[0].clock_offset_ms)


async def test_a_long_body_is_read_in_part(desk: Stubs) -> None:
    """What lies beyond 64 KiB is not looked at, and does no harm."""
    signed, _ = await ask(desk, "wb")
    blank = b" " * (65_536 - len(TOO_LOW))

    assert STALE == await report(desk, "wb", signed, reply(blank + TOO_LOW))
    assert NOTHING == await report(desk, "wb", signed, reply(blank + b" " + TOO_LOW))


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"key": ""}, "key"),
        ({"http_status": 0}, "http_status"),
        ({"http_status": 600}, "http_status"),
        ({"nonce": "-1"}, "nonce"),
        ({"nonce": "1" * 21}, "nonce"),
        ({"sign_time": None}, "sign_time"),
        ({"sign_time": Timestamp(seconds=-1)}, "sign_time"),
    ],
)
async def test_a_wrong_report_is_refused(desk: Stubs, fields: dict[str, Any], field: str) -> None:
    """The field is named."""
    values: dict[str, Any] = {
        "key": "keys/nx",
        "http_status": 401,
        "sign_time": Timestamp(seconds=NOW_MS // 1_000),
        **fields,
    }
    failure = await failure_of(desk.signing.ReportAnswer(pb.ReportAnswerRequest(**values)))

    assert ("INVALID_ARGUMENT", field) == (failure.code, failure.field_name)


async def test_who_may_sign_may_report(running: Service, desk: Stubs) -> None:
    """Nobody else, and of a key that is not there no more is told than by Sign."""
    await import_sandbox_key(desk, "desk-1", NEBULAEX)
    trader, stranger = [await running.as_caller(each) for each in (TRADER, STRANGER)]
    signed, _ = await ask(desk, "nx")
    fields: dict[str, Any] = {"http_status": 200, "sign_time": signed.sign_time}

    answer = await trader.signing.ReportAnswer(pb.ReportAnswerRequest(key="keys/desk-1", **fields))
    assert NOTHING == answer.meaning
    for stubs, key_id, reason in (
        (trader, "nx", "POLICY_DENIED"),
        (stranger, "desk-1", "POLICY_DENIED"),
        (stranger, "none", "POLICY_DENIED"),
        (desk, "none", "KEY_UNKNOWN"),
    ):
        request = pb.ReportAnswerRequest(key=f"keys/{key_id}", **fields)
        assert reason == (await failure_of(stubs.signing.ReportAnswer(request))).reason


async def test_a_body_is_kept_nowhere(
    desk: Stubs, running: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not in the log, not in the audit log: it may hold anything."""
    signed, _ = await ask(desk, "wb")
    body = TOO_LOW.replace(b"{}", b'"canary-1234"')

    assert STALE == await report(desk, "wb", signed, reply(body), nonce="")

    async def is_logged() -> bool:
        return any(line["rpc"].endswith("/ReportAnswer") for line in running.audit_lines())

    await eventually(is_logged)
    shown = capsys.readouterr()
    assert "nonces brought in line" in shown.out + shown.err
    for text in (shown.out, shown.err, (running.directory / "audit.jsonl").read_text()):
        assert "canary" not in text
