import asyncio
import datetime as dt
import functools
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from structlog.testing import capture_logs

from fakes import FakeClock
from privyseal.v1 import venue_service_pb2
from privyseald import tls_files
from privyseald.cli.certificates import Pem, TryOutCa
from privyseald.config import TlsConfig
from privyseald.tls_files import TlsFiles
from service import OPERATOR, TRADER, Service, Stubs, eventually, failure_of
from tokens import Issuer, jwt_section

_LIST = venue_service_pb2.ListVenuesRequest()
_NAMES = ("localhost", "127.0.0.1")


@pytest.fixture(autouse=True)
def _in_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at the files twenty times a second, so that no test waits."""
    monkeypatch.setattr(tls_files, "_PAUSE_S", 0.05)


class Mount:
    """A Secret as Kubernetes mounts it: all files change at once, by the swap of one link."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0

    def write(self, server: Pem, client_ca: bytes) -> None:
        """Bring other files."""
        self._count += 1
        data = self._folder / f"..{self._count}"
        data.mkdir(parents=True)
        for name, content in (
            ("tls.crt", server.certificate),
            ("tls.key", server.private_key),
            ("ca.crt", client_ca),
        ):
            (data / name).write_bytes(content)
            (data / name).chmod(0o600)
            link = self._folder / name
            if not link.is_symlink():
                link.symlink_to(f"..data/{name}")
        (self._folder / "..data_tmp").symlink_to(data.name)
        (self._folder / "..data_tmp").rename(self._folder / "..data")

    @property
    def settings(self) -> dict[str, Any]:
        """The section `server.tls`."""
        return {
            "certificate_file": self._folder / "tls.crt",
            "private_key_file": self._folder / "tls.key",
            "client_ca_file": self._folder / "ca.crt",
        }


@pytest.fixture
def ca() -> TryOutCa:
    """The CA of the server and its callers."""
    return TryOutCa()


@pytest.fixture
def mount(tmp_path: Path, ca: TryOutCa) -> Mount:
    """The server's Secret, with a certificate and a client CA."""
    mount = Mount(tmp_path / "tls")
    mount.write(ca.server(_NAMES), ca.certificate)
    return mount


@pytest.fixture
async def service(tmp_path: Path, mount: Mount, ca: TryOutCa) -> AsyncIterator[Service]:
    """A server on that Secret."""
    service = Service(tmp_path, server={"tls": mount.settings})
    service._ca = ca
    async with service:
        yield service


async def serial_shown(service: Service) -> int:
    """Return the serial number of the certificate that a new connection sees."""
    context = ssl.create_default_context(cadata=service.ca_certificate.decode())
    context.set_alpn_protocols(["h2"])
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", service.app.server.port, ssl=context, server_hostname="localhost"
    )
    shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    del reader
    return x509.load_der_x509_certificate(shown).serial_number


def serial_of(pem: Pem) -> int:
    """Return a certificate's serial number."""
    return x509.load_pem_x509_certificate(pem.certificate).serial_number


async def is_shown(service: Service, pem: Pem) -> bool:
    """Return whether a new connection sees this certificate."""
    return await serial_shown(service) == serial_of(pem)


async def call_on(stubs: Stubs, stop: asyncio.Event) -> int:
    """Call until `stop`, and return how often. Fails at the first RPC that fails."""
    count = 0
    while not stop.is_set():
        await stubs.venues.ListVenues(_LIST)
        count += 1
    return count


async def reconnect_on(service: Service, stop: asyncio.Event) -> int:
    """Call on a new connection each time until `stop`, and return how often."""
    count = 0
    while not stop.is_set():
        stubs = await service.as_caller(OPERATOR)
        await stubs.venues.ListVenues(_LIST, wait_for_ready=False)
        await stubs.channel.close()
        count += 1
    return count


