"""The configuration: one TOML file, overridden by `PRIVYSEAL__SECTION__KEY`, read strictly.

Secrets are never in it, only paths of files that hold them.
"""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, model_validator

from privyseald.audit_config import AuditConfig
from privyseald.config_error import ConfigInvalid
from privyseald.config_section import (
    Address,
    Milliseconds,
    Section,
    TimeOut,
    Url,
    VaultPath,
    is_open,
)
from privyseald.identity_config import JwtConfig, UnixSocketConfig
from privyseald.state_config import StateConfig
from privyseald.tracing_config import TracingConfig
from privyseald.vault_config import VaultConfig

ENVIRONMENT_PREFIX = "PRIVYSEAL__"
# A shared state gives no nonce that is more than 5 s ahead of its own clock: the rest is for
# bursts, and for clocks of servers that differ.
LONGEST_SHARED_OFFSET_MS = 3_000
_STORE_TRIES_MS = 60_000
_LOOPBACK = frozenset({"127.0.0.1", "[::1]", "localhost"})


class TlsConfig(Section):
    """The server's certificate and the CA that signs callers' certificates, as PEM files.

    Without that CA no caller has a certificate, and all bring a token.
    """

    certificate_file: Path
    private_key_file: Path
    client_ca_file: Path | None = None


class ServerConfig(Section):
    """Where to listen, and how to stop."""

    listen: Address = "127.0.0.1:7443"
    ops_listen: Address = "127.0.0.1:7444"
    http_ops_listen: Address | Literal["off"] = "127.0.0.1:7446"
    tls: TlsConfig | None = None
    jwt: JwtConfig | None = None
    unix_socket: UnixSocketConfig | None = None
    allow_plaintext_on_loopback: bool = False
    reflection: bool = False
    workers: Annotated[int, Field(ge=1, le=64)] = 1
    max_concurrent_rpcs: Annotated[int, Field(ge=1, le=100_000)] = 1_000
    max_concurrent_rpcs_per_caller: Annotated[int, Field(ge=1, le=100_000)] | None = None
    max_streams: Annotated[int, Field(ge=1, le=100_000)] = 1_000
    max_message_bytes: Annotated[int, Field(ge=1_024, le=16_777_216)] = 1_048_576
    max_connection_age_ms: Annotated[int, Field(ge=1_000, le=86_400_000)] = 300_000
    drain_delay_ms: Milliseconds = 5_000
    grace_ms: Milliseconds = 20_000

    @model_validator(mode="after")
    def _is_safe(self) -> Self:
        if self.tls is None:
            if not self.allow_plaintext_on_loopback:
                raise ValueError(
                    "set server.tls (certificate_file, private_key_file, client_ca_file); to try "
                    "things out without TLS set server.allow_plaintext_on_loopback = true"
                )
            if self.listen.rpartition(":")[0] not in _LOOPBACK:
                raise ValueError(
                    "server.listen must be a loopback address, such as 127.0.0.1:7443, "
                    "as long as there is no server.tls"
                )
        elif self.allow_plaintext_on_loopback:
            raise ValueError("server.allow_plaintext_on_loopback contradicts server.tls; drop one")
        return self

    @model_validator(mode="after")
    def _can_prove_callers(self) -> Self:
        if self.jwt is None:
            if self.tls is not None and self.tls.client_ca_file is None:
                raise ValueError(
                    "server.tls.client_ca_file is missing: the CA that signs callers' "
                    "certificates; or set server.jwt, for callers that bring a token"
                )
            return self
        if self.tls is None:
            raise ValueError(
                "server.jwt needs server.tls: in plaintext anybody on the way could take a token"
            )
        asks = self.tls.client_ca_file is not None
        if not asks and self.jwt.listen is not None:
            raise ValueError(
                "server.jwt.listen is for tokens beside client certificates, and without "
                "server.tls.client_ca_file server.listen asks for none; drop server.jwt.listen"
            )
        if asks and self.jwt.listen is None and self.jwt.with_certificate == "refuse":
            raise ValueError(
                "no token would ever count: server.listen asks for a client certificate. Set "
                "server.jwt.listen (a port that asks for none), or server.jwt.with_certificate = "
                "'token', or drop server.tls.client_ca_file"
            )
        return self

    @model_validator(mode="after")
    def _has_one_owner_of_the_socket(self) -> Self:
        if self.unix_socket is not None and self.workers > 1:
            raise ValueError(
                f"server.workers = {self.workers} can't share server.unix_socket: a socket has "
                "one owner; drop it, or set server.workers = 1"
            )
        return self


