"""Logging in with AppRole: a role id, and a secret id that may come wrapped."""

import re
from pathlib import Path

from privyseald.errors import SecretStoreForbidden
from privyseald.signing.secret import SecretBytes
from privyseald.vault.answers import read_login, read_text
from privyseald.vault.auth import VaultToken
from privyseald.vault.connection import VaultConnection
from privyseald.vault.credential_file import CredentialFile
from privyseald.vault.errors import RequestRefused, TokenRefused

_WRAPPED_AT = re.compile(r"auth/.+/role/[^/]+/secret-id")


class AppRole:
    """Reads both files at each login. A wrapped secret id is unwrapped once, and kept."""

    owns_token = True

    def __init__(
        self,
        *,
        role_id_file: Path,
        secret_id_file: Path,
        secret_id_wrapped: bool = False,
        mount: str = "approle",
    ) -> None:
        self._role_id = CredentialFile(role_id_file, "vault.role_id_file")
        self._secret_id = CredentialFile(secret_id_file, "vault.secret_id_file")
        self._wrapped = secret_id_wrapped
        self._mount = mount
        self._unwrapped: SecretBytes | None = None

    def has_news(self) -> bool:
        """A new secret id does not make the present token worse."""
        return False

    async def log_in(self, connection: VaultConnection) -> VaultToken:
        """Log in."""
        secret_id = await self._current_secret_id(connection)
        body = {
            "role_id": self._role_id.read().reveal().decode(),
            "secret_id": secret_id.reveal().decode(),
        }
        try:
            return read_login(await connection.post(f"auth/{self._mount}/login", None, body))
        except (RequestRefused, TokenRefused):
            raise SecretStoreForbidden(
                "Vault refuses the AppRole login: the role id or the secret id is wrong, used up "
                "or too old, or this machine's address is not allowed; an operator must put a "
                "good one into the file of vault.role_id_file or vault.secret_id_file",
            ) from None

    async def _current_secret_id(self, connection: VaultConnection) -> SecretBytes:
        if not self._wrapped:
            return self._secret_id.read()
        if self._unwrapped is None or self._secret_id.has_changed():
            wrapping = self._secret_id.read()
            self._unwrapped = None
            self._unwrapped = await _unwrap(connection, wrapping)
        return self._unwrapped


async def _unwrap(connection: VaultConnection, wrapping: SecretBytes) -> SecretBytes:
    """Return the secret id, after a look at who wrapped it: only AppRole itself may have."""
    try:
        found = await connection.post(
            "sys/wrapping/lookup", None, {"token": wrapping.reveal().decode()}
        )
        if _WRAPPED_AT.fullmatch(read_text(found, "creation_path")):
            answer = await connection.post("sys/wrapping/unwrap", wrapping, {})
            return SecretBytes(read_text(answer, "secret_id"))
    except (RequestRefused, TokenRefused):
        pass
    raise SecretStoreForbidden(
        "the wrapped secret id in the file of vault.secret_id_file was unwrapped before, is too "
        "old, or is none; an operator must wrap a new one, and find out who took this one",
    )