async def test_certificates_rotate_under_load(service: Service, mount: Mount, ca: TryOutCa) -> None:
    """Ten rotations while callers call, on connections that stand and on new ones: no RPC fails,
    and each new certificate is shown.
    """
    stop, desks = asyncio.Event(), [await service.as_caller(OPERATOR) for _ in range(4)]
    load = [asyncio.ensure_future(call_on(stubs, stop)) for stubs in desks]
    load += [asyncio.ensure_future(reconnect_on(service, stop)) for _ in range(2)]
    for _ in range(10):
        newer = ca.server(_NAMES)
        mount.write(newer, ca.certificate)
        await eventually(functools.partial(is_shown, service, newer))
    stop.set()
    counts = await asyncio.gather(*load)
    assert all(count > 5 for count in counts)


async def test_callers_of_a_ca_that_is_gone_are_refused(
    service: Service, mount: Mount, ca: TryOutCa
) -> None:
    """On new connections; those that stand are kept until gRPC ends them by their age. Callers of
    the new CA get in.
    """
    standing = await service.as_caller(OPERATOR)
    await standing.venues.ListVenues(_LIST)
    new_ca = TryOutCa()
    both = ca.certificate + new_ca.certificate
    mount.write(ca.server(_NAMES), both)
    new = new_ca.caller(TRADER)
    await eventually(lambda: gets_in(service, new))
    assert await gets_in(service, ca.caller(OPERATOR))
    mount.write(ca.server(_NAMES), new_ca.certificate)
    await eventually(lambda: is_kept_out(service, ca.caller(OPERATOR)))
    assert await gets_in(service, new)
    assert service.audit_lines()[-1]["caller"] == TRADER
    await standing.venues.ListVenues(_LIST)
    assert service.audit_lines()[-1]["caller"] == OPERATOR


async def gets_in(service: Service, pem: Pem) -> bool:
    """Return whether a caller is served on a new connection."""
    stubs = await service.connect(pem)
    try:
        await stubs.venues.ListVenues(_LIST)
    except grpc.aio.AioRpcError as error:
        # A caller who gets in and is refused would be another thing.
        return error.code() is not grpc.StatusCode.UNAVAILABLE
    else:
        return True
    finally:
        await stubs.channel.close()


async def is_kept_out(service: Service, pem: Pem) -> bool:
    """Return whether a caller is not served on a new connection."""
    return not await gets_in(service, pem)


async def test_no_session_is_resumed_past_its_ca(
    service: Service, mount: Mount, ca: TryOutCa, tmp_path: Path
) -> None:
    """A client that kept a TLS session from before is looked at anew: its CA is gone."""
    pem = ca.caller(OPERATOR)
    file = tmp_path / "caller.pem"
    file.write_bytes(pem.certificate + pem.private_key)
    context = ssl.create_default_context(cadata=service.ca_certificate.decode())
    context.load_cert_chain(file)
    context.set_alpn_protocols(["h2"])
    port = service.app.server.port
    _, session = await asyncio.to_thread(shake_hands, context, port, None)
    resumed, session = await asyncio.to_thread(shake_hands, context, port, session)
    assert resumed
    newer = ca.server(_NAMES)
    mount.write(newer, TryOutCa().certificate)
    await eventually(functools.partial(is_shown, service, newer))
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.to_thread(shake_hands, context, port, session)


def shake_hands(
    context: ssl.SSLContext, port: int, session: ssl.SSLSession | None
) -> tuple[bool, ssl.SSLSession | None]:
    """Return whether a session was resumed, and the one to resume; read what tells of a refusal."""
    with (
        socket.create_connection(("127.0.0.1", port), 5) as plain,
        context.wrap_socket(plain, server_hostname="localhost", session=session) as secure,
    ):
        secure.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
        if not secure.recv(1):
            raise ConnectionError("closed")
        return bool(secure.session_reused), secure.session


def odd_files(ca: TryOutCa) -> Sequence[tuple[str, Pem, bytes, str]]:
    """Return Secrets that can't be right, and what is said of each."""
    good, other = ca.server(_NAMES), ca.server(_NAMES)
    return (
        ("mismatch", Pem(good.certificate, other.private_key), ca.certificate, "is not the key of"),
        ("no key", Pem(good.certificate, b"no"), ca.certificate, "holds no PEM private key"),
        ("no certificate", Pem(b"", good.private_key), ca.certificate, "tls.crt holds no PEM cert"),
        ("no CA", good, b"garbage", "ca.crt holds no PEM certificate"),
        ("expired", expired(ca), ca.certificate, "has expired"),
    )