class StoreConfig(Section):
    """Where keys live: `embedded:///path/store.db` or `vault://mount/prefix`."""

    url: Annotated[str, Field(pattern=r"^(embedded:///|vault://)[A-Za-z0-9._/-]+$")]
    key_file: Path | None = None
    passphrase_file: Path | None = None
    custody: Literal["kv", "transit", "transit-where-possible"] = "kv"
    transit_mount: VaultPath = "transit"
    soft_ttl_ms: Milliseconds = 60_000
    hard_ttl_ms: Milliseconds = 900_000

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.is_embedded and (self.key_file is None) == (self.passphrase_file is None):
            raise ValueError(
                "an embedded store needs one of store.key_file and store.passphrase_file; "
                "'privyseal init' makes a key file"
            )
        if self.is_embedded and self.custody != "kv":
            raise ValueError(
                f"store.custody '{self.custody}' needs Vault's transit engine: keep the keys in "
                "Vault (store.url = 'vault://mount/prefix'), or leave store.custody out"
            )
        if self.soft_ttl_ms > self.hard_ttl_ms:
            raise ValueError("store.soft_ttl_ms must not be above store.hard_ttl_ms")
        return self

    @property
    def is_embedded(self) -> bool:
        """Whether the store is a file of our own."""
        return self.url.startswith("embedded:")

    @property
    def path(self) -> Path:
        """The file of an embedded store."""
        return Path(urlsplit(self.url).path)

    @property
    def mount_and_prefix(self) -> tuple[str, str]:
        """The KV v2 mount and the path below it."""
        mount, _, prefix = self.url.removeprefix("vault://").strip("/").partition("/")
        return mount, prefix


class HoldsConfig(Section):
    """How old this server's view of the holds may be before it stops to sign, and the file that
    it keeps them in for the time when the shared state forgets.
    """

    max_age_ms: Annotated[int, Field(ge=500, le=60_000)] = 2_000
    path: Path | None = None


class EscrowConfig(Section):
    """Where keys that a venue issued wait, sealed, while the store is away."""

    path: Path | None = None


class PolicyConfig(Section):
    """The file that says who may do what."""

    file: Path


class OutboundConfig(Section):
    """Requests to venues, for logins and key creation."""

    timeout_ms: TimeOut = 10_000
    connect_timeout_ms: TimeOut = 3_000


