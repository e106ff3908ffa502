"""Requests as whoever the token proves: a refusal is looked into, a dead token replaced."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from privyseald.errors import SecretStoreUnreachable
from privyseald.signing.secret import SecretBytes
from privyseald.vault.connection import VaultConnection
from privyseald.vault.errors import RETRY_MS, TokenRefused, VaultRefusal, denied
from privyseald.vault.renewal import TokenRenewal

_T = TypeVar("_T")


class VaultSession:
    """What the engines of one Vault share: the connection, the token, and its owner's rights."""

    def __init__(self, connection: VaultConnection, tokens: TokenRenewal) -> None:
        self.connection = connection
        self.tokens = tokens

    async def run(
        self,
        capability: str,
        pattern: str,
        request: Callable[[SecretBytes], Awaitable[_T]],
    ) -> _T:
        """Send a request; after a 403 find out why, and once more with a new token if it died.

        Raises PathMissing, VersionMismatch and RequestRefused as Vault answers them, and
        SecretStoreForbidden naming the capability and the pattern of paths to grant.
        """
        token = await self.tokens.token()
        with suppress(TokenRefused):
            return await request(token.text)
        if not await self._is_alive(token.text):
            replaced = await self.tokens.replace(token)
            if replaced is token:
                raise SecretStoreUnreachable(
                    "Vault does not take this service's token any more, though it is new; "
                    "it will log in again shortly",
                    retry_after_ms=RETRY_MS,
                )
            with suppress(TokenRefused):
                return await request(replaced.text)
        raise denied(capability, pattern)

    async def close(self) -> None:
        """Revoke the token if it is ours, and drop the connections."""
        await self.tokens.close()
        await self.connection.close()

    async def _is_alive(self, token: SecretBytes) -> bool:
        try:
            await self.connection.get("auth/token/lookup-self", token)
        except VaultRefusal:
            return False
        return True
