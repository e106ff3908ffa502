"""What requests to Vault are called where they are counted: few names, and no path."""

from privyseald.calls import outcome_of
from privyseald.errors import SecretStoreForbidden, SecretStoreSealed, SecretStoreUnreachable
from privyseald.vault.errors import PathMissing, RequestRefused, TokenRefused, VersionMismatch

_VERBS = {
    "get": "read",
    "list": "list",
    "post": "write",
    "compute": "sign",
    "delete": "delete",
}
_OF_TOKENS = {"renew-self": "renew", "revoke-self": "revoke", "lookup-self": "lookup"}
_OUTCOMES: dict[type[BaseException], str] = {
    PathMissing: "missing",
    VersionMismatch: "conflict",
    RequestRefused: "refused",
    TokenRefused: "forbidden",
    SecretStoreForbidden: "forbidden",
    SecretStoreSealed: "sealed",
    SecretStoreUnreachable: "unreachable",
}


def operation_of(verb: str, path: str) -> str:
    """Return what a request does."""
    if path.startswith("auth/"):
        return _OF_TOKENS.get(path.rpartition("/")[2], "login")
    if path.startswith("sys/wrapping/"):
        return "unwrap"
    return "system" if path.startswith("sys/") else _VERBS[verb]


def vault_outcome_of(error: BaseException) -> str:
    """Return what is counted for what a request raised."""
    return _OUTCOMES.get(type(error)) or outcome_of(error)
