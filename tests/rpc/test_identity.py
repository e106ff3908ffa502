import asyncio
import ssl
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509

from privyseal.v1 import key_service_pb2, venue_service_pb2
from privyseald.caller import Caller
from privyseald.cli.certificates import Pem, TryOutCa
from privyseald.errors import CallerUnproved
from privyseald.rpc.identity.certificate import caller_of
from privyseald.rpc.identity.identity import Identity
from service import OPERATOR, STRANGER, Failure, Service, Stubs, failure_of

_LIST = venue_service_pb2.ListVenuesRequest()


@dataclass(frozen=True)
class Shown:
    """A connection that proved this, and an RPC without metadata."""

    proved: Mapping[str, Iterable[bytes]]

    def auth_context(self) -> Mapping[str, Iterable[bytes]]:
        """Return what was proved."""
        return self.proved

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        """Return nothing."""
        return ()


def uri(name: str) -> x509.GeneralName:
    """Return a URI to stand in a certificate."""
    return x509.UniformResourceIdentifier(name)


async def caller_seen(service: Service, stubs: Stubs) -> str:
    """Return the name that the server's audit log has for a caller."""
    await stubs.venues.ListVenues(_LIST)
    return str(service.audit_lines()[-1]["caller"])


async def refused(stubs: Stubs) -> Failure:
    """Return how a caller without a good name is refused."""
    return await failure_of(stubs.venues.ListVenues(_LIST))


async def test_a_spiffe_id_is_the_callers_name(service: Service) -> None:
    """A certificate's SPIFFE ID names the caller."""
    assert await caller_seen(service, await service.as_caller(OPERATOR)) == OPERATOR


async def test_a_uri_is_a_callers_name(service: Service) -> None:
    """A certificate's URI that is no SPIFFE ID names the caller."""
    stubs = await service.connect(service.certificate_of(uri("https://desk.test/one")))
    assert await caller_seen(service, stubs) == "https://desk.test/one"


async def test_a_dns_name_is_a_callers_name(service: Service) -> None:
    """A certificate that has only a DNS name is named by it."""
    stubs = await service.connect(service.certificate_of(x509.DNSName("desk.test")))
    assert await caller_seen(service, stubs) == "desk.test"


async def test_a_uri_is_stronger_than_a_dns_name(service: Service) -> None:
    """A certificate with both is named by its SPIFFE ID, and the common name never counts."""
    names = (x509.DNSName("desk.test"), uri(STRANGER))
    stubs = await service.connect(service.certificate_of(*names, common_name="root"))
    assert await caller_seen(service, stubs) == STRANGER


async def test_a_common_name_proves_nobody(service: Service) -> None:
    """A certificate that has only a common name is refused, whatever the name."""
    stubs = await service.connect(service.certificate_of(common_name=OPERATOR))
    failure = await refused(stubs)
    assert (failure.code, failure.reason) == ("UNAUTHENTICATED", "CALLER_UNPROVED")
    assert "the common name does not count" in failure.message


async def test_two_spiffe_ids_prove_nobody(service: Service) -> None:
    """A certificate with two names of one kind leaves a doubt, and is refused."""
    stubs = await service.connect(service.certificate_of(uri(OPERATOR), uri(STRANGER)))
    failure = await refused(stubs)
    assert (failure.code, failure.reason) == ("UNAUTHENTICATED", "CALLER_UNPROVED")
    assert "has 2 uri names; it must have one" in failure.message


async def test_a_refused_caller_leaves_an_audit_line(service: Service) -> None:
    """An RPC of nobody is audited: code and reason, and no caller."""
    await refused(await service.connect(service.certificate_of(common_name="root")))
    line = service.audit_lines()[-1]
    expected = ("refused", "UNAUTHENTICATED", "CALLER_UNPROVED", None)
    assert expected == (line["decision"], line["code"], line["reason"], line.get("caller"))


async def test_without_a_certificate_there_is_no_connection(service: Service) -> None:
    """A client without a certificate does not get through the handshake."""
    failure = await refused(await service.connect(None))
    assert (failure.code, failure.reason) == ("UNAVAILABLE", "")


async def test_a_certificate_of_another_ca_is_no_connection(service: Service) -> None:
    """A certificate that names the operator, signed by somebody else, opens nothing."""
    failure = await refused(await service.connect(TryOutCa().caller(OPERATOR)))
    assert (failure.code, failure.reason) == ("UNAVAILABLE", "")


async def test_plaintext_is_no_connection(service: Service) -> None:
    """A server with TLS does not talk to a client without."""
    failure = await refused(await service.connect_plaintext(service.app.server.port))
    assert failure.code == "UNAVAILABLE"


