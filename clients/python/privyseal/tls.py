"""The PEM files of a client, and their replacement while it runs."""

import os
import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc

from privyseal.errors import ConfigurationError
from privyseal.files import Watched

PemFile = str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM files: the CA of the server, and for mTLS the caller's certificate chain and its private
    key. `server_name` replaces the target's host in the check of the server's certificate.
    """

    ca: PemFile
    certificate: PemFile | None = None
    private_key: PemFile | None = None
    server_name: str = ""


@dataclass(frozen=True, slots=True)
class _Pem:
    ca: bytes
    certificate: bytes | None
    private_key: bytes | None

    def __repr__(self) -> str:
        return "_Pem(hidden)"


class LiveTls:
    """What the files hold, checked; the last that was right stays in force."""

    def __init__(self, tls: Tls) -> None:
        if (tls.certificate is None) != (tls.private_key is None):
            missing = "certificate" if tls.certificate is None else "private_key"
            raise ConfigurationError(
                f"tls.{missing}", "a certificate and its private_key come together; give both"
            )
        self._tls = tls
        paths = (tls.ca, tls.certificate, tls.private_key)
        self._watched = Watched([Path(path) for path in paths if path is not None])
        self._pem = _read(tls)

    def changed(self) -> bool:
        """Whether other PEM texts are in force since this was last asked."""
        if not self._watched.changed():
            return False
        try:
            pem = _read(self._tls)
        except ConfigurationError:
            return False
        if pem == self._pem:
            return False
        self._pem = pem
        return True

    def credentials(self) -> grpc.ChannelCredentials:
        """Return credentials of what is in force."""
        pem = self._pem
        return grpc.ssl_channel_credentials(pem.ca, pem.private_key, pem.certificate)


def _read(tls: Tls) -> _Pem:
    """Return what the files hold. Raises ConfigurationError where that can't be right."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ca = _text("tls.ca", tls.ca)
    try:
        context.load_verify_locations(cadata=ca.decode("ascii"))
    except (ssl.SSLError, ValueError) as error:
        raise ConfigurationError("tls.ca", f"{tls.ca} holds no certificate in PEM") from error
    if tls.certificate is None or tls.private_key is None:
        return _Pem(ca, None, None)
    certificate = _text("tls.certificate", tls.certificate)
    private_key = _text("tls.private_key", tls.private_key)
    try:
        context.load_cert_chain(tls.certificate, tls.private_key, _no_password)
    except (ssl.SSLError, OSError) as error:
        raise ConfigurationError(
            "tls.private_key",
            f"{tls.private_key} is not the private key, in PEM, of the certificate in "
            f"{tls.certificate}",
        ) from error
    return _Pem(ca, certificate, private_key)


def _text(setting: str, path: PemFile) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigurationError(
            setting, f"{path}: {os.strerror(error.errno or 0)}; name a PEM file that can be read"
        ) from error


def _no_password() -> str:
    # Without this OpenSSL would ask for one at the terminal.
    raise ConfigurationError("tls.private_key", "it is encrypted; gRPC takes a plain PEM key")
