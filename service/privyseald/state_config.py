"""The section `state`: what replicas share, and how to reach it."""

import re
from enum import Enum
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from privyseald.config_section import Section, TimeOut

_LOOPBACK = frozenset({"127.0.0.1", "[::1]", "localhost"})
_HOST = r"(?:[A-Za-z0-9._-]+|\[[0-9a-fA-F:.]+\])(?::[0-9]{1,5})?"
_URL = re.compile(
    r"(?P<scheme>valkeys?|rediss?)(?:\+(?P<topology>sentinel|cluster))?://"
    rf"(?P<hosts>{_HOST}(?:,{_HOST})*)(?P<path>(?:/[A-Za-z0-9_.-]*)*)"
)
_PORT = 6379
_SENTINEL_PORT = 26379


class Topology(Enum):
    """What stands behind the addresses of the URL."""

    SERVER = ""
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


def _url(text: str) -> str:
    if text == "embedded":
        return text
    # Not quoted: a URL that is not understood may hold a password.
    if "@" in text:
        raise ValueError("holds a password: use state.username and state.password_file instead")
    match = _URL.fullmatch(text)
    if match is None:
        raise ValueError(
            "must be 'embedded', valkey://host:6379/0, valkeys://… for TLS, "
            "valkey+sentinel://host:26379,host:26379/name/0 or valkey+cluster://host:6379"
        )
    if any(port > 65_535 for _, port in _addresses(match)):
        raise ValueError("has a port above 65535")
    topology, path = match["topology"] or "", match["path"].strip("/").split("/")
    if topology == "cluster" and path != [""]:
        raise ValueError("names a database, but a cluster has one only: end it after the hosts")
    if topology == "sentinel":
        if path[0] == "" or path[0].isdigit():
            raise ValueError(
                "lacks the name under which the sentinels know the primary: "
                "valkey+sentinel://host:26379/NAME/0"
            )
        path = path[1:] or [""]
    if topology == "" and "," in match["hosts"]:
        raise ValueError("names several hosts: use valkey+sentinel:// or valkey+cluster://")
    if len(path) > 1 or not re.fullmatch(r"[0-9]{0,3}", path[0]):
        raise ValueError("must end with the database's number, such as /0")
    return text


class StateConfig(Section):
    """`embedded` serves one process; any other is a Valkey or Redis that all replicas share.

    The scheme says how to reach it: `valkey://` in plaintext, `valkeys://` by TLS, and
    `+sentinel` or `+cluster` behind either; `redis://` and `rediss://` mean the same.
    """

    url: Annotated[str, AfterValidator(_url)] = "embedded"
    path: Path | None = None
    prefix: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,30}$")] = "privyseal"
    username: Annotated[str, Field(pattern=r"^[!-~]{1,128}$")] | None = None
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
    def topology(self) -> Topology:
        """What the addresses are of."""
        return Topology(self._match["topology"] or "")

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """Host and port of each address in the URL."""
        return _addresses(self._match)

    @property
    def service(self) -> str:
        """The name under which sentinels know the primary."""
        return self._path[0]

    @property
    def db(self) -> int:
        """The number of the database."""
        number = self._path[-1]
        return int(number) if number.isdigit() else 0

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
        if not self.is_tls and (self.ca_file or self.certificate_file):
            raise ValueError(
                "state.ca_file and state.certificate_file are for TLS: use valkeys:// in state.url"
            )
        if self.username is not None and self.password_file is None:
            raise ValueError("state.username needs state.password_file")
        if self.sentinel_password_file and self.topology is not Topology.SENTINEL:
            raise ValueError("state.sentinel_password_file is for valkey+sentinel:// alone")
        return self

    @property
    def _is_on_loopback(self) -> bool:
        hosts = self._match["hosts"].split(",")
        return all(_parted(host)[0] in _LOOPBACK for host in hosts)

    @property
    def _path(self) -> list[str]:
        return self._match["path"].strip("/").split("/")

    @property
    def _match(self) -> re.Match[str]:
        match = _URL.fullmatch(self.url)
        assert match is not None, "checked when it was read"  # noqa: S101
        return match


def _addresses(match: re.Match[str]) -> tuple[tuple[str, int], ...]:
    standard = _SENTINEL_PORT if match["topology"] == "sentinel" else _PORT
    parted = (_parted(host) for host in match["hosts"].split(","))
    return tuple((host.strip("[]"), int(port) if port else standard) for host, port in parted)


def _parted(address: str) -> tuple[str, str]:
    host, _, port = address.rpartition(":")
    return (host, port) if host and port.isdigit() else (address, "")
