"""Venues whose clocks are not ours, on real time: refused, and accepted once they are followed."""

from pathlib import Path
from typing import Any

import grpc
import pytest

from privyseal.v1 import key_service_pb2 as pb
from privyseal.v1 import signing_service_pb2, venue_service_pb2
from privyseald.outbound.outbound import OutboundResponse
from service import (
    ASTER,
    ASTER_AGENT,
    NEBULAEX,
    OPERATOR,
    WHITEBIT,
    SandboxKey,
    Service,
    Stubs,
    eventually,
    import_sandbox_key,
    send,
    sign_request,
)

VENUES = [
    pytest.param(NEBULAEX, "GET", "/api/v2/backend/account/balances", 5_000, id="nebulaex"),
    pytest.param(WHITEBIT, "POST", "/api/v4/orders", 5_000, id="whitebit"),
    pytest.param(ASTER, "GET", "/fapi/v1/balance", 5_000, id="aster"),
    pytest.param(ASTER_AGENT, "GET", "/fapi/v3/balance", 10_000, id="aster-v3"),
]


def settings(service: Service, venue: str, clock_offset_ms: int | str) -> dict[str, Any]:
    """Return the venues' section with what is said of one venue's clock."""
    url = service.sandbox.urls[venue.removesuffix("-v3")]
    return {
        venue: {
            "base_urls": {"production": url},
            "clock_offset_ms": clock_offset_ms,
            "max_clock_offset_ms": 10_000,
        }
    }


async def ask(
    stubs: Stubs, method: str, path: str
) -> tuple[signing_service_pb2.SignResponse, OutboundResponse]:
    """Return a signed request, and what the venue says to it."""
    signed = await stubs.signing.Sign(sign_request("desk", method, path))
    return signed, await send(signed)


async def known_offset_ms(stubs: Stubs, venue: str) -> int:
    """Return what GetVenue says."""
    request = venue_service_pb2.GetVenueRequest(name=venue)
    return int((await stubs.venues.GetVenue(request)).venue.environments[0].clock_offset_ms)


@pytest.mark.parametrize("offset_ms", [7_000, -7_000])
@pytest.mark.parametrize(("key", "method", "path", "window_ms"), VENUES)
async def test_a_venues_clock_is_followed(
    tmp_path: Path, key: SandboxKey, method: str, path: str, window_ms: int, offset_ms: int
) -> None:
    """Seven seconds off, a venue with a window of five refuses all, until its clock is estimated
    or configured. Times in answers are of our clock all along.
    """
    async with Service(tmp_path) as service:
        service.sandbox.knobs.aster.nonce_window_ms = 5_000
        service.sandbox.clock.offset_ms = offset_ms
        stubs = await service.as_caller(OPERATOR)
        await import_sandbox_key(stubs, "desk", key)
        assert (await ask(stubs, method, path))[1].status in {400, 401}

        for clock_offset_ms in ("estimate", offset_ms):
            service.override("venues", settings(service, key.venue, clock_offset_ms))
            await service.restart()
            again = await service.as_caller(OPERATOR)

            async def is_accepted(again: Stubs = again) -> bool:
                try:
                    return (await ask(again, method, path))[1].status == 200
                except grpc.aio.AioRpcError as error:
                    # What was given by our clock is ahead of one that is behind it.
                    if "ahead of its venue's clock" not in (error.details() or ""):
                        raise
                    await again.keys.ResyncNonce(pb.ResyncNonceRequest(key="keys/desk"))
                    return False

            await eventually(is_accepted)
            for _ in range(5):
                signed, answer = await ask(again, method, path)
                assert 200 == answer.status
            # A clock in whole seconds is known to half a second at first.
            assert abs(await known_offset_ms(again, key.venue) - offset_ms) <= 600
            life_ms = signed.expire_time.ToMilliseconds() - signed.sign_time.ToMilliseconds()
            assert abs(life_ms - window_ms) <= 1_500
