"""Limits on real servers: three replicas on one Valkey, and one server alone."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bao import BaoServer
from privyseal.v1 import signing_service_pb2 as pb
from replicas import shared
from service import (
    OPERATOR,
    TRADER,
    WHITEBIT,
    Failure,
    Service,
    Stubs,
    failure_in,
    failure_of,
    import_sandbox_key,
    sign_request,
)
from valkey_server import ValkeyServer

_BALANCE = "/api/v4/main-account/balance"
_NEW = "/api/v4/order/new"


def policy(limits: str, *, mode: str = "enforce") -> bytes:
    """Return a policy that lets the operator import keys, and the trader sign within limits."""
    unlimited = '  - {name: rest, callers: ["*"], keys: ["*"], allow: [sign]}\n'
    return (
        "version: 1\nrules:\n"
        f'  - {{name: desk, callers: ["{TRADER}"], keys: ["*"], allow: [sign], mode: {mode}, '
        f"limits: [{limits}]}}\n"
        f'  - {{name: operator, callers: ["{OPERATOR}"], keys: ["*"], allow: [sign, import-key]}}\n'
        f"{unlimited if mode == 'shadow' else ''}"
    ).encode()


def order(amount: str = "0.001", **options: Any) -> pb.SignRequest:
    """Return an order for `amount` at 60,000 USDT."""
    body = f'{{"market":"BTC_USDT","side":"buy","amount":"{amount}","price":"60000"}}'
    return sign_request("wb", "POST", _NEW, body.encode(), **options)


def look(**options: Any) -> pb.SignRequest:
    """Return a request that costs nothing."""
    return sign_request("wb", "POST", _BALANCE, b"{}", **options)


@asynccontextmanager
async def desk(service: Service, limits: str, *, mode: str = "enforce") -> AsyncIterator[Stubs]:
    """Start the server with limits, and return the trader's stubs. A key `wb` is there."""
    service.take_policy(policy(limits, mode=mode))
    async with service:
        operator = await service.as_caller(OPERATOR)
        await import_sandbox_key(operator, "wb", WHITEBIT, nonce_window="false")
        yield await service.as_caller(TRADER)


async def outcome(call: Any) -> Failure | None:
    """Return how an RPC failed, None where it did not."""
    try:
        return await failure_of(call)
    except AssertionError:
        return None


async def test_a_spent_limit_is_told(tmp_path: Path) -> None:
    """Code, reason, rule, limit and time to wait; in the audit line the limit too."""
    service = Service(tmp_path)
    async with desk(service, "{rate: 2, window: 1h, per: [key]}") as trader:
        for _ in range(2):
            await trader.signing.Sign(look())
        failure = await failure_of(trader.signing.Sign(look()))
        lines = service.audit_lines()[-2:]

    assert ("RESOURCE_EXHAUSTED", "LIMIT_EXCEEDED") == (failure.code, failure.reason)
    limit = "rate 2 in 1h per key"
    assert {"rule": "desk", "limit": limit, "key": "keys/wb"} == failure.metadata
    assert failure.retry_after_ms is not None
    assert 3_500_000 < failure.retry_after_ms <= 3_600_000
    assert [("OK", "desk", None), ("RESOURCE_EXHAUSTED", "desk", limit)] == [
        (line["code"], line["rule"], line.get("limits")) for line in lines
    ]


@pytest.fixture
async def trio(
    tmp_path: Path, bao: BaoServer, prefix: str, valkey_server: ValkeyServer
) -> AsyncIterator[list[Stubs]]:
    """The trader at three replicas on one store and one state."""
    service = Service(tmp_path, **shared(tmp_path, bao, prefix, valkey_server.url))
    limits = '{rate: 40, window: 2s}, {notional: "3000 USDT", window: 1h, per: [key]}'
    async with desk(service, limits) as trader:
        replicas = [await service.replica() for _ in range(2)]
        yield [trader, *[await each.as_caller(TRADER) for each in replicas]]


