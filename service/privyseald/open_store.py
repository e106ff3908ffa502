"""From the configuration to the secret store, and to how it logs in to Vault."""

from pathlib import Path

from privyseald.calls import Calls
from privyseald.clock import Clock
from privyseald.config import Config
from privyseald.config_error import ConfigInvalid
from privyseald.keeper import Keeper
from privyseald.secretstore.custody import Custody
from privyseald.secretstore.embedded import EmbeddedStore
from privyseald.secretstore.store import SecretStore
from privyseald.secretstore.transit_custody import TransitCustody
from privyseald.secretstore.vault import VaultStore
from privyseald.vault.approle import AppRole
from privyseald.vault.auth import AuthMethod
from privyseald.vault.client import VaultClient
from privyseald.vault.client_certificate import ClientCertificate
from privyseald.vault.connection import VaultAddress
from privyseald.vault.jwt import JwtLogin
from privyseald.vault.tls_certificate import TlsCertificate
from privyseald.vault.token_file import TokenFile
from privyseald.vault_config import VaultConfig


def open_store(config: Config, clock: Clock, vault: VaultClient | None = None) -> SecretStore:
    """Return the secret store of the config, on this client where it is in Vault. Raises
    ConfigInvalid.
    """
    store = config.store
    if store.is_embedded:
        return EmbeddedStore.open_path(
            store.path,
            key_file=store.key_file,
            passphrase_file=store.passphrase_file,
            clock=clock,
        )
    client = vault or open_vault(config, clock)
    if client is None:
        raise ConfigInvalid("store.url names Vault: add a section [vault] with its address")
    mount, prefix = store.mount_and_prefix
    custody = TransitCustody(client, Custody(store.custody), store.transit_mount)
    return VaultStore(client, mount=mount, prefix=prefix, clock=clock, custody=custody)


def open_vault(
    config: Config, clock: Clock, calls: Calls | None = None, keeper: Keeper | None = None
) -> VaultClient | None:
    """Return the way to Vault, None where the store is a file of our own. `calls` hears of each
    request. Raises ConfigInvalid.
    """
    vault = config.vault
    if config.store.is_embedded or vault is None:
        return None
    address = VaultAddress(
        vault.address, vault.namespace or "", vault.ca_file, timeout_ms=vault.timeout_ms
    )
    return VaultClient.connect(address, _auth_method(vault), clock, calls=calls, keeper=keeper)


def _auth_method(vault: VaultConfig) -> AuthMethod:
    mount, role = vault.login_mount, vault.role or ""
    match vault:
        case VaultConfig(auth="token-file", token_file=Path() as token_file):
            return TokenFile(token_file)
        case VaultConfig(
            auth="approle", role_id_file=Path() as role_id, secret_id_file=Path() as secret_id
        ):
            return AppRole(
                role_id_file=role_id,
                secret_id_file=secret_id,
                secret_id_wrapped=vault.secret_id_is_wrapped,
                mount=mount,
            )
        case VaultConfig(auth="kubernetes" | "jwt"):
            return JwtLogin(jwt_file=vault.login_jwt_file, role=role, mount=mount)
        case VaultConfig(
            client_certificate_file=Path() as certificate, client_private_key_file=Path() as key
        ):
            files = ClientCertificate(certificate_file=certificate, private_key_file=key)
            return TlsCertificate(files, role=role, mount=mount)
    raise ConfigInvalid(f"vault.auth is '{vault.auth}', but its settings are missing")
