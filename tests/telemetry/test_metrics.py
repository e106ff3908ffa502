import asyncio
import re
import time
import uuid
from pathlib import Path
from typing import Any

import orjson
import pytest

from bao import BaoServer
from privyseal.v1 import hold_service_pb2 as hold_pb
from privyseal.v1 import key_service_pb2 as key_pb
from privyseal.v1 import signing_service_pb2 as pb
from privyseald.rpc.procedures import CONTRACT
from privyseald.sandbox.accounts import AsterAccount
from privyseald.telemetry.catalogue import CATALOGUE, OF_A_SERVER, OF_A_SUPERVISOR, as_markdown
from replicas import shared
from service import (
    ASTER_WALLET,
    KIIEX,
    OPERATOR,
    STRANGER,
    TRADER,
    WHITEBIT,
    Service,
    Stubs,
    eventually,
    failure_of,
    import_sandbox_key,
    sign_request,
)
from telemetry.scraped import STANDARD, Scraped, scrape
from tokens import Issuer, jwt_section
from valkey_server import ValkeyServer

SIGN = "privyseal.v1.SigningService/Sign"
ORDER = ("POST", "/api/v4/orders")
DOCUMENT = Path(__file__).parents[2] / "docs" / "metrics.md"
RPCS = {
    f"{service.full_name}/{method.name}"
    for file in CONTRACT
    for service in file.services_by_name.values()
    for method in service.methods
}


def port_of(service: Service) -> int:
    """Return the HTTP port of operations."""
    return service.app.telemetry.port


def test_the_document_has_the_catalogue() -> None:
    """What is documented is what the code says, word for word."""
    assert DOCUMENT.read_text().endswith(f"## Catalogue\n\n{as_markdown()}")


def test_names_and_units_are_as_prometheus_wants_them() -> None:
    """One name each; counters end in `_total`, what is measured in base units."""
    names = [metric.name for metric in CATALOGUE]
    assert len(names) == len(set(names))
    assert set(OF_A_SERVER) | set(OF_A_SUPERVISOR) == set(CATALOGUE)
    for metric in CATALOGUE:
        assert re.fullmatch(r"privyseal_[a-z_]+", metric.name)
        assert (metric.kind == "counter") == metric.name.endswith("_total")
        assert not re.search(r"_(ms|us|milliseconds|kilobytes)(_|$)", metric.name)
        assert "worker" not in metric.labels


async def use_everything(service: Service, operator: Stubs) -> None:
    """Bring about every metric that a server has."""
    service.sandbox.accounts.add(
        AsterAccount("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"),
    )
    for key_id, key in (("desk-wb", WHITEBIT), ("kx", KIIEX), ("wallet", ASTER_WALLET)):
        await import_sandbox_key(operator, key_id, key)
    request_id = str(uuid.uuid4())
    for _ in range(2):
        await operator.signing.Sign(sign_request("desk-wb", *ORDER, request_id=request_id))
    bad = sign_request("desk-wb", "TRACE", "/")
    await operator.signing.BatchSign(
        pb.BatchSignRequest(requests=[sign_request("desk-wb", *ORDER), bad])
    )
    trader = await service.as_caller(TRADER)
    await trader.signing.Sign(sign_request("desk-wb", *ORDER))
    assert (await failure_of(trader.signing.Sign(sign_request("desk-wb", *ORDER)))).code == (
        "RESOURCE_EXHAUSTED"
    )
    stranger = await service.as_caller(STRANGER)
    await failure_of(stranger.signing.Sign(sign_request("desk-wb", *ORDER)))
    await operator.signing.Login(pb.LoginRequest(key="keys/kx"))
    await operator.signing.Sign(sign_request("kx", "POST", "/ap/GetAccountPositions", b"{}"))
    order = pb.CreateKeyRequest(key_id="issued", venue="aster")
    order.venue_issued.using_key = "keys/wallet"
    order.venue_issued.description = "one"
    await operator.signing.CreateKey(order)
    await operator.keys.ResyncNonce(key_pb.ResyncNonceRequest(key="keys/desk-wb"))


POLICY_WITH_A_LIMIT: dict[str, Any] = {
    "version": 1,
    "rules": [
        {
            "name": "operator",
            "callers": [OPERATOR],
            "keys": ["*"],
            "accept_bearer": True,
            "allow": [
                "sign",
                "sign-unlisted",
                "login",
                "create-key",
                "use-for-create-key",
                "import-key",
                "resync-nonce",
                "create-hold",
                "@key-management",
            ],
        },
        {
            "name": "trader",
            "callers": [TRADER],
            "keys": ["desk-*"],
            "allow": ["sign"],
            "limits": [{"rate": 1, "window": "1h"}],
        },
    ],
}


