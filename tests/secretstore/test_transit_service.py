from collections.abc import Iterator
from pathlib import Path

import pytest

from bao import MOUNT, TRANSIT, BaoServer
from secret_store_home import store_policy, transit_policy
from service import (
    ASTER,
    ASTER_WALLET,
    NEBULAEX,
    OPERATOR,
    WHITEBIT,
    SandboxKey,
    Service,
    failure_of,
    import_sandbox_key,
    send,
    sign_request,
)

KEYS = [
    (NEBULAEX, "GET", "/api/v2/trading/account/balances"),
    (ASTER, "GET", "/fapi/v1/openOrders?symbol=BTCUSDT"),
]


@pytest.fixture
def service(bao: BaoServer, prefix: str, tmp_path: Path) -> Iterator[Service]:
    """A server that puts every secret into the transit engine, beside the sandbox."""
    bao.enable_transit()
    (tmp_path / "token").write_text(bao.token(store_policy(prefix) + transit_policy()))
    vault = {"address": bao.url, "token_file": tmp_path / "token"}
    store = {
        "url": f"vault://{MOUNT}/{prefix}",
        "key_file": None,
        "custody": "transit",
        "transit_mount": TRANSIT,
    }
    yield Service(tmp_path, vault=vault, store=store)
    bao.clear_transit()


@pytest.mark.parametrize(("key", "method", "path"), KEYS, ids=[key.venue for key, _, _ in KEYS])
async def test_a_venue_takes_what_transit_signed(
    service: Service, key: SandboxKey, method: str, path: str
) -> None:
    """A secret imported by the RPC signs in Vault, and the venue's own check agrees."""
    async with service:
        stubs = await service.as_caller(OPERATOR)
        await import_sandbox_key(stubs, "in-transit", key)

        answer = await stubs.signing.Sign(sign_request("in-transit", method, path))

        assert (await send(answer)).status == 200


async def test_what_transit_can_not_hold_is_refused_by_the_rpc(service: Service) -> None:
    """A short secret and a wallet key are refused with a reason and with what to do."""
    async with service:
        stubs = await service.as_caller(OPERATOR)

        short = await failure_of(import_sandbox_key(stubs, "short", WHITEBIT))
        wallet = await failure_of(import_sandbox_key(stubs, "wallet", ASTER_WALLET))

    assert (short.code, short.reason) == ("INVALID_ARGUMENT", "FIELD_INVALID")
    assert "has 11 bytes" in short.message
    assert (wallet.code, wallet.reason) == ("FAILED_PRECONDITION", "ALGORITHM_UNSUPPORTED")
    assert "secp256k1; keep it in KV" in wallet.message
