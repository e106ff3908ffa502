"""What both gRPC servers have in common: bounds of a connection, TLS, and taking a port."""

from dataclasses import dataclass

import grpc

from privyseald.config_error import ConfigInvalid

# Beyond this gRPC itself refuses a message; below, the pipeline does, with a reason.
_HARD_MESSAGE_LIMIT = 16 * 1_048_576
_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_receive_message_length", _HARD_MESSAGE_LIMIT),
    ("grpc.max_metadata_size", 16_384),
    ("grpc.max_concurrent_streams", 1_000),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    ("grpc.max_connection_age_grace_ms", 30_000),
)


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM texts: the server's chain and private key, and the CA of the clients, if any."""

    certificate: bytes
    private_key: bytes
    client_ca: bytes | None

    def __repr__(self) -> str:
        return "Tls(hidden)"


class LiveTls:
    """The certificate, key and CA that the next handshake uses; connections keep theirs."""

    def __init__(self, tls: Tls) -> None:
        self._current = tls

    @property
    def current(self) -> Tls:
        """What is in force."""
        return self._current

    def replace(self, tls: Tls) -> None:
        """Bring other files' texts into force. Any thread may."""
        self._current = tls

    def credentials(self, *, ask_certificate: bool) -> grpc.ServerCredentials:
        """Return credentials for one port. gRPC for Python either demands a client certificate
        or asks for none.
        """
        given = self._current

        def fetch() -> grpc.ServerCertificateConfiguration | None:
            # Called at each handshake, in a thread of gRPC's and one at a time: nothing is read
            # here. A new configuration has new ticket keys too, so no session of a caller whose
            # CA is gone is resumed.
            nonlocal given
            current = self._current
            if current is given:
                return None
            given = current
            return _configuration(current, ask_certificate=ask_certificate)

        return grpc.dynamic_ssl_server_credentials(
            _configuration(given, ask_certificate=ask_certificate),
            fetch,  # type: ignore[arg-type]  # None is its word for no change
            ask_certificate,
        )


def _configuration(tls: Tls, *, ask_certificate: bool) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(tls.private_key, tls.certificate)],
        root_certificates=tls.client_ca if ask_certificate else None,
    )


def make_server(
    *, share_port: bool = False, max_connection_age_ms: int = 300_000
) -> grpc.aio.Server:
    """Return a server that listens nowhere yet, alone on its port or with others like it. A
    connection that grows older than its time (give or take a tenth) gets no new RPCs.
    """
    own = (
        ("grpc.so_reuseport", int(share_port)),
        ("grpc.max_connection_age_ms", max_connection_age_ms),
    )
    return grpc.aio.server(options=(*own, *_OPTIONS))


def bind(
    setting: str, server: grpc.aio.Server, address: str, credentials: grpc.ServerCredentials | None
) -> int:
    """Have the server listen, in plaintext without credentials, and return the port. Raises
    ConfigInvalid naming the setting.
    """
    try:
        if credentials is None:
            return server.add_insecure_port(address)
        return server.add_secure_port(address, credentials)
    except RuntimeError as error:
        raise port_taken(setting, address) from error


def port_taken(setting: str, address: str) -> ConfigInvalid:
    """Return the refusal of an address that can't be listened on."""
    return ConfigInvalid(
        f"{setting}: {address} can't be listened on; is another program using the port? "
        "Give a free one, or port 0 for any"
    )
