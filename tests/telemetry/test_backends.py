"""What a server tells of Vault, its state and its audit log while these are away."""

import json
from pathlib import Path

import pytest

from bao import BaoServer
from privyseal.v1 import signing_service_pb2 as pb
from replicas import shared
from service import KIIEX, OPERATOR, WHITEBIT, Service, eventually, failure_of, import_sandbox_key
from service import sign_request as request_of
from telemetry.scraped import Scraped, fetch, scrape
from valkey_server import ValkeyServer

ORDER = ("POST", "/api/v4/orders")


async def found(service: Service) -> Scraped:
    """Return what the server tells now."""
    return await scrape(service.app.telemetry.port)


async def test_a_vault_that_is_sealed_and_stopped(
    tmp_path: Path, frail_bao: BaoServer, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state of the store, requests that failed, stale keys, and readiness with its cause."""
    monkeypatch.setattr("privyseald.readiness._PAUSE_S", 0.05)
    sections = shared(tmp_path, frail_bao, prefix)
    sections["store"] = {**sections["store"], "soft_ttl_ms": 100, "hard_ttl_ms": 5_000}
    async with Service(tmp_path, **sections) as service:
        operator = await service.as_caller(OPERATOR)
        await import_sandbox_key(operator, "wb", WHITEBIT)
        await operator.signing.Sign(request_of("wb", *ORDER))

        async def is_state(state: str) -> bool:
            now = await found(service)
            return now.value("privyseal_secret_store_state", state=state) == 1

        async def signs_stale() -> bool:
            await operator.signing.Sign(request_of("wb", *ORDER))
            now = await found(service)
            return now.value("privyseal_key_cache_requests_total", outcome="stale") > 0

        async def is_not_ready() -> bool:
            return (await fetch(service.app.telemetry.port, "/readyz")).status == 503

        await eventually(lambda: is_state("ok"))
        frail_bao.seal()
        try:
            await eventually(lambda: is_state("sealed"))
            await eventually(signs_stale)
            await eventually(is_not_ready)
            page = await fetch(service.app.telemetry.port, "/readyz")
            assert json.loads(page.body)["checks"]["secret_store"] == "SECRET_STORE_SEALED"
            assert (await found(service)).value("privyseal_ready") == 0
        finally:
            frail_bao.unseal()
        await eventually(lambda: is_state("ok"))
        now = await found(service)
        assert now.total("privyseal_vault_requests_total", outcome="sealed") > 0
        assert now.total("privyseal_secret_store_state") == 1
        await eventually(lambda: is_ready(service))


async def is_ready(service: Service) -> bool:
    """Whether the server says so."""
    return (await found(service)).value("privyseal_ready") == 1


async def test_a_state_that_is_away(
    tmp_path: Path, bao: BaoServer, prefix: str, valkey_server: ValkeyServer
) -> None:
    """Its errors are counted by reason, the copy of the holds grows old, and refuses blindly."""
    sections = shared(tmp_path, bao, prefix, valkey_server.url)
    async with Service(tmp_path, **sections) as service:
        operator = await service.as_caller(OPERATOR)
        await import_sandbox_key(operator, "wb", WHITEBIT)
        await operator.signing.Sign(request_of("wb", *ORDER))
        before = await found(service)
        advance = {"operation": "advance", "outcome": "ok"}
        assert before.value("privyseal_state_requests_total", **advance) == 1
        name = "privyseal_state_request_duration_seconds_sum"
        assert 0 < before.value(name, operation="advance") < 1
        valkey_server.stop()

        async def is_blind() -> bool:
            await failure_of(operator.signing.Sign(request_of("wb", *ORDER)))
            now = await found(service)
            return now.value("privyseal_hold_refusals_total", cause="blind") > 0

        await eventually(is_blind)
        now = await found(service)
        assert now.value("privyseal_holds_age_seconds") > 2
        assert now.total("privyseal_state_requests_total", outcome="STATE_UNAVAILABLE") > 0


async def test_sessions_are_told_while_they_last(service: Service) -> None:
    """Opened, in use, and gone with a logout."""
    operator = await service.as_caller(OPERATOR)
    await import_sandbox_key(operator, "kx", KIIEX)
    await operator.signing.Login(pb.LoginRequest(key="keys/kx"))
    now = await found(service)
    assert now.value("privyseal_sessions_open", venue="kiiex") == 1
    assert 0 < now.value("privyseal_session_life_seconds", venue="kiiex") < 86_400
    await operator.signing.Logout(pb.LogoutRequest(key="keys/kx"))
    now = await found(service)
    assert now.total("privyseal_sessions_open") == 0
    labels = {"venue": "kiiex", "operation": "logout", "outcome": "ok"}
    assert now.value("privyseal_venue_requests_total", **labels) == 1
    assert (
        now.value(
            "privyseal_venue_request_duration_seconds_count", venue="kiiex", operation="login"
        )
        == 1
    )