async def test_three_replicas_share_a_budget_to_the_unit(trio: list[Stubs]) -> None:
    """Of 60 orders of 100.0002 USDT that come at once, 29 fit, and then what is left exactly."""
    amount = "0.00166667"
    outcomes = await asyncio.gather(
        *(outcome(trio[number % 3].signing.Sign(order(amount))) for number in range(60))
    )

    assert 29 == outcomes.count(None)
    refused = {each.metadata["limit"] for each in outcomes if each is not None}
    assert refused <= {"notional 3000 USDT in 1h per key", "rate 40 in 2s"}
    assert None is await outcome(trio[0].signing.Sign(order("0.00166570")))  # 99.942
    await asyncio.sleep(2.1)
    assert None is not await outcome(trio[1].signing.Sign(order("0.00000088")))  # 0.0528
    assert None is await outcome(trio[2].signing.Sign(order("0.00000087")))  # 0.0522


async def test_three_replicas_share_a_rate_at_every_moment(trio: list[Stubs]) -> None:
    """Hammered for five seconds, no window of two seconds has more than forty."""
    taken: list[tuple[float, float]] = []
    end = time.monotonic() + 5

    async def hammer(stubs: Stubs) -> None:
        while time.monotonic() < end:
            began = time.monotonic()
            failure = await outcome(stubs.signing.Sign(look()))
            if failure is None:
                taken.append((began, time.monotonic()))
            else:
                assert "rate 40 in 2s" == failure.metadata["limit"]
                await asyncio.sleep(0.01)

    await asyncio.gather(*(hammer(trio[number % 3]) for number in range(6)))

    for _, last in taken:
        # Those that surely were spent less than two seconds apart.
        within = [each for each in taken if last - each[0] < 2 and each[1] <= last]
        assert len(within) <= 40
    assert 80 <= len(taken) <= 120


async def test_without_the_state_only_what_has_limits_stops(
    tmp_path: Path, bao: BaoServer, prefix: str, valkey_server: ValkeyServer
) -> None:
    """Nothing is guessed: a rule with limits refuses to sign, one without goes on."""
    sections = shared(tmp_path, bao, prefix, valkey_server.url)
    sections["holds"] = {"max_age_ms": 60_000}
    service = Service(tmp_path, **sections)
    async with desk(service, "{rate: 100, window: 1m}") as trader:
        operator = await service.as_caller(OPERATOR)
        await trader.signing.Sign(look(validate_only=True))
        valkey_server.kill()
        failure = await failure_of(trader.signing.Sign(look(validate_only=True)))
        await operator.signing.Sign(look(validate_only=True))

    assert ("UNAVAILABLE", "STATE_UNAVAILABLE") == (failure.code, failure.reason)


async def test_a_flushed_state_has_nothing_spent(
    tmp_path: Path, bao: BaoServer, prefix: str, valkey_server: ValkeyServer
) -> None:
    """As the documents say: a limit begins anew, once nonces are given again."""
    service = Service(tmp_path, **shared(tmp_path, bao, prefix, valkey_server.url))
    async with desk(service, "{rate: 1, window: 1h}") as trader:
        await trader.signing.Sign(look())
        assert "LIMIT_EXCEEDED" == (await failure_of(trader.signing.Sign(look()))).reason
        valkey_server.command("FLUSHALL")
        await trader.signing.Sign(look(validate_only=True))


async def test_a_retry_spends_nothing(tmp_path: Path) -> None:
    """One id, one charge: also for those that come at once, and after the limit is spent."""
    async with desk(Service(tmp_path), "{rate: 2, window: 1h}") as trader:
        first = look(request_id=str(uuid.uuid4()))
        answers = await asyncio.gather(*(trader.signing.Sign(first) for _ in range(20)))
        second = await trader.signing.Sign(look())
        assert "LIMIT_EXCEEDED" == (await failure_of(trader.signing.Sign(look()))).reason
        again = await trader.signing.Sign(first)

    assert {answers[0].nonce} == {each.nonce for each in [*answers, again]}
    assert second.nonce != again.nonce


