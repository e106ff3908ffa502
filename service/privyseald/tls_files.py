"""The server's certificate, its key and the callers' CA, read and checked before they are used."""

from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from privyseald.config import TlsConfig
from privyseald.config_error import ConfigInvalid
from privyseald.private_file import read_private_file
from privyseald.rpc.listener import Tls


def read_tls(tls: TlsConfig | None) -> Tls | None:
    """Return the PEM texts of the config's files. Raises ConfigInvalid."""
    if tls is None:
        return None
    chain, certificate = _read_certificate(tls.certificate_file, "server.tls.certificate_file")
    client_ca, _ = _read_certificate(tls.client_ca_file, "server.tls.client_ca_file")
    setting = "server.tls.private_key_file"
    private_key = read_private_file(tls.private_key_file, setting)
    try:
        public_key = load_pem_private_key(private_key, password=None).public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigInvalid(
            f"{setting}: {tls.private_key_file} holds no PEM private key without a passphrase"
        ) from error
    if public_key != certificate.public_key():
        raise ConfigInvalid(
            f"{setting}: {tls.private_key_file} is not the key of the first certificate in "
            f"{tls.certificate_file}; give the two that belong together"
        )
    return Tls(chain, private_key, client_ca)


def _read_certificate(path: Path, setting: str) -> tuple[bytes, x509.Certificate]:
    """Return the PEM text and its first certificate. Raises ConfigInvalid."""
    try:
        text = path.read_bytes()
        return text, x509.load_pem_x509_certificates(text)[0]
    except OSError as error:
        raise ConfigInvalid(f"{setting}: {path} can't be read ({error.strerror})") from error
    except ValueError as error:
        raise ConfigInvalid(f"{setting}: {path} holds no PEM certificate") from error