class LogConfig(Section):
    """The service's own log. `auto` is text on a terminal and JSON elsewhere."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "text"] = "auto"


class VenueConfig(Section):
    """What may be set of a venue: base URLs by the names of its environments, and by how much
    its clock is ahead of ours, or `estimate` to ask it.
    """

    base_urls: dict[str, Url] = Field(default_factory=dict)
    allow_plaintext: bool = False
    clock_offset_ms: Annotated[int, Field(ge=-60_000, le=60_000)] | Literal["estimate"] = 0
    max_clock_offset_ms: Annotated[int, Field(ge=0, le=60_000)] = 5_000

    @model_validator(mode="after")
    def _is_encrypted(self) -> Self:
        for name, url in self.base_urls.items():
            if is_open(url) and not self.allow_plaintext:
                raise ValueError(
                    f"base_urls.{name} is not encrypted: signed requests and sessions would cross "
                    "the network in clear. Use https://, or set allow_plaintext = true beside it, "
                    "for a sandbox on another host"
                )
        return self


class Config(Section):
    """All of it."""

    server: ServerConfig
    store: StoreConfig
    state: StateConfig
    policy: PolicyConfig
    vault: VaultConfig | None = None
    escrow: EscrowConfig = EscrowConfig()
    audit: AuditConfig = AuditConfig()
    holds: HoldsConfig = HoldsConfig()
    outbound: OutboundConfig = OutboundConfig()
    log: LogConfig = LogConfig()
    tracing: TracingConfig = TracingConfig()
    venues: dict[str, VenueConfig] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _has_vault(self) -> Self:
        if not self.store.is_embedded and self.vault is None:
            raise ValueError("store.url names Vault: add a section [vault] with its address")
        return self

    @model_validator(mode="after")
    def _has_room_for_escrow(self) -> Self:
        if self.escrow.path is None and self.state.path is None:
            raise ValueError("set escrow.path, a directory on a disk that outlives the process")
        return self

    @model_validator(mode="after")
    def _can_share(self) -> Self:
        if self.server.workers == 1:
            return self
        if self.state.is_embedded:
            raise ValueError(
                f"server.workers = {self.server.workers} needs a state that they share: set "
                "state.url = 'valkey://host:6379/0', or server.workers = 1"
            )
        if self.store.is_embedded:
            raise ValueError(
                f"server.workers = {self.server.workers} needs a store that they share: keep the "
                "keys in Vault (store.url = 'vault://mount/prefix'), or set server.workers = 1"
            )
        if self.audit.file is None:
            raise ValueError(
                f"server.workers = {self.server.workers} needs audit.file: each worker writes one "
                "of its own beside it, and on standard output their lines would run together"
            )
        if self.vault is not None and self.vault.secret_id_is_wrapped:
            raise ValueError(
                f"server.workers = {self.server.workers} needs a secret id that all can use: a "
                "wrapped one opens once; set vault.secret_id_is_wrapped = false, use another "
                "vault.auth, or set server.workers = 1"
            )
        return self

    @model_validator(mode="after")
    def _has_offsets_that_can_be_shared(self) -> Self:
        for name, venue in self.venues.items():
            offset_ms = venue.clock_offset_ms
            if self.state.is_embedded or offset_ms == "estimate":
                continue
            if offset_ms > LONGEST_SHARED_OFFSET_MS:
                raise ValueError(
                    f"venues.{name}.clock_offset_ms is above {LONGEST_SHARED_OFFSET_MS}, and a "
                    "shared state gives no nonces so far ahead; set this machine's clock right"
                )
        return self

    @property
    def escrow_path(self) -> Path:
        """The escrow directory: beside the state's file, unless it is named."""
        if self.escrow.path is not None:
            return self.escrow.path
        assert self.state.path is not None, "checked above"  # noqa: S101
        return self.state.path.parent / "escrow"

    @property
    def holds_path(self) -> Path:
        """The file of holds: beside the state's file or the escrow directory, unless named."""
        if self.holds.path is not None:
            return self.holds.path
        beside = self.escrow_path if self.state.path is None else self.state.path
        return beside.parent / "holds.json"

    @property
    def longest_creation_ms(self) -> int:
        """After how long no server works on a CreateKey any more: a venue is asked four times, and
        the store is tried for a while.
        """
        return 4 * self.outbound.timeout_ms + _STORE_TRIES_MS

    def effective(self) -> dict[str, Any]:
        """Return the effective settings, plain; it holds paths of secrets, no secrets."""
        effective: dict[str, Any] = json.loads(self.model_dump_json(exclude_none=True))
        return effective


def load_config(path: Path, environment: Mapping[str, str]) -> Config:
    """Return the configuration. Raises ConfigInvalid naming the setting and the remedy.

    Relative paths in the file are relative to the file.
    """
    try:
        settings = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigInvalid(
            f"{path} can't be read; 'privyseal init DIRECTORY' writes a configuration to begin with"
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigInvalid(f"{path} is not TOML: {error}") from error
    _override(settings, environment)
    _anchor(settings, path.resolve().parent)
    try:
        return Config.model_validate(settings)
    except ValidationError as error:
        place, mistake = _first(error)
        variable = ENVIRONMENT_PREFIX + place.replace(".", "__").upper()
        source = variable if variable in environment else path
        raise ConfigInvalid(f"{source}: {mistake}") from error


def _override(settings: dict[str, Any], environment: Mapping[str, str]) -> None:
    for name, text in sorted(environment.items()):
        if not name.startswith(ENVIRONMENT_PREFIX):
            continue
        *sections, key = name.removeprefix(ENVIRONMENT_PREFIX).lower().split("__")
        place = settings
        for section in sections:
            place = place.setdefault(section, {})
            if not isinstance(place, dict):
                raise ConfigInvalid(f"{name}: '{section}' is a setting, not a section")
        place[key] = text


def _anchor(settings: dict[str, Any], directory: Path) -> None:
    for key, value in settings.items():
        if isinstance(value, dict):
            _anchor(value, directory)
        elif isinstance(value, str) and (key in {"path", "file"} or key.endswith("_file")):
            settings[key] = str(directory / value)
        elif key == "url" and isinstance(value, str) and value.startswith("embedded://./"):
            settings[key] = f"embedded://{directory / value.removeprefix('embedded://./')}"


def _first(error: ValidationError) -> tuple[str, str]:
    """Return the setting of the first mistake, and what is to be said of it."""
    mistake = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in mistake["loc"])
    message = mistake["msg"].removeprefix("Value error, ")
    if mistake["type"] == "extra_forbidden":
        return place, f"{place} is no setting; look for a slip of the pen"
    if mistake["type"] == "missing":
        return place, f"{place} is missing"
    return place, f"{place}: {message}" if place else message
