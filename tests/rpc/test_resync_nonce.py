from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fakes import NOW_MS, FakeClock
from privyseal.v1 import key_service_pb2 as pb
from privyseald.state.state import HIGHEST
from service import (
    ASTER,
    ASTER_AGENT,
    ASTER_WALLET,
    KIIEX,
    NEBULAEX,
    OPERATOR,
    TRADER,
    WHITEBIT,
    Failure,
    Service,
    Stubs,
    failure_of,
    import_sandbox_key,
    send,
    sign_request,
)

HOUR_MS = 3_600_000
BALANCES = "/api/v2/backend/account/balances"
ORDERS = "/api/v4/orders"


@pytest.fixture
def clock() -> FakeClock:
    """A clock for server and venues alike."""
    return FakeClock()


@pytest.fixture
async def running(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Service]:
    """A server in whose life time passes by hand."""
    async with Service(tmp_path, clock=clock) as found:
        yield found


@pytest.fixture
async def desk(running: Service) -> Stubs:
    """Its operator, with keys of venues that take nonces."""
    stubs = await running.as_caller(OPERATOR)
    await import_sandbox_key(stubs, "nx", NEBULAEX)
    await import_sandbox_key(stubs, "agent", ASTER_AGENT)
    await import_sandbox_key(stubs, "wb", WHITEBIT, nonce_window="false")
    return stubs


async def resync(stubs: Stubs, key_id: str, above: str = "") -> tuple[int, int]:
    """Return what the RPC says."""
    answer = await stubs.keys.ResyncNonce(pb.ResyncNonceRequest(key=f"keys/{key_id}", above=above))
    return int(answer.before), int(answer.after)


async def refused(stubs: Stubs, key_id: str, above: str = "") -> Failure:
    """Return how the RPC is refused."""
    return await failure_of(
        stubs.keys.ResyncNonce(pb.ResyncNonceRequest(key=f"keys/{key_id}", above=above))
    )


async def nonce_of(stubs: Stubs, key_id: str = "nx") -> int:
    """Return the nonce of one more signature, which the venue accepts."""
    path = {"nx": BALANCES, "agent": "/fapi/v3/balance", "wb": ORDERS}[key_id]
    method = "POST" if key_id == "wb" else "GET"
    answer = await stubs.signing.Sign(sign_request(key_id, method, path))
    response = await send(answer)
    assert 200 == response.status, response.body
    return int(answer.nonce)


@pytest.mark.parametrize(("key_id", "units"), [("nx", 1), ("agent", 1_000)])
async def test_nonces_come_down_after_a_clock_ran_ahead(
    desk: Stubs, running: Service, clock: FakeClock, key_id: str, units: int
) -> None:
    """A clock an hour ahead leaves nonces that the venue refuses; once it is right again the
    key would stand still for that hour. A resync heals it, and no nonce comes twice, also not
    when the hour is over.
    """
    given = [await nonce_of(desk, key_id)]
    clock.step(HOUR_MS)
    given += [await nonce_of(desk, key_id) for _ in range(3)]
    clock.step(-HOUR_MS)
    failure = await failure_of(
        desk.signing.Sign(sign_request(key_id, "GET", BALANCES if units == 1 else "/fapi/v3/agent"))
    )
    assert "NONCE_AHEAD" == failure.reason
    assert HOUR_MS - 6_000 < (failure.retry_after_ms or 0) <= HOUR_MS

    before, after = await resync(desk, key_id)

    assert given[-1] == before
    assert NOW_MS * units == after
    given.append(await nonce_of(desk, key_id))
    assert NOW_MS * units + 1 == given[-1]
    clock.advance(HOUR_MS)
    given += [await nonce_of(desk, key_id) for _ in range(3)]
    # Half a second of nonces may be lost: the embedded state knows no better after a crash.
    assert 3 <= given[-3] - (NOW_MS + HOUR_MS) * units <= 502 * units
    assert len(given) == len(set(given))
    line = next(line for line in running.audit_lines() if line["rpc"].endswith("/ResyncNonce"))
    assert ("allowed", "operator", f"keys/{key_id}", "down to the clock") == (
        line["decision"], line["rule"], line["key"], line["operation"],
    )  # fmt: skip


