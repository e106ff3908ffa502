"""Logging in with a token that stands in a file; Vault's agent may keep it fresh."""

from pathlib import Path

from privyseald.errors import SecretStoreForbidden
from privyseald.vault.answers import read_lookup
from privyseald.vault.auth import VaultToken
from privyseald.vault.connection import VaultConnection
from privyseald.vault.credential_file import CredentialFile
from privyseald.vault.errors import RequestRefused, TokenRefused


class TokenFile:
    """The token is somebody else's: it is renewed where it may be, and never revoked."""

    owns_token = False

    def __init__(self, path: Path) -> None:
        self._file = CredentialFile(path, "vault.token_file")

    def has_news(self) -> bool:
        """Whether the file changed since it was read."""
        return self._file.has_changed()

    async def log_in(self, connection: VaultConnection) -> VaultToken:
        """Read the file and ask Vault how long the token lives."""
        text = self._file.read()
        try:
            return read_lookup(text, await connection.get("auth/token/lookup-self", text))
        except (RequestRefused, TokenRefused):
            raise SecretStoreForbidden(
                "Vault does not take the token in the file of vault.token_file: it ended, was "
                "revoked, or may not look itself up; an operator must put a good one there",
            ) from None
