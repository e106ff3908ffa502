import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from privyseal.v1 import signing_service_pb2 as pb
from privyseal.v1 import venue_service_pb2
from privyseald.config_error import ConfigInvalid
from privyseald.rpc.procedures import procedures
from privyseald.sandbox.faults import Fault
from service import (
    KIIEX,
    OPERATOR,
    WHITEBIT,
    Failure,
    Service,
    Stubs,
    eventually,
    failure_of,
    import_sandbox_key,
    sign_request,
)

_SERVICES = (
    "privyseal.v1.HoldService",
    "privyseal.v1.KeyService",
    "privyseal.v1.SigningService",
    "privyseal.v1.VenueService",
)
_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def raw(stubs: Stubs, method: str) -> Any:
    """Return an RPC that takes and gives bytes as they are."""
    call: Any = stubs.channel.unary_unary(f"/privyseal.v1.{method}")
    return call


async def health_of(stubs: Stubs, name: str) -> int:
    """Return what the health service says of a service."""
    stub: Any = health_pb2_grpc.HealthStub(stubs.channel)
    answer = await stub.Check(health_pb2.HealthCheckRequest(service=name))
    return int(answer.status)


async def wait_until_ready(stubs: Stubs) -> None:
    """Wait for the first look at the store."""

    async def is_ready() -> bool:
        return await health_of(stubs, "readiness") == _SERVING

    await eventually(is_ready)


async def wait_for_request(service: Service) -> None:
    """Wait until a venue has a request in its hands."""

    async def has_one() -> bool:
        return bool(service.sandbox.ledger._count)

    await eventually(has_one)


async def test_a_message_of_another_kind_is_refused(service: Service, operator: Stubs) -> None:
    """Bytes that are no message of the RPC are refused with a reason, and audited."""
    failure = await failure_of(raw(operator, "SigningService/Sign")(b"\xff\xff\xff"))
    assert (
        Failure(
            "INVALID_ARGUMENT",
            "message: is no message of this RPC; use stubs made from privyseal.v1",
            "MESSAGE_UNPARSEABLE",
            {"field": "message"},
            "message",
        )
        == failure
    )
    assert service.audit_lines()[-1]["reason"] == "MESSAGE_UNPARSEABLE"


async def test_a_10_mb_body_is_refused_with_a_reason(service: Service, operator: Stubs) -> None:
    """A message above the configured size is refused as ours, with the limit named."""
    request = sign_request("wb", "POST", "/api/v4/orders", b"x" * 10_000_000)
    failure = await failure_of(operator.signing.Sign(request))
    expected = ("INVALID_ARGUMENT", "FIELD_INVALID", "message")
    assert expected == (failure.code, failure.reason, failure.field_name)
    assert "this server takes 1048576" in failure.message
    assert "message" not in service.audit_lines()[-1].get("operation", "")


async def test_a_10_mb_body_is_refused_where_messages_may_be_large(tmp_path: Path) -> None:
    """A body has a limit of its own, also where a batch may be large."""
    async with Service(tmp_path, server={"max_message_bytes": 16_777_216}) as service:
        stubs = await service.as_caller(OPERATOR)
        request = sign_request("wb", "POST", "/api/v4/orders", b"x" * 10_000_000)
        failure = await failure_of(stubs.signing.Sign(request))
    expected = ("INVALID_ARGUMENT", "BODY_INVALID", "http_request.body")
    assert expected == (failure.code, failure.reason, failure.field_name)
    assert failure.message.endswith("is longer than 262144 bytes")


async def test_a_17_mb_message_never_reaches_us(service: Service, operator: Stubs) -> None:
    """GRPC itself drops what is above its hard limit; the connection goes on."""
    request = sign_request("wb", "POST", "/api/v4/orders", b"x" * 17_000_000)
    failure = await failure_of(operator.signing.Sign(request))
    assert (failure.code, failure.reason) == ("RESOURCE_EXHAUSTED", "")
    answer = await operator.venues.ListVenues(venue_service_pb2.ListVenuesRequest())
    assert len(answer.venues) == 5
    assert [line["rpc"] for line in service.audit_lines()] == [
        "privyseal.v1.VenueService/ListVenues"
    ]


