"""Makes what verifies bearer tokens, as the configuration says."""

from contextlib import AsyncExitStack
from pathlib import Path

from privyseald.clock import Clock, SystemClock
from privyseald.config_error import ConfigInvalid
from privyseald.identity_config import IssuerConfig, JwtConfig
from privyseald.outbound.http import HttpOutbound
from privyseald.rpc.identity.issuer import Issuer, IssuerRule, TokenTimes
from privyseald.rpc.identity.key_set_file import KeySetFile
from privyseald.rpc.identity.key_set_url import KeySetUrl
from privyseald.rpc.identity.key_source import KeySource
from privyseald.rpc.identity.tokens import Tokens

_TIMEOUT_MS = 5_000
_CONNECT_TIMEOUT_MS = 2_000
_LONGEST_TOKEN = 16_384


def open_tokens(jwt: JwtConfig | None, clock: Clock, opened: AsyncExitStack) -> Tokens | None:
    """Return it, None where no token is taken; what must be closed goes on the stack.

    Raises ConfigInvalid.
    """
    if jwt is None:
        return None
    times = TokenTimes(jwt.leeway_ms, jwt.max_lifetime_ms)
    issuers = [
        Issuer(_rule(alias, issuer), _source(alias, issuer, clock, opened), times)
        for alias, issuer in jwt.issuers.items()
    ]
    return Tokens(issuers, clock, jwt.max_token_bytes)


def check_key_sets(jwt: JwtConfig | None) -> None:
    """Read the key sets that are files. Raises ConfigInvalid."""
    for alias, issuer in jwt.issuers.items() if jwt else ():
        if issuer.jwks_file is not None:
            KeySetFile(alias, issuer.jwks_file, SystemClock())


def _rule(alias: str, config: IssuerConfig) -> IssuerRule:
    return IssuerRule(
        alias,
        config.issuer,
        config.audience,
        frozenset(config.algorithms),
        config.caller_claim,
        config.claims,
    )


def _source(alias: str, config: IssuerConfig, clock: Clock, opened: AsyncExitStack) -> KeySource:
    if config.jwks_file is not None:
        return KeySetFile(alias, config.jwks_file, clock)
    assert config.jwks_url is not None, "checked when it was read"  # noqa: S101
    outbound = HttpOutbound(
        timeout_ms=_TIMEOUT_MS,
        connect_timeout_ms=_CONNECT_TIMEOUT_MS,
        clock=clock,
        ca_file=config.jwks_ca_file,
        setting=f"server.jwt.issuers.{alias}.jwks_ca_file",
    )
    opened.push_async_callback(outbound.close)
    file = config.jwks_token_file
    read = None if file is None else lambda: _read_token(file)
    return KeySetUrl(alias, config.jwks_url, outbound, clock, read)


def _read_token(file: Path) -> str:
    """Return the token that the issuer itself wants to see, as it is now: it is renewed in place.

    Raises ConfigInvalid.
    """
    try:
        text = file.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigInvalid("jwks_token_file can't be read; give a file with a token") from error
    if not text.isprintable() or not 0 < len(text) <= _LONGEST_TOKEN:
        raise ConfigInvalid("jwks_token_file holds no token")
    return text
