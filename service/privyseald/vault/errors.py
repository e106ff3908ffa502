"""From the failures of hvac and requests to ours. Their text stays here: it holds paths."""

from hvac.exceptions import (
    Forbidden,
    InvalidPath,
    InvalidRequest,
    RateLimitExceeded,
    Unauthorized,
    VaultDown,
    VaultError,
    VaultNotInitialized,
)
from requests.exceptions import RequestException, SSLError, Timeout

from privyseald.errors import PrivysealError, SecretStoreSealed, SecretStoreUnreachable

RETRY_MS = 1_000
_BUSY_RETRY_MS = 5_000


class VaultRefusal(Exception):
    """Vault answered, and refused; the root of what only this package and its stores see."""


class PathMissing(VaultRefusal):
    """Vault holds nothing at the path, or only a deleted version."""


class VersionMismatch(VaultRefusal):
    """The path does not hold the version that a check-and-set write asked for."""


class RequestRefused(VaultRefusal):
    """Vault takes the request for wrong (400)."""


class TokenRefused(VaultRefusal):
    """Vault said 403: the token is dead, or its policy does not allow this."""


Failure = PrivysealError | VaultRefusal


def translate(error: VaultError | RequestException) -> Failure:
    """Return our failure for theirs. What has no name of its own counts as unreachable."""
    if isinstance(error, RequestException):
        return _translate_transport(error)
    refusal = _refusal(error)
    if refusal is not None:
        return refusal
    if isinstance(error, VaultNotInitialized) or (
        isinstance(error, VaultDown) and (_says(error, "sealed") or _says(error, "initialized"))
    ):
        return SecretStoreSealed(
            "Vault is sealed or not initialised; an operator must unseal it",
            retry_after_ms=RETRY_MS,
        )
    if isinstance(error, RateLimitExceeded):
        return SecretStoreUnreachable(
            "Vault wants fewer requests; an operator may raise its rate limit quota",
            retry_after_ms=_BUSY_RETRY_MS,
        )
    return SecretStoreUnreachable(
        "Vault answers with a fault of its own; an operator must look at Vault's log",
        retry_after_ms=RETRY_MS,
    )


def answer_malformed() -> SecretStoreUnreachable:
    """Return the failure for an answer that Vault would not give."""
    return SecretStoreUnreachable(
        "what answers at vault.address does not answer as Vault does; correct the address, or "
        "look at the proxy between",
        retry_after_ms=RETRY_MS,
    )


def _translate_transport(error: RequestException) -> SecretStoreUnreachable:
    if isinstance(error, SSLError):
        return SecretStoreUnreachable(
            "Vault's TLS certificate is not trusted; set vault.ca_file to its authority's "
            "certificate and vault.address to a name in the certificate",
            retry_after_ms=RETRY_MS,
        )
    if isinstance(error, Timeout):
        return SecretStoreUnreachable(
            "Vault did not answer within vault.timeout_ms; try again later",
            retry_after_ms=RETRY_MS,
        )
    return SecretStoreUnreachable(
        "Vault can't be reached; an operator must see to vault.address and the network",
        retry_after_ms=RETRY_MS,
    )


def _refusal(error: VaultError) -> Failure | None:
    """Return what Vault refused; nothing when it could not answer at all."""
    if isinstance(error, Forbidden | Unauthorized):
        return TokenRefused()
    if isinstance(error, InvalidRequest):
        return VersionMismatch() if _says(error, "check-and-set") else RequestRefused()
    if not isinstance(error, InvalidPath):
        return None
    if _says(error, "no handler for route"):
        return SecretStoreUnreachable(
            "Vault has no secrets engine at the mount of store.url; "
            "enable KV version 2 there, or correct store.url",
            retry_after_ms=_BUSY_RETRY_MS,
        )
    return PathMissing()


def _says(error: VaultError, word: str) -> bool:
    return word in (error.text or "")