@pytest.mark.parametrize("method", ["SigningService/SignDigest", "Nothing/At", "KeyService/"])
async def test_an_unknown_method_is_unimplemented(operator: Stubs, method: str) -> None:
    """There is nothing behind a name that the contract does not have."""
    failure = await failure_of(raw(operator, method)(b""))
    assert failure.code == "UNIMPLEMENTED"


def test_an_rpc_without_a_servicer_is_a_programmers_mistake() -> None:
    """The table of RPCs is not made where one of the contract has nobody to answer it."""
    with pytest.raises(AttributeError, match="sign"):
        procedures({})


@pytest.mark.parametrize("name", ["", "readiness", "liveness", *_SERVICES])
async def test_a_ready_server_is_healthy_on_both_ports(
    service: Service, operator: Stubs, name: str
) -> None:
    """Health is the same under TLS and on the plaintext port for probes."""
    ops = await service.connect_plaintext(service.app.server.ops_port)
    await wait_until_ready(ops)
    assert (await health_of(operator, name), await health_of(ops, name)) == (_SERVING, _SERVING)


async def test_health_of_nothing_is_not_found(service: Service) -> None:
    """The health service does not know what there is not."""
    ops = await service.connect_plaintext(service.app.server.ops_port)
    assert (await failure_of(health_of(ops, "privyseal.v1.Nothing"))).code == "NOT_FOUND"


async def test_the_ops_port_serves_health_alone(service: Service) -> None:
    """The plaintext port for probes has none of the contract's RPCs."""
    ops = await service.connect_plaintext(service.app.server.ops_port)
    failure = await failure_of(ops.venues.ListVenues(venue_service_pb2.ListVenuesRequest()))
    assert failure.code == "UNIMPLEMENTED"


async def services_by_reflection(stubs: Stubs) -> list[str]:
    """Ask the server which services it has."""

    async def ask() -> AsyncIterator[Any]:
        yield reflection_pb2.ServerReflectionRequest(list_services="")

    channel: Any = stubs.channel
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
    answer = await anext(aiter(stub.ServerReflectionInfo(ask())))
    return sorted(service.name for service in answer.list_services_response.service)


async def test_reflection_is_off_unless_asked_for(operator: Stubs) -> None:
    """A server does not describe itself where the config does not say so."""
    assert (await failure_of(services_by_reflection(operator))).code == "UNIMPLEMENTED"


