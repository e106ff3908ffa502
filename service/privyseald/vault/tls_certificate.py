"""Logging in with a TLS client certificate."""

from privyseald.errors import SecretStoreForbidden
from privyseald.vault.answers import read_login
from privyseald.vault.auth import VaultToken
from privyseald.vault.client_certificate import ClientCertificate
from privyseald.vault.connection import VaultConnection
from privyseald.vault.errors import PathMissing, RequestRefused, TokenRefused


class TlsCertificate:
    """The connection presents the certificate from the first login on.

    A new certificate means new connections and a new login: Vault renews a token only for
    the certificate that it was given for.
    """

    owns_token = True

    def __init__(
        self, certificate: ClientCertificate, *, role: str = "", mount: str = "cert"
    ) -> None:
        self._certificate = certificate
        self._role = role
        self._mount = mount

    def has_news(self) -> bool:
        """Whether the files changed since they were loaded."""
        return self._certificate.has_changed()

    async def log_in(self, connection: VaultConnection) -> VaultToken:
        """Log in."""
        connection.present(self._certificate.load())
        body = {"name": self._role} if self._role else {}
        try:
            return read_login(await connection.post(f"auth/{self._mount}/login", None, body))
        except (RequestRefused, TokenRefused, PathMissing):
            raise SecretStoreForbidden(
                f"Vault refuses the login with the certificate of vault.client_certificate_file "
                f"at the mount '{self._mount}': an operator must check that it has not ended, "
                "that Vault's role trusts its authority, and that nothing between ends TLS",
            ) from None
