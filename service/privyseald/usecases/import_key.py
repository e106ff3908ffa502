"""ImportKey: a credential that exists already, checked and written into the store."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from privyseald.audit.entry import Entry
from privyseald.caller import Caller
from privyseald.errors import KeyUnknown
from privyseald.idempotency.idempotency import Idempotency
from privyseald.key import Key, check_key_id, check_labels
from privyseald.policy.action import Action
from privyseald.policy.policy import Policy
from privyseald.secretstore.cache import KeyCache
from privyseald.secretstore.document import KeyDocument
from privyseald.secretstore.refusals import key_exists
from privyseald.secretstore.store import SecretStore
from privyseald.usecases.answer_codec import KeyCodec
from privyseald.usecases.delivery import Delivery, Receive, WrappingToken
from privyseald.usecases.open_key import OpenedKey
from privyseald.venues.kinds import algorithm_of, check_fields, key_kind
from privyseald.venues.registry import Venues
from privyseald.venues.venue import Environment, KeyKind, Venue


@dataclass(frozen=True, slots=True)
class ImportKeyCommand:
    """What to write under which id."""

    key_id: str
    venue: str
    environment: str
    algorithm: str
    fields: Mapping[str, str]
    delivery: Delivery
    labels: Mapping[str, str] = field(default_factory=dict)
    request_id: str = ""
    fingerprint: bytes = b""


class ImportKey:
    """Refuses what would not sign later; then writes, and overwrites nothing."""

    def __init__(
        self,
        policy: Policy,
        venues: Venues,
        store: SecretStore,
        cache: KeyCache[OpenedKey],
        idempotency: Idempotency,
        receive: Receive,
    ) -> None:
        self._policy = policy
        self._venues = venues
        self._store = store
        self._cache = cache
        self._idempotency = idempotency
        self._receive = receive

    async def __call__(self, caller: Caller, command: ImportKeyCommand, entry: Entry) -> Key:
        """Return the key's public facts. Raises FieldInvalid, KeyExists, Unavailable…."""
        check_key_id(command.key_id)
        self._policy.admit(caller, Action.IMPORT_KEY, command.key_id)
        venue = self._venues.get(command.venue)
        entry.venue = venue.name
        entry.rule = self._policy.check(caller, Action.IMPORT_KEY, command.key_id, venue=venue.name)
        environment = self._venues.environment(venue, command.environment)
        kind = key_kind(venue, algorithm_of(venue, command.algorithm))
        check_fields(kind, command.fields)
        check_labels(command.labels)
        key = await self._idempotency.once(
            f"import-key/{caller.name}",
            command.request_id,
            command.fingerprint,
            lambda: self._create(command, venue, environment, kind),
            KeyCodec(),
        )
        entry.key_version = key.version
        return key

    async def _create(
        self, command: ImportKeyCommand, venue: Venue, environment: Environment, kind: KeyKind
    ) -> Key:
        if isinstance(command.delivery, WrappingToken):
            await self._check_free(command.key_id)
        received = await self._receive(command.delivery, command.key_id, venue.name, kind.algorithm)
        fields = command.fields
        document = KeyDocument(
            venue=venue.name,
            environment=environment.name,
            algorithm=kind.algorithm,
            fields=fields,
            material=received.material,
            public_id=fields[kind.public_id] if kind.public_id else received.signer.public_id,
            labels=command.labels,
            request_id=command.request_id,
        )
        try:
            return await self._store.create(command.key_id, document)
        finally:
            received.material.wipe()
            # A key of this id may have been removed in the store, past this server.
            self._cache.forget(command.key_id)

    async def _check_free(self, key_id: str) -> None:
        """Raise KeyExists, and what the store raises, before a token is spent in vain."""
        with suppress(KeyUnknown):
            await self._store.get(key_id)
            raise key_exists(key_id)
