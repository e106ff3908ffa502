"""The server's certificate, its key and the callers' CA: checked before they are used, and read
again when they change.
"""

import asyncio
import datetime as dt
from pathlib import Path

import structlog
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from privyseald.clock import Clock
from privyseald.config import TlsConfig
from privyseald.config_error import ConfigInvalid
from privyseald.file_stamp import FileStamp, stamp_files
from privyseald.private_file import read_private_file
from privyseald.rpc.listener import LiveTls, Tls

_PAUSE_S = 1.0
_DAY_MS = 86_400_000
_SOON = dt.timedelta(days=14)
_log = structlog.get_logger("privyseald.tls")


class TlsFiles:
    """Brings into force what the files hold, from the next handshake on.

    What can't be right leaves the last good certificate, key and CA in force, and says so once a
    change. `expire_time` is the end of the certificate in force, `ca_expire_time` of the callers'
    CA; None where there is none.
    """

    def __init__(self, config: TlsConfig, clock: Clock) -> None:
        """Read the files. Raises ConfigInvalid."""
        self._config = config
        self._clock = clock
        self._stamp = self._look()
        # What was seen once and could not be right; the other files may be on their way.
        self._odd: FileStamp | None = None
        self.live = LiveTls(read_tls(config))
        self.expire_time = _end_of(self.live.current)
        self.ca_expire_time = _end_of_ca(self.live.current)
        self._said_ms = 0

    @classmethod
    def open(cls, config: TlsConfig | None, clock: Clock) -> "TlsFiles | None":
        """Read the files; None where there is no TLS. Raises ConfigInvalid."""
        return None if config is None else cls(config, clock)

    async def run(self) -> None:
        """Say when the certificate ends, and look at the files every second, until cancelled."""
        self._say_expiry()
        while True:
            await asyncio.sleep(_PAUSE_S)
            await asyncio.to_thread(self.look)

    def look(self) -> None:
        """Bring into force what the files hold, if they changed."""
        if self._clock.monotonic_ms() - self._said_ms >= _DAY_MS:
            self._say_expiry()
        stamp = self._look()
        if stamp == self._stamp:
            return
        try:
            tls, expire_time = self._read()
        except ConfigInvalid as error:
            if stamp != self._odd:
                self._odd = stamp
                return
            self._stamp = stamp
            _log.error(
                "certificates not replaced",
                cause=str(error),
                advice="the last good ones stay in force; put the right files there",
                expire_time=self.expire_time.isoformat(),
            )
            return
        if self._look() != stamp:
            # They changed while they were read, and may not belong together.
            return
        self._stamp, self._odd = stamp, None
        if tls == self.live.current:
            return
        self.live.replace(tls)
        self.expire_time, self.ca_expire_time = expire_time, _end_of_ca(tls)
        _log.info("certificates replaced")
        self._say_expiry()

    def _read(self) -> tuple[Tls, dt.datetime]:
        """Return what the files hold. Raises ConfigInvalid, also where it would be a step back."""
        tls = read_tls(self._config)
        expire_time = _end_of(tls)
        if expire_time <= self._now < self.expire_time:
            raise ConfigInvalid(
                f"server.tls.certificate_file: {self._config.certificate_file} has expired"
            )
        return tls, expire_time

    def _say_expiry(self) -> None:
        self._said_ms = self._clock.monotonic_ms()
        left = self.expire_time - self._now
        say = _log.info if left > _SOON else _log.warning if left > dt.timedelta() else _log.error
        say(
            "certificate in force" if left > dt.timedelta() else "certificate has expired",
            expire_time=self.expire_time.isoformat(),
            days_left=left.days,
        )

    @property
    def _now(self) -> dt.datetime:
        return dt.datetime.fromtimestamp(self._clock.time_us() / 1_000_000, dt.UTC)

    def _look(self) -> FileStamp:
        config = self._config
        paths = (config.certificate_file, config.private_key_file, config.client_ca_file)
        return stamp_files(path for path in paths if path is not None)


def read_tls(tls: TlsConfig) -> Tls:
    """Return the PEM texts of the config's files. Raises ConfigInvalid."""
    chain, certificate = _read_certificate(tls.certificate_file, "server.tls.certificate_file")
    client_ca = None
    if tls.client_ca_file is not None:
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


def _end_of(tls: Tls) -> dt.datetime:
    """Return when the chain is good no more."""
    chain = x509.load_pem_x509_certificates(tls.certificate)
    return min(certificate.not_valid_after_utc for certificate in chain)


def _end_of_ca(tls: Tls) -> dt.datetime | None:
    """Return when the last of the callers' CAs is good no more: others of a roll-over may be."""
    if tls.client_ca is None:
        return None
    authorities = x509.load_pem_x509_certificates(tls.client_ca)
    return max(certificate.not_valid_after_utc for certificate in authorities)


def _read_certificate(path: Path, setting: str) -> tuple[bytes, x509.Certificate]:
    """Return the PEM text and its first certificate. Raises ConfigInvalid."""
    try:
        text = path.read_bytes()
        return text, x509.load_pem_x509_certificates(text)[0]
    except OSError as error:
        raise ConfigInvalid(f"{setting}: {path} can't be read ({error.strerror})") from error
    except ValueError as error:
        raise ConfigInvalid(f"{setting}: {path} holds no PEM certificate") from error