async def test_a_resync_of_what_is_right_changes_nothing(desk: Stubs, clock: FakeClock) -> None:
    """Nonces given since lie at the clock: they stay given."""
    given = [await nonce_of(desk) for _ in range(20)]

    assert (given[-1], given[-1]) == await resync(desk, "nx")
    assert given[-1] + 1 == await nonce_of(desk)
    clock.advance(60_000)
    assert (given[-1] + 1, NOW_MS + 60_000) == await resync(desk, "nx")


async def test_nonces_go_above_another_systems(desk: Stubs) -> None:
    """A WhiteBIT key without a window that was used with microseconds elsewhere goes on above
    them; and what was raised by mistake comes down again.
    """
    first = await nonce_of(desk, "wb")
    elsewhere = NOW_MS * 1_000

    assert (first, elsewhere) == await resync(desk, "wb", str(elsewhere))
    assert (elsewhere, elsewhere) == await resync(desk, "wb", str(first))
    assert elsewhere + 1 == await nonce_of(desk, "wb")

    assert (elsewhere + 1, HIGHEST // 2) == await resync(desk, "wb", str(HIGHEST // 2))
    before, after = await resync(desk, "wb")
    assert (HIGHEST // 2, elsewhere + 1) == (before, after)
    assert elsewhere + 2 == await nonce_of(desk, "wb")


@pytest.mark.parametrize(
    ("key_id", "above", "highest"),
    [
        ("nx", NOW_MS + 2_501, NOW_MS + 2_500),
        ("agent", (NOW_MS + 5_000) * 1_000 + 1, (NOW_MS + 5_000) * 1_000),
        ("wb", HIGHEST // 2 + 1, HIGHEST // 2),
        ("wb", 10**20 - 1, HIGHEST // 2),
    ],
)
async def test_a_number_that_the_venue_would_refuse_is_refused(
    desk: Stubs, key_id: str, above: int, highest: int
) -> None:
    """The error says how high it may be, and nothing is changed; that high works."""
    failure = await refused(desk, key_id, str(above))

    assert ("INVALID_ARGUMENT", "FIELD_INVALID", "above") == (
        failure.code, failure.reason, failure.field_name,
    )  # fmt: skip
    assert f"higher than {highest}," in failure.message
    assert (0, highest) == await resync(desk, key_id, str(highest))


@pytest.mark.parametrize("above", ["x", "-1", "1.5", "0x10", " 1", "1" * 21, "\u0661"])
async def test_what_is_no_number_is_refused(desk: Stubs, above: str) -> None:
    """Digits, and nothing else."""
    failure = await refused(desk, "nx", above)

    assert ("FIELD_INVALID", "above") == (failure.reason, failure.field_name)


@pytest.mark.parametrize(
    ("key", "fields"),
    [(ASTER, {}), (ASTER_WALLET, {}), (KIIEX, {"nonce": "2247733562"})],
    ids=["V1", "wallet", "fixed"],
)
async def test_a_key_without_nonces_has_none_to_resync(
    desk: Stubs, key: object, fields: dict[str, str]
) -> None:
    """Aster V1 signs a time, its wallets sign Aster's nonces, and a fixed one is KIIEX's."""
    await import_sandbox_key(desk, "other", key, **fields)  # type: ignore[arg-type]

    for above in ("", "5"):
        failure = await refused(desk, "other", above)
        assert ("FAILED_PRECONDITION", "NONCE_UNSUPPORTED") == (failure.code, failure.reason)
        assert {"key": "keys/other"} == failure.metadata


async def test_only_who_may_resyncs(running: Service, desk: Stubs) -> None:
    """The right to sign is not enough; a key that is not there is told to nobody else."""
    trader = await running.as_caller(TRADER)
    await import_sandbox_key(desk, "desk-1", NEBULAEX)

    for key_id in ("desk-1", "desk-none"):
        assert "POLICY_DENIED" == (await refused(trader, key_id)).reason
    assert "KEY_UNKNOWN" == (await refused(desk, "none")).reason
    assert "FIELD_INVALID" == (await refused(desk, "../none")).reason
