"""Names in certificates that were meant to be taken for another caller's."""

import pytest
from cryptography import x509

from privyseal.v1 import venue_service_pb2
from service import Service, Stubs, failure_of

_LIST = venue_service_pb2.ListVenuesRequest()


async def _seen(service: Service, stubs: Stubs) -> str:
    """Return the caller's name in the audit log, or the reason why there is none."""
    try:
        return (await failure_of(stubs.venues.ListVenues(_LIST))).reason
    except AssertionError:
        return str(service.audit_lines()[-1]["caller"])


@pytest.mark.parametrize(
    "name",
    [
        "spiffe://evil.example@desk.example/mm",
        "spiffe://desk.example@evil.example/mm",
        "spiffe://desk.example:443/mm",
        "spiffe://DESK.example/mm",
        "SPIFFE://desk.example/mm",
        "spiffe://desk.example/mm?x=1",
        "spiffe://desk.example/mm#x",
        "spiffe://desk.example/a/../mm",
        "spiffe://desk.example/./mm",
        "spiffe://desk.example//mm",
        "spiffe://desk.example/mm/",
        "spiffe://desk.example/%6dm",
        "spiffe://desk.example/*",
        "spiffe://*/mm",
        "spiffe://",
        "spiffe://desk.example",
        "spiffe:desk.example/mm",
        "spiffe:/desk.example/mm",
        "https://desk.example/*",
        "https:",
        "*",
        "local",
        "jwt:issuer/subject",
        "unix:desk",
    ],
)
async def test_no_uri_is_taken_for_another(service: Service, name: str) -> None:
    """What is no SPIFFE ID by its standard is none here, and no other URI either."""
    uri = x509.UniformResourceIdentifier(name)
    stubs = await service.connect(service.certificate_of(uri))

    assert "CALLER_UNPROVED" == await _seen(service, stubs)


@pytest.mark.parametrize(
    "name",
    [
        "spiffe://desk.example/mm",
        "https://desk.example/one",
        "jwt:issuer/subject",
        "unix:desk",
        "local",
        "Local",
        "*",
        "*.desk.example",
        "desk.example:443",
        "desk.example/mm",
        "user@desk.example",
        ".desk.example",
        "desk..example",
        "desk.example.",
    ],
)
async def test_a_dns_name_is_a_hosts(service: Service, name: str) -> None:
    """Where a CA lets its clients choose DNS names, none of them is a SPIFFE ID or a token's."""
    stubs = await service.connect(service.certificate_of(x509.DNSName(name)))

    assert "CALLER_UNPROVED" == await _seen(service, stubs)


@pytest.mark.parametrize(
    "name", ["spiffe://desk.example/mm", "spiffe://desk.example/ns/a.b/sa/x_y-1"]
)
async def test_a_spiffe_id_is_taken_as_it_is(service: Service, name: str) -> None:
    """Letters of both cases, and the marks that its standard has."""
    uri = x509.UniformResourceIdentifier(name)
    stubs = await service.connect(service.certificate_of(uri))

    assert name == await _seen(service, stubs)