def expired(ca: TryOutCa) -> Pem:
    """Return a certificate that was good a year ago."""
    pem = ca.server(_NAMES)
    old = x509.load_pem_x509_certificate(pem.certificate)
    year = dt.timedelta(days=366)
    builder = x509.CertificateBuilder(
        issuer_name=old.issuer,
        subject_name=old.subject,
        public_key=old.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=old.not_valid_before_utc - year,
        not_valid_after=old.not_valid_after_utc - year,
        extensions=list(old.extensions),
    )
    signed = builder.sign(ca._key, old.signature_hash_algorithm)  # type: ignore[arg-type]
    return Pem(signed.public_bytes(Encoding.PEM), pem.private_key)


@pytest.mark.parametrize("case", range(5))
async def test_what_can_not_be_right_leaves_the_last_good_files(
    service: Service, mount: Mount, ca: TryOutCa, case: int
) -> None:
    """It is said once, the server goes on with what it had, and takes the next good files."""
    before = await serial_shown(service)
    _, server, client_ca, words = odd_files(ca)[case]
    with capture_logs() as logs:
        mount.write(server, client_ca)
        await eventually(functools.partial(_is_told, logs))
        await asyncio.sleep(0.3)
        assert await serial_shown(service) == before
        assert await gets_in(service, ca.caller(OPERATOR))
        newer = ca.server(_NAMES)
        mount.write(newer, ca.certificate)
        await eventually(functools.partial(is_shown, service, newer))
    told = [line for line in logs if line["event"] == "certificates not replaced"]
    assert [words in line["cause"] for line in told] == [True]
    assert [line["log_level"] for line in told] == ["error"]
    assert "PRIVATE KEY" not in str(logs)


async def _is_told(logs: list[Any]) -> bool:
    return any(line["event"] == "certificates not replaced" for line in logs)


async def test_files_that_come_one_after_another(
    service: Service, ca: TryOutCa, mount: Mount
) -> None:
    """A certificate whose key comes a moment later is no alarm."""
    newer = ca.server(_NAMES)
    files = service.app.edge.tls_files
    assert files is not None
    with capture_logs() as logs:
        mount.settings["certificate_file"].write_bytes(newer.certificate)
        files.look()
        mount.settings["private_key_file"].write_bytes(newer.private_key)
        await eventually(functools.partial(is_shown, service, newer))
    assert not await _is_told(logs)


async def test_the_port_for_tokens_shows_the_new_certificate_too(
    tmp_path: Path, mount: Mount, ca: TryOutCa
) -> None:
    """All ports have one certificate."""
    section = jwt_section(tmp_path, Issuer(), listen="127.0.0.1:0")
    service = Service(tmp_path, server={"tls": mount.settings, "jwt": section})
    service._ca = ca
    async with service:
        newer = ca.server(_NAMES)
        mount.write(newer, ca.certificate)
        service.app.server.port = service.app.server.token_port
        await eventually(functools.partial(is_shown, service, newer))
        failure = await failure_of((await service.connect(None)).venues.ListVenues(_LIST))
        assert failure.reason == "CALLER_UNPROVED"


def test_the_end_of_a_certificate_is_said_at_the_start_and_each_day(
    mount: Mount, ca: TryOutCa
) -> None:
    """In time as a fact, in its last two weeks as a warning, and then as an error."""
    clock = FakeClock(time_us=int(dt.datetime.now(dt.UTC).timestamp() * 1_000_000))
    files = TlsFiles(TlsConfig(**mount.settings), clock)
    expected = x509.load_pem_x509_certificate(ca.server(_NAMES).certificate).not_valid_after_utc
    assert abs(files.expire_time - expected) < dt.timedelta(minutes=1)
    said = []
    for days in (0, 350, 1, 14, 1):
        clock.advance(days * 86_400_000)
        with capture_logs() as logs:
            for _ in range(3):
                files.look()
        said.append([(line["log_level"], line["days_left"]) for line in logs])
    assert said == [
        [],
        [("info", 14)],
        [("warning", 13)],
        [("error", -1)],
        [("error", -2)],
    ]
