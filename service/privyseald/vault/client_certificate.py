"""A client certificate and its key, in two files that somebody keeps fresh."""

import ssl
from pathlib import Path

from privyseald.config_error import ConfigInvalid
from privyseald.errors import SecretStoreForbidden
from privyseald.private_file import read_private_file

_FILES = "vault.client_certificate_file, vault.client_private_key_file"


class ClientCertificate:
    """Loaded at each login. Files that are half written do not disturb what was loaded before."""

    __slots__ = ("_certificate_file", "_private_key_file", "_seen")

    def __init__(self, *, certificate_file: Path, private_key_file: Path) -> None:
        self._certificate_file = certificate_file
        self._private_key_file = private_key_file
        self._seen: tuple[tuple[int, int, int] | None, ...] = ()

    def has_changed(self) -> bool:
        """Whether one of the files is another than the one that was loaded last."""
        return self._look() != self._seen

    def load(self) -> ssl.SSLContext:
        """Return TLS that presents the certificate. Raises SecretStoreForbidden."""
        self._seen = self._look()
        # Without authorities: requests adds those of vault.ca_file, and no others.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            read_private_file(self._private_key_file, "vault.client_private_key_file")
            # Without a passphrase of our own OpenSSL would ask the terminal for one.
            context.load_cert_chain(self._certificate_file, self._private_key_file, lambda: "")
        except ConfigInvalid as error:
            raise SecretStoreForbidden(str(error)) from error
        except OSError:
            pass
        else:
            return context
        raise SecretStoreForbidden(
            f"{_FILES}: they can't be read, are no PEM, have a passphrase, or do not belong "
            "together; an operator must give a certificate and its private key",
        )

    def _look(self) -> tuple[tuple[int, int, int] | None, ...]:
        return tuple(_look(path) for path in (self._certificate_file, self._private_key_file))


def _look(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return (status.st_ino, status.st_mtime_ns, status.st_size)
