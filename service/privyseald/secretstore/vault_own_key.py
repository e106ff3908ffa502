"""The service's own keys in Vault, beside callers' keys: names that no key id can have."""

from collections.abc import Callable, Mapping

from privyseald.errors import CredentialMalformed, SecretStoreForbidden
from privyseald.secretstore.refusals import document_malformed
from privyseald.signing.secret import SecretBytes
from privyseald.vault.client import VaultClient
from privyseald.vault.errors import PathMissing, VersionMismatch

_PREFIX = "_privyseal-"
_FIELD = "private_key"


async def own_key(
    client: VaultClient, mount: str, folder: str, name: str, make: Callable[[], SecretBytes]
) -> SecretBytes:
    """Return the key at `{folder}/_privyseal-{name}`, made by whoever asks first.

    Raises CredentialMalformed where an operator deleted it or wrote something else.
    """
    path = f"{folder}/{_PREFIX}{name}"
    try:
        return _read((await client.read(mount, path)).data)
    except PathMissing:
        made = make()
    record = {"schema": "1", "purpose": name, _FIELD: made.reveal().decode("ascii")}
    try:
        await client.write(mount, path, record, 0)
    except VersionMismatch:
        return await _read_again(client, mount, path)
    except SecretStoreForbidden as error:
        # Who may create it may not write over the one that another server just made.
        try:
            return _read((await client.read(mount, path)).data)
        except PathMissing:
            raise error from None
    return made


async def _read_again(client: VaultClient, mount: str, path: str) -> SecretBytes:
    try:
        return _read((await client.read(mount, path)).data)
    except PathMissing:
        raise CredentialMalformed(
            f"the service's own key at '{mount}/{path}' was deleted in Vault; an operator must "
            "bring it back with 'vault kv undelete', or, if nothing waits in escrow, remove it "
            "for good with 'vault kv metadata delete'"
        ) from None


def _read(data: Mapping[str, object]) -> SecretBytes:
    value = data.get(_FIELD)
    if not isinstance(value, str):
        raise document_malformed(_FIELD, "must be a string")
    return SecretBytes(value)
