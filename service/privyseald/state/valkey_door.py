"""How this service enters a Valkey server: encryption, name and password, and what it looks at
before it trusts the server with anything.

Files are read anew for each connection, so that a password or a certificate can be replaced
while the service runs.
"""

import re
import ssl
from collections.abc import Callable
from pathlib import Path

from privyseald.config_error import ConfigInvalid
from privyseald.file_stamp import FileStamp, stamp_files
from privyseald.private_file import read_private_file
from privyseald.state.valkey_connection import Address, Connection, Reply
from privyseald.state.valkey_failure import Refused
from privyseald.state_config import StateConfig, Topology

_FIELD = re.compile(rb"^([a-z_]+):(.*?)\r?$", re.MULTILINE)
_OLDEST_VALKEY = (7, 2)
_OLDEST_REDIS = (7, 0)
_OLDER = "state.url: the server is older than Valkey 7.2 or Redis 7.0; upgrade it"


class Door:
    """Opens connections as the config says. Each raises Broken, Refused, ConfigInvalid."""

    def __init__(self, config: StateConfig) -> None:
        self._config = config
        self._tls: tuple[FileStamp, ssl.SSLContext] | None = None

    async def enter(
        self, address: Address, on_message: Callable[[bytes], None] | None = None
    ) -> Connection:
        """Return a connection to a server that this service can rely on."""
        config = self._config
        connection = await self._open(address, config.password_file, config.username, on_message)
        try:
            if config.db:
                await connection.call("SELECT", config.db)
            _check(_fields(await connection.call("INFO")))
        except BaseException:
            connection.close()
            raise
        return connection

    async def ask(self, address: Address) -> Connection:
        """Return a connection to one who knows where the primary is."""
        config = self._config
        if config.topology is Topology.SENTINEL:
            return await self._open(address, config.sentinel_password_file)
        return await self._open(address, config.password_file, config.username)

    async def _open(
        self,
        address: Address,
        password_file: Path | None,
        username: str | None = None,
        on_message: Callable[[bytes], None] | None = None,
    ) -> Connection:
        config = self._config
        login: tuple[bytes | str, ...] = ()
        if password_file is not None:
            is_sentinels = password_file == config.sentinel_password_file
            setting = "state.sentinel_password_file" if is_sentinels else "state.password_file"
            password = read_private_file(password_file, setting).strip()
            login = ("AUTH", username or "default", password)
        connection = await Connection.open(address, config.timeout_ms, self._context(), on_message)
        try:
            await connection.call("HELLO", "2", *login, "SETNAME", "privyseal")
        except BaseException as error:
            connection.close()
            if isinstance(error, Refused) and error.code in {"ERR", "NOPROTO"}:
                raise ConfigInvalid(_OLDER) from None
            raise
        return connection

    def _context(self) -> ssl.SSLContext | None:
        """Return what TLS is spoken with, made anew when a file has changed."""
        if not self._config.is_tls:
            return None
        stamp = _stamp(self._config)
        if self._tls is None or self._tls[0] != stamp:
            self._tls = stamp, tls_context(self._config)
        return self._tls[1]


def _stamp(config: StateConfig) -> FileStamp:
    files = (config.ca_file, config.certificate_file, config.private_key_file)
    return stamp_files(file for file in files if file is not None)


def tls_context(config: StateConfig) -> ssl.SSLContext:
    """Return what TLS is spoken with: 1.2 or better, certificate and host name checked."""
    try:
        context = ssl.create_default_context(cafile=config.ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
    except (OSError, ValueError) as error:
        raise ConfigInvalid(
            f"state.ca_file: {config.ca_file} can't be read as PEM certificates; give the "
            "authority that signed the server's certificate"
        ) from error
    if config.certificate_file is not None and config.private_key_file is not None:
        read_private_file(config.private_key_file, "state.private_key_file")
        try:
            context.load_cert_chain(config.certificate_file, config.private_key_file)
        except (OSError, ValueError) as error:
            raise ConfigInvalid(
                "state.certificate_file and state.private_key_file: they can't be read as a PEM "
                "certificate and its key; give the two that belong together"
            ) from error
    return context


def _fields(reply: Reply) -> dict[str, str]:
    text = reply if isinstance(reply, bytes) else b""
    return {name.decode(): value.decode(errors="replace") for name, value in _FIELD.findall(text)}


def _check(fields: dict[str, str]) -> None:
    """Raise ConfigInvalid where the server is too old, or may forget what it was told."""
    if "valkey_version" in fields:
        is_old = _version(fields["valkey_version"]) < _OLDEST_VALKEY
    else:
        is_old = _version(fields.get("redis_version", "")) < _OLDEST_REDIS
    if is_old:
        raise ConfigInvalid(_OLDER)
    policy = fields.get("maxmemory_policy", "noeviction")
    if fields.get("maxmemory", "0") != "0" and policy != "noeviction":
        raise ConfigInvalid(
            f"state.url: the server may throw away what it holds (maxmemory-policy {policy}), "
            "and with it what keeps nonces apart; set maxmemory-policy noeviction there"
        )


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:2])