async def test_all_that_is_documented_is_told_with_its_labels_and_nothing_else(
    tmp_path: Path, bao: BaoServer, prefix: str, valkey_server: ValkeyServer
) -> None:
    """A server that has done everything tells every metric of the catalogue, and no other one."""
    sections = shared(tmp_path, bao, prefix, valkey_server.url)
    tokens = jwt_section(tmp_path, Issuer(), listen="127.0.0.1:0")
    service = Service(tmp_path, server={"jwt": tokens}, **sections)
    service.take_policy(orjson.dumps(POLICY_WITH_A_LIMIT))
    async with service:
        url = service.sandbox.urls["whitebit"]
        estimated = {"base_urls": {"production": url}, "clock_offset_ms": "estimate"}
        service.override("venues", {"whitebit": estimated})
        await service.restart()
        operator = await service.as_caller(OPERATOR)
        await use_everything(service, operator)

        async def knows(name: str) -> bool:
            return bool((await scrape(port_of(service))).labels[name])

        await eventually(lambda: knows("privyseal_venue_clock_error_seconds"))
        found = await scrape(port_of(service))
        valkey_server.command("FLUSHALL")

        async def knows_the_flush() -> bool:
            after = await scrape(port_of(service))
            return after.value("privyseal_state_epoch_changes_total") == 1

        await eventually(knows_the_flush)
    ours = {name: kind for name, kind in found.kinds.items() if not name.startswith(STANDARD)}
    assert ours == {metric.name: metric.kind.value for metric in OF_A_SERVER}
    assert {name: found.labels[name] for name in ours} == {
        metric.name: {frozenset(metric.labels)} for metric in OF_A_SERVER
    }
    check_values(found)


def check_values(found: Scraped) -> None:
    """Check what a server tells that has done everything."""
    assert found.value("privyseal_rpc_requests_total", rpc=SIGN, code="OK", reason="") == 4
    denied = {"rpc": SIGN, "code": "PERMISSION_DENIED", "reason": "POLICY_DENIED"}
    assert found.value("privyseal_rpc_requests_total", **denied) == 1
    assert found.value("privyseal_rpc_duration_seconds_count", rpc=SIGN) == 6
    assert found.value("privyseal_policy_denials_total", rule="") == 1
    assert found.value("privyseal_limits_exceeded_total", rule="trader") == 1
    assert found.total("privyseal_batch_requests_total", code="OK") == 1
    assert found.total("privyseal_batch_requests_total", code="INVALID_ARGUMENT") == 1
    assert found.value("privyseal_idempotency_hits_total", source="memory") == 1
    assert found.total("privyseal_signatures_total", venue="whitebit") == 3
    assert found.total("privyseal_signatures_total", venue="kiiex", algorithm="hmac-sha256") == 1
    assert found.value("privyseal_nonces_total", venue="whitebit") == 3
    assert found.value("privyseal_nonce_resyncs_total", venue="whitebit", direction="down") == 1
    logins = {"venue": "kiiex", "operation": "login", "outcome": "ok"}
    assert found.value("privyseal_venue_requests_total", **logins) == 1
    assert found.value("privyseal_sessions_open", venue="kiiex") == 1
    assert found.value("privyseal_session_life_seconds", venue="kiiex") > 60
    assert found.value("privyseal_vault_requests_total", operation="read", outcome="ok") >= 3
    assert found.value("privyseal_vault_requests_total", operation="write", outcome="ok") >= 3
    assert found.value("privyseal_vault_token_life_seconds") > 60
    assert found.value("privyseal_vault_token_renewals_total", outcome="logged-in") == 1
    assert found.value("privyseal_state_requests_total", operation="advance", outcome="ok") >= 3
    assert found.value("privyseal_key_cache_requests_total", outcome="hit") >= 3
    assert found.value("privyseal_key_cache_keys") >= 2
    assert found.value("privyseal_secret_store_state", state="ok") == 1
    assert found.total("privyseal_secret_store_state") == 1
    assert found.value("privyseal_audit_lines_total") >= 10
    assert found.value("privyseal_audit_is_writable") == 1
    assert 0 <= found.value("privyseal_holds_age_seconds") < 2
    assert found.value("privyseal_certificate_life_seconds", certificate="server") > 86_400
    assert found.value("privyseal_certificate_life_seconds", certificate="client-ca") > 86_400
    assert found.total("privyseal_build_info") == 1
    assert found.value("privyseal_state_epoch_changes_total") == 0
    assert 0 <= found.value("privyseal_jwks_age_seconds", issuer="desk") < 5
    place = {"venue": "whitebit", "environment": "production"}
    assert abs(found.value("privyseal_venue_clock_offset_seconds", **place)) < 2
    assert 0 < found.value("privyseal_venue_clock_error_seconds", **place) < 2
    assert found.value("process_resident_memory_bytes") > 10_000_000


