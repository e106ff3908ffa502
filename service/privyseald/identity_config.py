"""The sections `server.jwt` and `server.unix_socket`: callers without a client certificate."""

from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from privyseald.config_section import Address, Section, Url

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
# What fits `sun_path` of sockaddr_un on Linux, with its last zero (man 7 unix).
_LONGEST_PATH = 107

_Name = Annotated[str, Field(pattern=r"^[\x21-\x7e]{1,256}$")]
_Word = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
_Alias = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,30}$")]
# Never `none`, and never HS*: a key that verifies must not be one that signs.
_Algorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"
]


class IssuerConfig(Section):
    """Who issues tokens, for whom they must be, and where the keys that verify them are.

    `caller_claim` is the claim that names the caller. `claims` are those that conditions of
    rules may see: a name for each, and where it stands, either a claim's own name or a JSON
    pointer (RFC 6901) such as `/kubernetes.io/namespace`.
    """

    issuer: _Name
    audience: _Name
    algorithms: Annotated[tuple[_Algorithm, ...], Field(min_length=1)] = (
        "RS256",
        "ES256",
        "EdDSA",
    )
    jwks_file: Path | None = None
    jwks_url: Url | None = None
    jwks_ca_file: Path | None = None
    jwks_token_file: Path | None = None
    caller_claim: _Name = "sub"
    claims: Annotated[dict[_Word, _Name], Field(max_length=16)] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _has_keys(self) -> Self:
        if (self.jwks_file is None) == (self.jwks_url is None):
            raise ValueError("needs one of jwks_file and jwks_url: the keys that verify its tokens")
        if self.jwks_url is None:
            if self.jwks_ca_file or self.jwks_token_file:
                raise ValueError("jwks_ca_file and jwks_token_file go with jwks_url")
            return self
        parts = urlsplit(self.jwks_url)
        if parts.scheme != "https" and parts.hostname not in _LOOPBACK:
            raise ValueError(
                "jwks_url must be https: whoever can change the answer on its way names any caller"
            )
        return self


class JwtConfig(Section):
    """Bearer tokens, in the metadata `authorization`, over TLS.

    `listen` is a port that asks for no client certificate. Where a certificate comes too,
    `with_certificate` says whether the token names the caller or the RPC is refused.
    """

    issuers: Annotated[dict[_Alias, IssuerConfig], Field(min_length=1)]
    listen: Address | None = None
    with_certificate: Literal["refuse", "token"] = "refuse"
    leeway_ms: Annotated[int, Field(ge=0, le=30_000)] = 10_000
    max_lifetime_ms: Annotated[int, Field(ge=60_000, le=86_400_000)] = 14_400_000
    max_token_bytes: Annotated[int, Field(ge=256, le=12_288)] = 8_192

    @model_validator(mode="after")
    def _has_no_twins(self) -> Self:
        names = [issuer.issuer for issuer in self.issuers.values()]
        if len(set(names)) != len(names):
            raise ValueError(
                "two of server.jwt.issuers have the same issuer, so nobody could say which of "
                "them a token is from; drop one"
            )
        return self


class UnixSocketConfig(Section):
    """A Unix socket: whoever can open it is `caller`. The file's permissions are the proof."""

    path: Path
    caller: _Name
    mode: Literal["0600", "0660"] = "0600"

    @model_validator(mode="after")
    def _is_safe(self) -> Self:
        if len(str(self.path).encode()) > _LONGEST_PATH:
            raise ValueError(f"path is longer than {_LONGEST_PATH} bytes, which no socket's may be")
        if self.caller.startswith("jwt:"):
            raise ValueError("caller begins with 'jwt:', which names those who bring a token")
        return self
