"""From Vault's statuses and the failures of requests to ours. Their text stays here."""

from requests.exceptions import RequestException, SSLError, Timeout

from privyseald.errors import (
    PrivysealError,
    SecretStoreForbidden,
    SecretStoreSealed,
    SecretStoreUnreachable,
)

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


def refusal(status: int, text: str) -> Failure:
    """Return our failure for an answer. A status without a name counts as unreachable."""
    match status:
        case 400:
            return VersionMismatch() if "check-and-set" in text else RequestRefused()
        case 401 | 403:
            return TokenRefused()
        case 404 if "no handler for route" not in text:
            return PathMissing()
    return _fault(status, text)


def _fault(status: int, text: str) -> PrivysealError:
    if status == 404:
        # A verdict, no outage: disabling the mount takes every key away.
        return SecretStoreForbidden(
            "Vault has no engine at the path that was asked for; enable KV version 2 at the "
            "mount of store.url, transit at that of store.transit_mount and the login at that "
            "of vault.auth_mount where they are in use, or correct these settings",
        )
    if status == 429:
        return SecretStoreUnreachable(
            "Vault wants fewer requests; an operator may raise its rate limit quota",
            retry_after_ms=_BUSY_RETRY_MS,
        )
    # A load balancer answers 503 too, with words of its own.
    if status == 501 or (status == 503 and ("sealed" in text or "initialized" in text)):
        return SecretStoreSealed(
            "Vault is sealed or not initialised; an operator must unseal it",
            retry_after_ms=RETRY_MS,
        )
    return SecretStoreUnreachable(
        "Vault answers with a fault of its own; an operator must look at Vault's log",
        retry_after_ms=RETRY_MS,
    )


def denied(capability: str, pattern: str) -> SecretStoreForbidden:
    """Return the failure for what our token's policy does not allow."""
    return SecretStoreForbidden(
        f"Vault's policy denies this service '{capability}' on '{pattern}'; "
        "an operator must grant it",
    )


def answer_malformed() -> SecretStoreUnreachable:
    """Return the failure for an answer that Vault would not give."""
    return SecretStoreUnreachable(
        "what answers at vault.address does not answer as Vault does; correct the address, or "
        "look at the proxy between",
        retry_after_ms=RETRY_MS,
    )


def translate(error: RequestException) -> SecretStoreUnreachable:
    """Return our failure for a request that got no answer."""
    if isinstance(error, SSLError) and "CERTIFICATE_VERIFY_FAILED" not in str(error):
        return SecretStoreUnreachable(
            "no TLS connection to Vault comes about: what answers at vault.address may want a "
            "client certificate, or another than ours; set vault.auth to 'tls-certificate', or "
            "see to vault.client_certificate_file",
            retry_after_ms=RETRY_MS,
        )
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
