"""Keys in HashiCorp Vault or OpenBao: one KV v2 document a key."""

import asyncio
import hashlib
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace

from privyseald.clock import Clock
from privyseald.config_error import ConfigInvalid
from privyseald.errors import CredentialMalformed, FieldInvalid
from privyseald.key import Key, KeyState, check_key_id
from privyseald.secretstore.custom_metadata import read_note
from privyseald.secretstore.document import KeyDocument, open_document, read_record
from privyseald.secretstore.facts import facts_of
from privyseald.secretstore.origin import Origin
from privyseald.secretstore.refusals import key_creating, key_unknown
from privyseald.secretstore.store import KeyPage
from privyseald.secretstore.transit_custody import TransitCustody
from privyseald.secretstore.vault_own_key import own_key
from privyseald.secretstore.vault_rotation import KeyRotation
from privyseald.secretstore.vault_writer import KeyWriter, state_of
from privyseald.signing.secret import SecretBytes
from privyseald.signing.signer import Credential
from privyseald.vault.answers import SecretMetadata
from privyseald.vault.client import VaultClient
from privyseald.vault.errors import PathMissing

_FOLDER = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*")
_READS_AT_ONCE = 8


class VaultStore:
    """A SecretStore at `{mount}/data/{prefix}/{key_id}`.

    The document alone decides what a key is and signs with; custom metadata holds the public
    facts and the state, so that `get` and `list` read no secret. A document written by hand
    has none, and is ENABLED. What signs may live in the transit engine: the document says so.
    """

    def __init__(
        self,
        client: VaultClient,
        *,
        mount: str,
        prefix: str,
        clock: Clock,
        custody: TransitCustody | None = None,
    ) -> None:
        for name, folder in (("mount", mount), ("prefix", prefix)):
            if not _FOLDER.fullmatch(folder):
                raise ConfigInvalid(
                    f"store.url: the {name} must be of letters, digits, '-', '_' and '.', parted "
                    "by '/', as in vault://signer/keys"
                )
        self._client = client
        self._mount = mount
        self._prefix = prefix
        self._clock = clock
        self._custody = custody or TransitCustody(client)
        self._writer = KeyWriter(client, mount, clock, self._custody)
        self._rotation = KeyRotation(client, mount, clock, self._writer)

    async def open(self, key_id: str) -> Credential:
        """Return the key ready for use, after one read; two while it has two versions."""
        try:
            found = await self._client.read(self._mount, self._path(key_id))
        except PathMissing:
            raise key_unknown(key_id) from None
        document = read_record(found.data)
        if document.state is KeyState.CREATING:
            raise key_creating(key_id)
        note = read_note(found.custom_metadata)
        key = note.facts.key(
            key_id,
            state_of(note, document),
            found.version,
            note.create_time_ms or found.create_time_ms,
            found.create_time_ms,
        )
        if document.transit is None:
            credential = open_document(key, document)
        else:
            signer = await self._custody.open(key_id, document)
            credential = Credential(key, document.fields, signer)
        known_id = note.facts.public_id or document.fields.get("api_key", "")
        # What signs is told by the document; a note that someone edited can't change it.
        key = replace(
            key,
            venue=document.venue,
            environment=document.environment,
            algorithm=document.algorithm.value,
            public_id=known_id or credential.signer.public_id,
            public_key_pem=credential.signer.public_key_pem,
        )
        revision = _revision(found.version, found.create_time_ms, found.custom_metadata)
        predecessor = await self._rotation.predecessor(key, self._path(key_id), document.previous)
        return replace(credential, key=key, revision=revision, previous=predecessor)

    async def revision(self, key_id: str) -> str:
        """Read the metadata, and ask whether the document may still be read."""
        path = self._path(key_id)
        metadata, _ = await asyncio.gather(
            self._metadata(key_id), self._client.check_may_read(self._mount, path)
        )
        if metadata is None:
            raise key_unknown(key_id)
        return _revision(metadata.version, metadata.version_time_ms, metadata.custom_metadata)

    async def get(self, key_id: str) -> Key:
        """Return what the metadata tells; a key written by hand tells little."""
        metadata = await self._metadata(key_id)
        if metadata is None:
            raise key_unknown(key_id)
        return _key(key_id, metadata)

    async def list(self, after: str, limit: int) -> KeyPage:
        """Return keys by one LIST and one metadata read each, a few at once."""
        names = await self._client.list(self._mount, self._prefix)
        key_ids = sorted(name for name in names if name > after and _is_key_id(name))
        keys: list[Key] = []
        for start in range(0, len(key_ids), _READS_AT_ONCE):
            batch = key_ids[start : start + _READS_AT_ONCE]
            found = await asyncio.gather(*(self._metadata(key_id) for key_id in batch))
            keys += [
                _key(key_id, metadata)
                for key_id, metadata in zip(batch, found, strict=True)
                if metadata is not None
            ]
            if len(keys) > limit:
                return KeyPage(tuple(keys[:limit]), keys[limit - 1].key_id)
        return KeyPage(tuple(keys), "")

    async def create(self, key_id: str, document: KeyDocument) -> Key:
        """Write the document where none may be, then its note."""
        return await self._writer.create(key_id, self._path(key_id), document)

    async def complete(self, key_id: str, document: KeyDocument) -> Key:
        """Replace a reservation by the whole key; once more with the same key changes nothing."""
        return await self._writer.complete(key_id, self._path(key_id), document)

    async def rotate(self, key_id: str, version: int, document: KeyDocument) -> Key:
        """Write the document as the next version, then its note."""
        return await self._rotation.rotate(key_id, self._path(key_id), version, document)

    async def retire(self, key_id: str) -> None:
        """Destroy the version before, if its time is over."""
        await self._rotation.retire(key_id, self._path(key_id))

    async def set_state(self, key_id: str, state: KeyState) -> Key:
        """Disable or enable a key in its metadata; the document stays as it is."""
        metadata = await self._metadata(key_id)
        if metadata is None:
            raise key_unknown(key_id)
        key = _key(key_id, metadata)
        if key.state is KeyState.CREATING:
            raise key_creating(key_id)
        custom = {**metadata.custom_metadata, "state": state.value}
        await self._client.write_custom_metadata(self._mount, self._path(key_id), custom)
        return replace(key, state=state)

    async def delete(self, key_id: str) -> None:
        """Remove the document with all its versions; also one that Vault only marked deleted.

        A secret that we put into the transit engine goes first, while the document tells where.
        """
        path = self._path(key_id)
        try:
            await self._client.read_metadata(self._mount, path)
        except PathMissing:
            raise key_unknown(key_id) from None
        with suppress(PathMissing, CredentialMalformed):
            found = await self._client.read(self._mount, path)
            await self._custody.remove(key_id, read_record(found.data))
        await self._client.delete(self._mount, path)

    async def origin(self, key_id: str) -> Origin:
        """Return by which request the key came about; that reads the document."""
        try:
            found = await self._client.read(self._mount, self._path(key_id))
        except PathMissing:
            raise key_unknown(key_id) from None
        document, note = read_record(found.data), read_note(found.custom_metadata)
        key = facts_of(replace(document, material=None)).key(
            key_id,
            state_of(note, document),
            found.version,
            note.create_time_ms or found.create_time_ms,
            found.create_time_ms,
        )
        return Origin.of(key, document)

    async def own_key(self, name: str, make: Callable[[], SecretBytes]) -> SecretBytes:
        """Return a key of the service's own, at `{mount}/data/{prefix}/_privyseal-{name}`."""
        return await own_key(self._client, self._mount, self._prefix, name, make)

    async def unwrap(self, token: SecretBytes, name: str) -> SecretBytes:
        """Unwrap with the token itself, so that our policy need not allow it."""
        return await self._client.unwrap(token, name)

    async def check(self) -> None:
        """Return when Vault is unsealed, takes our token, and the mount is KV v2."""
        await self._client.check(self._mount)

    async def close(self) -> None:
        """Revoke our token and drop the connections."""
        await self._client.close()

    def _path(self, key_id: str) -> str:
        return f"{self._prefix}/{check_key_id(key_id)}"

    async def _metadata(self, key_id: str) -> SecretMetadata | None:
        """Return the metadata of a key whose current version can be read."""
        try:
            metadata = await self._client.read_metadata(self._mount, self._path(key_id))
        except PathMissing:
            return None
        return None if metadata.is_deleted(self._clock.time_us() // 1_000) else metadata


def _is_key_id(name: str) -> bool:
    """Whether a name in the folder can be a key; a folder's name ends in a slash."""
    try:
        check_key_id(name)
    except FieldInvalid:
        return False
    return True


def _revision(version: int, time_ms: int, custom_metadata: Mapping[str, str]) -> str:
    """Return a mark: a key that is deleted and made anew has version 1 again, at another time."""
    note = hashlib.sha256(repr(sorted(custom_metadata.items())).encode()).hexdigest()
    return f"{version}.{time_ms}.{note}"


def _key(key_id: str, metadata: SecretMetadata) -> Key:
    note = read_note(metadata.custom_metadata)
    return note.facts.key(
        key_id,
        note.state or KeyState.ENABLED,
        metadata.version,
        note.create_time_ms or metadata.create_time_ms,
        metadata.version_time_ms,
    )