async def test_no_caller_makes_a_series(service: Service) -> None:
    """Hostile names of RPCs, keys, venues, request ids and paths leave the series as they are,
    but for those of codes and reasons.
    """
    hostile = ['x"} 1\nprivyseal_evil 1', "a" * 5_000, "é\u2028", "../../etc", "unknown"]
    operator = await service.as_caller(OPERATOR)

    async def attack(round_: int) -> None:
        for number, text in enumerate(hostile):
            name = f"{round_}-{number}-{text}"
            for request in (
                sign_request(name, "POST", "/"),
                sign_request("wb", f"M{number}{round_}", f"/{name}", request_id=name[:64]),
            ):
                await failure_of(operator.signing.Sign(request))
            order = pb.CreateKeyRequest(key_id=name, venue=name, request_id=name)
            await failure_of(operator.signing.CreateKey(order))
            hold = hold_pb.CreateHoldRequest()
            hold.hold.venue = name
            await failure_of(operator.holds.CreateHold(hold))
            for path in (
                f"/privyseal.v1.SigningService/Sign{round_}{number}",
                f"/{number}x/{round_}",
            ):
                call: Any = operator.channel.unary_unary(path)
                assert (await failure_of(call(b""))).code == "UNIMPLEMENTED"

    await attack(0)
    before = await scrape(port_of(service))
    await attack(1)
    await attack(2)
    after = await scrape(port_of(service))
    new = {series for series in after.samples if series not in before.samples}
    assert {name for name, _ in new if not name.startswith(STANDARD)} == set()
    unknown = {"rpc": "unknown", "code": "UNIMPLEMENTED", "reason": ""}
    assert after.value("privyseal_rpc_requests_total", **unknown) == 6 * len(hostile)
    rpcs = {dict(labels).get("rpc") for _, labels in after.samples} - {None}
    assert rpcs <= RPCS | {"unknown"}
    assert not [text for text in hostile[:4] if text in after.text]


@pytest.mark.parametrize("rpc", ["cancelled", "timed out"])
async def test_an_rpc_that_its_caller_gave_up_is_counted_as_cancelled(
    service: Service, rpc: str
) -> None:
    """Also streams, which count when they end; as long as they are open a gauge says so."""
    operator = await service.as_caller(OPERATOR)
    await import_sandbox_key(operator, "kx", KIIEX)
    watch = operator.signing.WatchSession(
        pb.WatchSessionRequest(key="keys/kx"), timeout=0.5 if rpc == "timed out" else None
    )
    await anext(aiter(watch))
    found = await scrape(port_of(service))
    assert found.value("privyseal_streams_open") == 1
    if rpc == "cancelled":
        watch.cancel()
    name = "privyseal.v1.SigningService/WatchSession"

    async def is_over() -> bool:
        found = await scrape(port_of(service))
        counted = found.value("privyseal_rpc_requests_total", rpc=name, code="CANCELLED", reason="")
        return (counted, found.value("privyseal_streams_open")) == (1, 0)

    await eventually(is_over)


async def test_holds_are_told_by_what_they_stop(service: Service) -> None:
    """In force, and refused by them."""
    operator = await service.as_caller(OPERATOR)
    await import_sandbox_key(operator, "wb", WHITEBIT)
    request = hold_pb.CreateHoldRequest()
    request.hold.venue = "whitebit"
    request.hold.cause = "test"
    await operator.holds.CreateHold(request)
    await failure_of(operator.signing.Sign(sign_request("wb", *ORDER)))
    found = await scrape(port_of(service))
    assert found.value("privyseal_holds", scope="venue") == 1
    assert found.total("privyseal_holds") == 1
    assert found.value("privyseal_hold_refusals_total", cause="hold") == 1


async def test_a_policy_that_does_not_load_is_told(service: Service) -> None:
    """The generation stays, the failure counts, and the rules in force are those of before."""
    before = await scrape(port_of(service))
    policy = service.directory / "policy.yaml"
    good = policy.read_bytes()
    policy.write_bytes(b"version: 1\nrules: [")

    async def is_stale(*, stale: bool) -> bool:
        found = await scrape(port_of(service))
        return found.value("privyseal_policy_is_stale") == stale

    await eventually(lambda: is_stale(stale=True))
    found = await scrape(port_of(service))
    assert found.value("privyseal_policy_load_failures_total") == 1
    for name in ("privyseal_policy_generation", "privyseal_policy_rules"):
        assert found.value(name) == before.value(name) > 0
    policy.write_bytes(good + b"\n")
    await eventually(lambda: is_stale(stale=False))
    found = await scrape(port_of(service))
    assert found.value("privyseal_policy_generation") == 2
    loaded = "privyseal_policy_loaded_timestamp_seconds"
    assert found.value(loaded) > before.value(loaded)


async def test_the_event_loop_is_looked_at(service: Service) -> None:
    """A turn that takes long shows."""

    def late(found: Scraped) -> float:
        name = "privyseal_event_loop_lag_seconds"
        return found.value(f"{name}_count") - found.value(f"{name}_bucket", le="0.25")

    before = late(await scrape(port_of(service)))

    async def is_seen() -> bool:
        return late(await scrape(port_of(service))) > before

    await asyncio.sleep(0)
    time.sleep(0.4)  # noqa: ASYNC251  # what is to be seen
    await eventually(is_seen)
