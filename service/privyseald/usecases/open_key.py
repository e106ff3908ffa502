"""Opening a key for use: the credential with its venue, or the reason why not."""

from dataclasses import dataclass, replace

from privyseald.errors import CredentialMalformed, FieldInvalid, KeyDisabled, VenueUnknown
from privyseald.key import KeyState
from privyseald.secretstore.cache import KeyCache
from privyseald.signing.signer import Credential
from privyseald.venues.kinds import check_credential, malformed
from privyseald.venues.registry import Venues
from privyseald.venues.venue import Environment, KeyKind, Venue


@dataclass(frozen=True, slots=True)
class OpenedKey:
    """A credential beside the venue, environment and kind that it belongs to."""

    credential: Credential
    venue: Venue
    environment: Environment
    kind: KeyKind


def match_venue(credential: Credential, venues: Venues) -> OpenedKey:
    """Return the opened key of a credential. Raises CredentialMalformed."""
    key = credential.key
    try:
        venue = venues.get(key.venue)
        environment = venues.environment(venue, key.environment)
    except VenueUnknown as error:
        raise malformed(key.name, "venue", f"is wrong: {error.message}") from error
    except FieldInvalid as error:
        raise malformed(key.name, error.field, error.description) from error
    kind = check_credential(venue, credential)
    # As the venue knows the key, so that all key ids that hold it share its nonces: a document
    # written by hand may name no environment, and its note any public id.
    public_id = credential.fields[kind.public_id] if kind.public_id else credential.signer.public_id
    known = replace(key, environment=environment.name, public_id=public_id)
    return OpenedKey(replace(credential, key=known), venue, environment, kind)


class OpenKey:
    """Returns an enabled key, from the cache where it is fresh enough."""

    def __init__(self, cache: KeyCache[OpenedKey]) -> None:
        self._cache = cache

    async def __call__(self, key_id: str) -> OpenedKey:
        """Return the key. Raises KeyDisabled, KeyUnknown, KeyCreating, Unavailable…."""
        try:
            opened = await self._cache.open(key_id)
        except CredentialMalformed as error:
            error.metadata.setdefault("key", f"keys/{key_id}")
            raise
        key = opened.credential.key
        if key.state is not KeyState.ENABLED:
            raise KeyDisabled(
                f"{key.name} is disabled; a custodian can enable it with "
                f"'privyseal keys enable {key.key_id}'",
                metadata={"key": key.name},
            )
        return opened
