"""What a client is made of, checked when it is made."""

import ipaddress
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from privyseal.bearer import AsyncTokenFunction
from privyseal.errors import ConfigurationError
from privyseal.tls import Tls
from privyseal.version import __version__

_HOST_PORT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")
_MAX_MESSAGE = 16 * 1_048_576
_NEVER_MS = 2**31 - 1

OPTIONS: tuple[tuple[str, str | int], ...] = (
    ("grpc.primary_user_agent", f"privyseal-python/{__version__}"),
    ("grpc.lb_policy_name", "round_robin"),
    ("grpc.max_receive_message_length", _MAX_MESSAGE),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.client_idle_timeout_ms", _NEVER_MS),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # How long one attempt to connect may take, whatever the name says.
    ("grpc.min_reconnect_backoff_ms", 5_000),
    ("grpc.dns_min_time_between_resolutions_ms", 1_000),
    ("grpc.enable_http_proxy", 0),
    ("grpc.service_config_disable_resolution", 1),
    # Connections are a client's own, and so is what it knows of those that failed.
    ("grpc.use_local_subchannel_pool", 1),
)


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a client. Raises ConfigurationError naming the first that can't be right."""

    targets: tuple[str, ...]
    tls: Tls | None
    token_file: str | os.PathLike[str] | None
    token: AsyncTokenFunction | None = field(repr=False)
    plaintext: bool
    timeout_s: float
    max_attempts: int

    def __post_init__(self) -> None:
        if not self.targets:
            raise ConfigurationError("target", "give at least one host:port")
        for target in self.targets:
            _check_target(target, among=len(self.targets))
        if self.token_file is not None and self.token is not None:
            raise ConfigurationError("token", "give one of token and token_file")
        if self.plaintext:
            self._check_plaintext()
        elif self.tls is None:
            raise ConfigurationError(
                "tls", "give tls=Tls(ca=…), or plaintext=True for a server on this host"
            )
        elif self.targets[0].startswith("unix:"):
            raise ConfigurationError("tls", "a Unix socket has none; give plaintext=True instead")
        if not (0 < self.timeout_s < math.inf):
            raise ConfigurationError("timeout_s", "give a number of seconds above 0")
        if not (self.max_attempts >= 1):
            raise ConfigurationError("max_attempts", "give 1, for no retries, or more")

    def _check_plaintext(self) -> None:
        if self.tls is not None:
            raise ConfigurationError("plaintext", "give one of tls and plaintext")
        if self.token_file is not None or self.token is not None:
            setting = "token" if self.token_file is None else "token_file"
            raise ConfigurationError(setting, "a token is only sent over TLS; give tls")
        for target in self.targets:
            if not target.startswith("unix:") and not _is_loopback(target):
                raise ConfigurationError(
                    "plaintext",
                    f"{target} is not on this host (localhost, 127.0.0.0/8, [::1] or a Unix "
                    "socket); give tls",
                )

    def options(self) -> tuple[tuple[str, str | int], ...]:
        """Return gRPC's options for a channel."""
        if self.tls is None or not self.tls.server_name:
            return OPTIONS
        return (*OPTIONS, ("grpc.ssl_target_name_override", self.tls.server_name))

    def __str__(self) -> str:
        parts = [", ".join(repr(target) for target in self.targets)]
        parts += [f"tls={self.tls}"] if self.tls else []
        parts += [f"token_file={str(self.token_file)!r}"] if self.token_file is not None else []
        parts += ["token=given"] if self.token is not None else []
        parts += ["plaintext=True"] if self.plaintext else []
        return ", ".join(
            [*parts, f"timeout_s={self.timeout_s:g}, max_attempts={self.max_attempts}"]
        )


def as_targets(target: str | Sequence[str]) -> tuple[str, ...]:
    """Return what was given as one or as several."""
    return (target,) if isinstance(target, str) else tuple(target)


def address(target: str) -> str:
    """Return a target in gRPC's own form."""
    # With its scheme named, no host can be taken for another scheme.
    return target if target.startswith("unix:") else f"dns:///{target}"


def _check_target(target: str, *, among: int) -> None:
    if target.startswith("unix:"):
        if not target.startswith("unix:/") or target.startswith("unix://"):
            raise ConfigurationError("target", f"{target}: write unix:/absolute/path")
        if among > 1:
            raise ConfigurationError("target", "a Unix socket is the only target of its client")
        return
    match = _HOST_PORT.fullmatch(target)
    if match is None or not 1 <= int(match[2]) <= 65535:
        raise ConfigurationError(
            "target", f"{target}: write host:port, [IPv6 address]:port or unix:/absolute/path"
        )


def _is_loopback(target: str) -> bool:
    host = target.rpartition(":")[0].strip("[]")
    if host.lower() == "localhost":
        return True
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return False
    return found == ipaddress.IPv6Address("::1") or (
        isinstance(found, ipaddress.IPv4Address) and found.is_loopback
    )
