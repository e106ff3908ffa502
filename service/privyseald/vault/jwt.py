"""Logging in with a JWT from a file: Vault's Kubernetes method and its JWT method alike."""

from pathlib import Path

from privyseald.config_error import ConfigInvalid
from privyseald.errors import SecretStoreForbidden
from privyseald.vault.answers import read_login
from privyseald.vault.auth import VaultToken
from privyseald.vault.connection import VaultConnection
from privyseald.vault.credential_file import CredentialFile
from privyseald.vault.errors import PathMissing, RequestRefused, TokenRefused


class JwtLogin:
    """Reads the file at each login: the kubelet writes a new token there every hour or so."""

    owns_token = True

    def __init__(self, *, jwt_file: Path, role: str, mount: str = "kubernetes") -> None:
        if not role:
            raise ConfigInvalid("vault.role: is empty; give the role that Vault knows us by")
        self._jwt = CredentialFile(jwt_file, "vault.jwt_file")
        self._role = role
        self._mount = mount

    def has_news(self) -> bool:
        """A new JWT does not make the present token worse."""
        return False

    async def log_in(self, connection: VaultConnection) -> VaultToken:
        """Log in."""
        body = {"role": self._role, "jwt": self._jwt.read().reveal().decode()}
        try:
            return read_login(await connection.post(f"auth/{self._mount}/login", None, body))
        except (RequestRefused, TokenRefused, PathMissing):
            raise SecretStoreForbidden(
                f"Vault refuses the login with the JWT in the file of vault.jwt_file at the mount "
                f"'{self._mount}': an operator must check the role's bound audience and subject, "
                "and that the token has not ended",
            ) from None
