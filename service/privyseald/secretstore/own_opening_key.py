"""The service's own HPKE keys: made once, kept by the store, shared by all replicas."""

from privyseald.errors import FieldInvalid
from privyseald.secretstore.refusals import document_malformed
from privyseald.secretstore.store import SecretStore
from privyseald.signing.sealed_box import OpeningKey, generate_opening_key


async def own_opening_key(store: SecretStore, name: str) -> OpeningKey:
    """Return the private half of a name. Raises CredentialMalformed, and what the store raises."""
    material = await store.own_key(name, generate_opening_key)
    try:
        return OpeningKey(material)
    except FieldInvalid as error:
        raise document_malformed(error.field, error.description) from error
    finally:
        material.wipe()
