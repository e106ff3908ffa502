"""An outage while callers sign: nothing fails within the hard life, all is refused after it."""

import asyncio
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

from bao import BaoServer
from service import Failure, failure_of, sign_request
from vault_desk import VaultDesk

# `make chaos` has an outage of a minute; `make test` has the same in a sixth of the time.
_OUTAGE_S = float(os.environ.get("PRIVYSEAL_OUTAGE_S", "10"))
_RATE = 200
_KEYS = 20
_SOFT_S = 0.5
_HARD_S = 0.7 * _OUTAGE_S
_MARGIN_S = 1.0


@dataclass(frozen=True, slots=True)
class Signed:
    """One call: when it was made, when it was answered, and how it was refused."""

    start_s: float
    end_s: float
    failure: Failure | None


@pytest.fixture
def outage_bao(tmp_path: Path) -> Iterator[BaoServer]:
    """A server of the test's own."""
    server = BaoServer(tmp_path / "bao")
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.mark.timeout(2 * _OUTAGE_S + 60)
@pytest.mark.parametrize("fault", ["hangs", "stopped"])
async def test_keys_in_use_sign_through_an_outage(
    outage_bao: BaoServer, tmp_path: Path, fault: str
) -> None:
    """At 200 Sign/s no signature fails within the hard life; then all are refused with a delay."""
    loop = asyncio.get_running_loop()
    hard_ms, soft_ms = int(1_000 * _HARD_S), int(1_000 * _SOFT_S)
    async with VaultDesk(tmp_path, outage_bao, soft_ms=soft_ms, hard_ms=hard_ms) as desk:
        calls: list[asyncio.Task[Signed]] = []
        load = asyncio.create_task(_load(desk, calls))
        await asyncio.sleep(2)
        struck_s = loop.time()
        if fault == "hangs":
            desk.proxy.delay_s = 3_600
        else:
            await asyncio.to_thread(outage_bao.stop)
        await asyncio.sleep(_OUTAGE_S)
        mending_s = loop.time()
        if fault == "hangs":
            desk.proxy.delay_s = 0
        else:
            await asyncio.to_thread(outage_bao.start)
        mended_s = loop.time()
        await asyncio.sleep(5)
        load.cancel()
        seen = await asyncio.gather(*calls)

    safe_s = struck_s + _HARD_S - 2 * _SOFT_S - _MARGIN_S
    within = [each for each in seen if each.end_s < safe_s]
    after = [each for each in seen if struck_s + _HARD_S < each.start_s and each.end_s < mending_s]
    healed = [each for each in seen if each.start_s > mended_s + 4]
    assert len(within) > 0.5 * _RATE * (safe_s - struck_s + 2)
    assert [] == [each.failure for each in within if each.failure]
    assert len(after) > 0.5 * _RATE * (mending_s - struck_s - _HARD_S - _MARGIN_S)
    assert {"UNAVAILABLE SECRET_STORE_UNREACHABLE"} == {_words(each.failure) for each in after}
    assert all(each.failure and 0 < (each.failure.retry_after_ms or 0) <= 5_000 for each in after)
    assert [] == [each.failure for each in healed if each.failure]
    # No call waits for long, and hardly any at all.
    waits_s = sorted(each.end_s - each.start_s for each in (*within, *after))
    assert waits_s[-1] < 3.0
    assert waits_s[int(0.9 * len(waits_s))] < 1.0


async def _load(desk: VaultDesk, calls: list[asyncio.Task[Signed]]) -> None:
    """Sign at a steady rate, whether or not answers come."""
    loop = asyncio.get_running_loop()
    start_s = loop.time()
    for number in range(1_000_000):
        await asyncio.sleep(start_s + number / _RATE - loop.time())
        calls.append(asyncio.create_task(_sign(desk, f"cold-{number % _KEYS}")))


async def _sign(desk: VaultDesk, key_id: str) -> Signed:
    loop = asyncio.get_running_loop()
    start_s = loop.time()
    request = sign_request(key_id, "POST", "/api/v4/trade-account/balance")
    call = desk.stubs.signing.Sign(request, timeout=10)
    try:
        await call
    except grpc.aio.AioRpcError:
        return Signed(start_s, loop.time(), await failure_of(call))
    return Signed(start_s, loop.time(), None)


def _words(failure: Failure | None) -> str:
    return f"{failure.code} {failure.reason}" if failure else "OK"
