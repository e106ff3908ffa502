"""Opening a key for use: the credential with its venue, or the reason why not."""

from contextlib import suppress
from dataclasses import dataclass, replace

from privyseald.clock import Clock
from privyseald.errors import (
    CredentialMalformed,
    FieldInvalid,
    KeyDisabled,
    KeyVersionExpired,
    VenueUnknown,
)
from privyseald.key import KeyState
from privyseald.secretstore.cache import KeyCache
from privyseald.signing.signer import Credential
from privyseald.venues.kinds import check_credential, malformed
from privyseald.venues.registry import Venues
from privyseald.venues.venue import Environment, KeyKind, Venue


@dataclass(frozen=True, slots=True)
class OpenedKey:
    """A credential beside the venue, environment and kind that it belongs to.

    `previous` is the version before, which may sign until `previous_until_ms`.
    """

    credential: Credential
    venue: Venue
    environment: Environment
    kind: KeyKind
    previous: "OpenedKey | None" = None
    previous_until_ms: int = 0


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
    opened = OpenedKey(replace(credential, key=known, previous=None), venue, environment, kind)
    before = credential.previous
    if before is None or before.credential is None:
        return opened
    with suppress(CredentialMalformed):
        # One that does not fit the venue any more must not keep the active one from signing.
        earlier = match_venue(before.credential, venues)
        return replace(opened, previous=earlier, previous_until_ms=before.until_ms)
    return opened


class OpenKey:
    """Returns an enabled key, from the cache where it is fresh enough."""

    def __init__(self, cache: KeyCache[OpenedKey], clock: Clock) -> None:
        self._cache = cache
        self._clock = clock

    async def __call__(self, key_id: str, version: int = 0) -> OpenedKey:
        """Return the key in a version, 0 for the active one.

        Raises KeyDisabled, KeyUnknown, KeyCreating, KeyVersionExpired, Unavailable….
        """
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
        if version in (0, key.version):
            return opened
        return self._earlier(opened, version)

    def look_again(self, key_id: str) -> None:
        """Have the key read from the store before it is used again."""
        self._cache.forget(key_id)

    def _earlier(self, opened: OpenedKey, version: int) -> OpenedKey:
        active, previous = opened.credential.key, opened.previous
        if not 0 < version < active.version:
            raise FieldInvalid(
                "key_version",
                f"is no version of {active.name} that this server knows; the active one is "
                f"{active.version}. After a rotation at another server try again a moment later",
            )
        is_over = self._clock.time_us() // 1_000 >= opened.previous_until_ms
        if previous is not None and previous.credential.key.version == version and not is_over:
            return previous
        raise KeyVersionExpired(
            f"version {version} of {active.name} was replaced and is not accepted any more; the "
            f"active one is {active.version}: leave key_version out to sign with it",
            metadata={
                "key": active.name,
                "keyVersion": str(version),
                "activeVersion": str(active.version),
            },
        )