async def test_plaintext_on_loopback_has_one_caller(tmp_path: Path) -> None:
    """Where the config allows plaintext on loopback by name, the caller is `local`."""
    plain = {"tls": None, "allow_plaintext_on_loopback": True}
    async with Service(tmp_path, server=plain) as service:
        stubs = await service.connect_plaintext(service.app.server.port)
        assert await caller_seen(service, stubs) == "local"
        denied = await failure_of(
            stubs.keys.GetKey(key_service_pb2.GetKeyRequest(name="keys/some"))
        )
    assert (denied.code, denied.reason) == ("PERMISSION_DENIED", "POLICY_DENIED")


@asynccontextmanager
async def tls_proxy(
    service: Service, directory: Path, newest: ssl.TLSVersion
) -> AsyncIterator[int]:
    """Take plaintext on a port, and pass it on as the operator by at most this version of TLS."""
    pem = service.certificate(OPERATOR)
    file = directory / "proxy.pem"
    file.write_bytes(pem.certificate + pem.private_key)
    context = ssl.create_default_context(cadata=service.ca_certificate.decode())
    context.load_cert_chain(file)
    context.maximum_version = newest
    context.set_alpn_protocols(["h2"])

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(
            "127.0.0.1", service.app.server.port, ssl=context, server_hostname="localhost"
        )
        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@pytest.mark.parametrize(
    ("newest", "expected"),
    [
        (ssl.TLSVersion.TLSv1_2, ("UNAUTHENTICATED", "CALLER_UNPROVED")),
        (ssl.TLSVersion.TLSv1_3, ("NOT_FOUND", "VENUE_UNKNOWN")),
    ],
)
async def test_only_tls_1_3_proves_a_caller(
    service: Service, tmp_path: Path, newest: ssl.TLSVersion, expected: tuple[str, str]
) -> None:
    """The operator's own certificate proves nobody over TLS 1.2; over TLS 1.3 it does."""
    async with tls_proxy(service, tmp_path, newest) as port:
        stubs = await service.connect_plaintext(port)
        request = venue_service_pb2.GetVenueRequest(name="mtgox")
        failure = await failure_of(stubs.venues.GetVenue(request))
        await stubs.channel.close()
        assert expected == (failure.code, failure.reason)


@pytest.mark.parametrize("version", [[], [b"TLSv1.2"], [b"TLSv1.3", b"TLSv1.2"], [b""]])
def test_a_connection_of_unknown_tls_proves_nobody(version: list[bytes]) -> None:
    """Anything but exactly TLS 1.3 is refused with what to do, names or not."""
    peer = Shown({"ssl_tls_version": version, "x509_pem_cert": [b""], "peer_dns": [b"desk.test"]})
    with pytest.raises(CallerUnproved, match=r"older than 1\.3; let the client"):
        Identity(plaintext=False).caller_of(peer)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ({"peer_spiffe_id": [b"spiffe://a/b"]}, Caller("spiffe://a/b", "mtls-spiffe")),
        ({"peer_uri": [b"https://a"], "peer_dns": [b"a"]}, Caller("https://a", "mtls-uri")),
        ({"peer_dns": [b"a.test"]}, Caller("a.test", "mtls-dns")),
    ],
)
def test_how_a_caller_was_named_is_kept(
    names: Mapping[str, Iterable[bytes]], expected: Caller
) -> None:
    """A caller knows by which kind of name it was proved."""
    peer = Shown({"ssl_tls_version": [b"TLSv1.3"], "x509_pem_cert": [b""], **names})
    assert expected == Identity(plaintext=False).caller_of(peer)


@pytest.mark.parametrize("name", [b"a b", b"a\nb", b"\xff", b"", b"a" * 257])
def test_a_name_with_odd_characters_proves_nobody(name: bytes) -> None:
    """A name that could not stand in a policy or an audit line is refused."""
    with pytest.raises(CallerUnproved, match="characters that none may have"):
        caller_of({"peer_dns": [name]})


@pytest.mark.parametrize("name", [b"jwt:desk/maker", b"unix:research"])
def test_a_certificate_does_not_name_callers_without_one(name: bytes) -> None:
    """A URI that looks like a token's caller, or the socket's, proves nobody."""
    with pytest.raises(CallerUnproved, match="begins as those of callers without a certificate"):
        caller_of({"peer_uri": [name]})


def test_a_client_certificate_hides_its_private_key() -> None:
    """The private key of a certificate does not stand in its repr."""
    pem = TryOutCa().caller(OPERATOR)
    assert f"Pem(certificate={pem.certificate!r})" == repr(Pem(pem.certificate, pem.private_key))
