"""The port of a place where keys live."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from privyseald.key import Key, KeyState
from privyseald.secretstore.document import KeyDocument
from privyseald.secretstore.origin import Origin
from privyseald.signing.secret import SecretBytes
from privyseald.signing.signer import Credential


@dataclass(frozen=True, slots=True)
class KeyPage:
    """Keys in the order of their ids; `next_after` is the last id when there are more."""

    keys: tuple[Key, ...]
    next_after: str


class SecretStore(Protocol):
    """Keeps key documents. Nothing but `open` turns one into use, and nothing gives it back.

    Every method raises SecretStoreSealed or SecretStoreUnreachable when the store is away,
    and SecretStoreForbidden when it refuses this service.
    """

    async def open(self, key_id: str) -> Credential:
        """Return the key ready for use. Raises KeyUnknown, KeyCreating, CredentialMalformed.

        A disabled key is opened too: `credential.key.state` says so, and the caller refuses.
        """

    async def revision(self, key_id: str) -> str:
        """Return what `credential.revision` would be if the key were opened now, reading no
        secret. Raises KeyUnknown, and SecretStoreForbidden also where `open` may be allowed.
        """

    async def get(self, key_id: str) -> Key:
        """Return the public facts, reading no secret where the store can. Raises KeyUnknown."""

    async def list(self, after: str, limit: int) -> KeyPage:
        """Return up to `limit` keys whose ids come after `after`."""

    async def create(self, key_id: str, document: KeyDocument) -> Key:
        """Write a key that must not exist yet, in one atomic step. Raises KeyExists."""

    async def complete(self, key_id: str, document: KeyDocument) -> Key:
        """Replace a reservation (state CREATING) by the whole key. Raises KeyUnknown when it
        is gone, KeyExists when something else stands there.
        """

    async def rotate(self, key_id: str, version: int, document: KeyDocument) -> Key:
        """Write the version after `version`, in one atomic step; `document.previous` says how
        long that one is kept. Raises KeyUnknown, KeyChanged, RotateKeyUnsupported.
        """

    async def retire(self, key_id: str) -> None:
        """Destroy the version before the active one, if its time is over. Raises KeyUnknown."""

    async def set_state(self, key_id: str, state: KeyState) -> Key:
        """Disable or enable a key. Raises KeyUnknown, KeyCreating."""

    async def delete(self, key_id: str) -> None:
        """Remove the key and all its versions for good. Raises KeyUnknown."""

    async def origin(self, key_id: str) -> Origin:
        """Return by which request the key, or reservation, came about. Raises KeyUnknown."""

    async def own_key(self, name: str, make: Callable[[], SecretBytes]) -> SecretBytes:
        """Return a key of the service's own, which no key id reaches; what `make` returns if
        there is none yet: of several that ask first, all get the same.
        """

    async def unwrap(self, token: SecretBytes, name: str) -> SecretBytes:
        """Return the field `name` of what a response-wrapping token holds, and spend the token.
        Raises FieldInvalid for one that is spent, or holds something else.
        """

    async def check(self) -> None:
        """Return when the store could open a key now; raise what stands in the way."""

    async def close(self) -> None:
        """Let go of connections, tokens and locks."""