async def test_a_refusal_is_not_the_first_answer(tmp_path: Path) -> None:
    """The same id may be tried again, and is signed when there is room."""
    async with desk(Service(tmp_path), "{rate: 1, window: 300ms}") as trader:
        request = look(request_id=str(uuid.uuid4()))
        await trader.signing.Sign(look())
        failure = await failure_of(trader.signing.Sign(request))
        assert failure.retry_after_ms is not None
        await asyncio.sleep((failure.retry_after_ms + 20) / 1_000)
        assert (await trader.signing.Sign(request)).nonce


async def test_who_validates_only_looks(tmp_path: Path) -> None:
    """It hears of a limit that is spent, and spends nothing."""
    async with desk(Service(tmp_path), "{rate: 1, window: 1h}") as trader:
        for _ in range(3):
            await trader.signing.Sign(look(validate_only=True))
        await trader.signing.Sign(look())
        failure = await failure_of(trader.signing.Sign(look(validate_only=True)))

    assert "LIMIT_EXCEEDED" == failure.reason


async def test_each_request_of_a_batch_counts(tmp_path: Path) -> None:
    """Those that fit are signed; the others say why, each for itself."""
    service = Service(tmp_path)
    async with desk(service, "{rate: 3, window: 1h}") as trader:
        requests = [look() for _ in range(5)]
        results = (await trader.signing.BatchSign(pb.BatchSignRequest(requests=requests))).results
        lines = [line for line in service.audit_lines() if "[" in line["rpc"]]

    assert [0, 0, 0, 8, 8] == [result.status.code for result in results]
    assert {"LIMIT_EXCEEDED"} == {failure_in(each.status).reason for each in results[3:]}
    limits = [line.get("limits") for line in lines]
    assert [None] * 3 + ["rate 3 in 1h"] * 2 == limits


async def test_a_restart_gives_no_new_budget(tmp_path: Path) -> None:
    """What was spent is there again, also under a policy that raised the limit."""
    service = Service(tmp_path)
    async with desk(service, '{notional: "100 USDT", window: 24h}') as trader:
        await trader.signing.Sign(order("0.001"))
        service.take_policy(policy('{notional: "120 USDT", window: 24h}'))
        await service.restart()
        again = await service.as_caller(TRADER)
        assert None is await outcome(again.signing.Sign(order("0.001")))
        failure = await failure_of(again.signing.Sign(order("0.00000001")))

    assert "notional 120 USDT in 24h" == failure.metadata["limit"].replace("1d", "24h")


async def test_a_rule_in_shadow_spends_nothing(tmp_path: Path) -> None:
    """Its limits hold for nobody, and the state is not asked."""
    async with desk(Service(tmp_path), "{rate: 1, window: 1h}", mode="shadow") as trader:
        for _ in range(5):
            await trader.signing.Sign(look())


async def test_what_can_t_be_priced_is_refused_where_a_budget_holds(tmp_path: Path) -> None:
    """An order without a price is told so, with the rule and its budget."""
    service = Service(tmp_path)
    async with desk(service, '{notional: "100 USDT", window: 1h}') as trader:
        body = b'{"market":"BTC_USDT","side":"sell","amount":"1"}'
        request = sign_request("wb", "POST", "/api/v4/order/market", body)
        failure = await failure_of(trader.signing.Sign(request))
        await trader.signing.Sign(look())
        lines = service.audit_lines()

    assert ("PERMISSION_DENIED", "POLICY_DENIED") == (failure.code, failure.reason)
    assert "give price and quantity in the request" in failure.message
    assert "notional 100 USDT in 1h" == failure.metadata["limit"] == lines[-2]["limits"]
