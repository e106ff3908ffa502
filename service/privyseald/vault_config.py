"""The section [vault] of the configuration."""

from pathlib import Path
from typing import Literal, Self

from pydantic import model_validator

from privyseald.config_section import Section, TimeOut, Url, VaultPath, is_open

_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
_MOUNTS = {"approle": "approle", "kubernetes": "kubernetes", "jwt": "jwt"}
_NEEDS = {
    "token-file": ("token_file",),
    "approle": ("role_id_file", "secret_id_file"),
    "kubernetes": ("role",),
    "jwt": ("role", "jwt_file"),
    "tls-certificate": ("client_certificate_file", "client_private_key_file"),
}


class VaultConfig(Section):
    """How to reach Vault or OpenBao, and how to log in there."""

    address: Url
    ca_file: Path | None = None
    namespace: str | None = None
    auth: Literal["token-file", "approle", "kubernetes", "jwt", "tls-certificate"] = "token-file"
    auth_mount: VaultPath | None = None
    token_file: Path | None = None
    role_id_file: Path | None = None
    secret_id_file: Path | None = None
    secret_id_is_wrapped: bool = False
    role: str | None = None
    jwt_file: Path | None = None
    client_certificate_file: Path | None = None
    client_private_key_file: Path | None = None
    allow_plaintext: bool = False
    timeout_ms: TimeOut = 2_000

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        missing = [name for name in _NEEDS[self.auth] if not getattr(self, name)]
        if missing:
            settings = " and ".join(f"vault.{name}" for name in missing)
            raise ValueError(f"vault.auth is '{self.auth}': set {settings}")
        if self.auth == "tls-certificate" and not self.address.startswith("https://"):
            raise ValueError("vault.auth is 'tls-certificate': vault.address must be https://")
        if is_open(self.address) and not self.allow_plaintext:
            raise ValueError(
                "vault.address is not encrypted: tokens and secrets would cross the network in "
                "clear. Use https://, or set vault.allow_plaintext = true if something else "
                "encrypts that way"
            )
        return self

    @property
    def login_mount(self) -> str:
        """Where the method of `auth` is mounted."""
        return self.auth_mount or _MOUNTS.get(self.auth, "cert")

    @property
    def login_jwt_file(self) -> Path:
        """The JWT to log in with; a pod finds its own where Kubernetes puts it."""
        return self.jwt_file or _SERVICE_ACCOUNT
