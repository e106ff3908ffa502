"""The section `state`: what replicas share, and how to reach it."""

from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from privyseald.config_section import Section, TimeOut

_LOOPBACK = frozenset({"127.0.0.1", "[::1]", "localhost"})
_HOST = r"(?:[A-Za-z0-9.-]+|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?"


class StateConfig(Section):
    """`embedded` serves one process; any other is a Valkey or Redis that all replicas share.

    The scheme says how to reach it: `valkey://` in plaintext, `valkeys://` by TLS, and
    `+sentinel` or `+cluster` behind either; `redis://` and `rediss://` mean the same.
    """

    url: Annotated[
        str,
        Field(
            pattern=rf"^(embedded|(valkeys?|rediss?)(\+sentinel|\+cluster)?://{_HOST}(,{_HOST})*"
            r"(/[A-Za-z0-9_.-]+)?(/[0-9]{1,3})?)$"
        ),
    ] = "embedded"
    path: Path | None = None
    prefix: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,30}$")] = "privyseal"
    username: str | None = None
    password_file: Path | None = None
    sentinel_password_file: Path | None = None
    ca_file: Path | None = None
    certificate_file: Path | None = None
    private_key_file: Path | None = None
    allow_plaintext: bool = False
    timeout_ms: TimeOut = 1_000

    @property
    def is_embedded(self) -> bool:
        """Whether the state is this process's own."""
        return self.url == "embedded"

    @property
    def is_tls(self) -> bool:
        """Whether the state is reached by TLS."""
        return self.url.startswith(("valkeys", "rediss"))

    @property
    def hosts(self) -> tuple[str, ...]:
        """The addresses of the URL, each with its port if it names one."""
        return tuple(urlsplit(self.url).netloc.split(","))

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.is_embedded:
            if self.path is None:
                raise ValueError("state.path is missing: the file that nonces are kept in")
            return self
        if not self.is_tls and not self.allow_plaintext and not self._is_on_loopback:
            raise ValueError(
                "state.url is not encrypted: use valkeys:// (TLS), or set "
                "state.allow_plaintext = true if nobody else can reach that network"
            )
        if (self.certificate_file is None) != (self.private_key_file is None):
            raise ValueError("state.certificate_file and state.private_key_file go together")
        return self

    @property
    def _is_on_loopback(self) -> bool:
        return all(_host_of(host) in _LOOPBACK for host in self.hosts)


def _host_of(address: str) -> str:
    host, _, port = address.rpartition(":")
    return host if host and port.isdigit() else address