async def test_reflection_lists_the_contract(tmp_path: Path) -> None:
    """With `reflection` the server lists its services, health and reflection with them."""
    async with Service(tmp_path, server={"reflection": True}) as service:
        stubs = await service.as_caller(OPERATOR)
        expected = sorted(
            (*_SERVICES, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection")
        )
        assert expected == await services_by_reflection(stubs)


async def test_too_much_at_once_is_shed(tmp_path: Path) -> None:
    """Above the limit an RPC is refused at once, with a time to come back; others go on."""
    async with Service(tmp_path, server={"max_concurrent_rpcs": 1}) as service:
        stubs = await service.as_caller(OPERATOR)
        await import_sandbox_key(stubs, "kx", KIIEX)
        service.sandbox.faults.add(Fault("kiiex", latency_ms=300))
        slow = asyncio.ensure_future(stubs.signing.Login(pb.LoginRequest(key="keys/kx")))
        await wait_for_request(service)
        failure = await failure_of(stubs.venues.ListVenues(venue_service_pb2.ListVenuesRequest()))
        assert (
            Failure(
                "RESOURCE_EXHAUSTED",
                "this server takes no more than 1 RPCs of this kind at once, and they are under "
                "way; nothing was begun: try again soon, here or at another server",
                "OVERLOADED",
                retry_after_ms=100,
            )
            == failure
        )
        assert (await slow).session.key == "keys/kx"
        answer = await stubs.venues.ListVenues(venue_service_pb2.ListVenuesRequest())
        assert len(answer.venues) == 5


async def test_a_stopping_server_finishes_what_it_has(tmp_path: Path) -> None:
    """While a server drains it is not ready, but alive; the RPC under way is answered."""
    async with Service(tmp_path, server={"drain_delay_ms": 200, "grace_ms": 5_000}) as service:
        stubs = await service.as_caller(OPERATOR)
        ops = await service.connect_plaintext(service.app.server.ops_port)
        await wait_until_ready(ops)
        await import_sandbox_key(stubs, "kx", KIIEX)
        service.sandbox.faults.add(Fault("kiiex", latency_ms=500))
        login = asyncio.ensure_future(stubs.signing.Login(pb.LoginRequest(key="keys/kx")))
        await wait_for_request(service)
        stopping = asyncio.ensure_future(service.app.__aexit__())
        await asyncio.sleep(0.05)
        while_draining = {
            name: await health_of(ops, name) for name in ("", "readiness", "liveness", *_SERVICES)
        }
        session = (await login).session
        await stopping
        gone = await failure_of(stubs.venues.ListVenues(venue_service_pb2.ListVenuesRequest()))
    expected = dict.fromkeys(("", "readiness", *_SERVICES), _NOT_SERVING)
    assert {**expected, "liveness": _SERVING} == while_draining
    assert (session.key, gone.code) == ("keys/kx", "UNAVAILABLE")
    assert service.audit_lines()[-1]["code"] == "OK"


async def test_a_server_does_not_wait_beyond_its_grace(tmp_path: Path) -> None:
    """An RPC that outlives the grace is cancelled, and audited as such."""
    async with Service(tmp_path, server={"grace_ms": 50}) as service:
        stubs = await service.as_caller(OPERATOR)
        await import_sandbox_key(stubs, "kx", KIIEX)
        service.sandbox.faults.add(Fault("kiiex", latency_ms=3_000))
        login = asyncio.ensure_future(stubs.signing.Login(pb.LoginRequest(key="keys/kx")))
        await wait_for_request(service)
        await service.app.__aexit__()
        failure = await failure_of(login)
    assert failure.code in {"CANCELLED", "UNAVAILABLE"}
    line = service.audit_lines()[-1]
    assert (line["key"], line["code"], line["decision"]) == ("keys/kx", "CANCELLED", "cancelled")


async def test_a_caller_who_goes_away_is_audited(service: Service, operator: Stubs) -> None:
    """An RPC that its caller cancels leaves a line too."""
    await import_sandbox_key(operator, "kx", KIIEX)
    service.sandbox.faults.add(Fault("kiiex", latency_ms=400))
    call = operator.signing.Login(pb.LoginRequest(key="keys/kx"))
    await asyncio.sleep(0)
    await wait_for_request(service)
    call.cancel()

    async def is_audited() -> bool:
        return bool(service.audit_lines()[-1]["code"] == "CANCELLED")

    await eventually(is_audited)
    assert service.audit_lines()[-1]["key"] == "keys/kx"


@pytest.mark.parametrize("setting", ["listen", "ops_listen", "http_ops_listen"])
async def test_a_port_in_use_is_named(tmp_path: Path, setting: str) -> None:
    """A server whose port is taken does not start, and says which setting to change."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        service = Service(tmp_path, server={setting: address})
        with pytest.raises(ConfigInvalid, match="is another program using the port") as caught:
            await service.__aenter__()
        await service.__aexit__(None, None, None)
    assert str(caught.value).startswith(f"server.{setting}: {address} can't be listened on")


async def test_a_request_after_a_signature_meets_the_same_key(operator: Stubs) -> None:
    """Many RPCs share one connection, at once."""
    await import_sandbox_key(operator, "wb", WHITEBIT)
    request = sign_request("wb", "POST", "/api/v4/orders")
    answers = await asyncio.gather(*(operator.signing.Sign(request) for _ in range(50)))
    assert len({answer.nonce for answer in answers}) == 50


async def test_a_connection_says_who_it_is_once(service: Service, operator: Stubs) -> None:
    """Metadata that claims to be somebody else changes nothing."""
    call = operator.venues.ListVenues(
        venue_service_pb2.ListVenuesRequest(), metadata=(("x-caller", "root"),)
    )
    await call
    assert service.audit_lines()[-1]["caller"] == OPERATOR
    assert await call.code() == grpc.StatusCode.OK
