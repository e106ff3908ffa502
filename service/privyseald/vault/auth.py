"""The port of a way to log in to Vault."""

from dataclasses import dataclass
from typing import Protocol

from privyseald.signing.secret import SecretBytes
from privyseald.vault.connection import VaultConnection


@dataclass(frozen=True, slots=True)
class VaultToken:
    """A token and its life from the moment it was given; `life_ms` 0 means it does not end."""

    text: SecretBytes
    life_ms: int
    renewable: bool


class AuthMethod(Protocol):
    """Gets a token. Called by one task at a time, and never once per operation."""

    @property
    def owns_token(self) -> bool:
        """Whether the tokens are made for this process, so that it may revoke them."""

    def has_news(self) -> bool:
        """Whether logging in now would give another token than the last time."""

    async def log_in(self, connection: VaultConnection) -> VaultToken:
        """Return a token.

        Raises SecretStoreForbidden when Vault, or the file that is to prove us, refuses; and
        SecretStoreSealed or SecretStoreUnreachable when Vault is away.
        """
