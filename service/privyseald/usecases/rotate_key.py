"""RotateKey: a new credential in place of the old one, which is accepted until a time."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import structlog

from privyseald.audit.entry import Entry
from privyseald.caller import Caller
from privyseald.clock import Clock
from privyseald.errors import FieldInvalid, Unavailable
from privyseald.idempotency.idempotency import Idempotency
from privyseald.key import Algorithm, Key
from privyseald.policy.action import Action
from privyseald.policy.policy import Policy
from privyseald.secretstore.cache import KeyCache
from privyseald.secretstore.document import KeyDocument
from privyseald.secretstore.previous import Previous
from privyseald.secretstore.refusals import in_transit
from privyseald.secretstore.store import SecretStore
from privyseald.sessions.sessions import Sessions
from privyseald.signing.generate import generate
from privyseald.signing.schemes import make_signer
from privyseald.usecases.answer_codec import KeyCodec
from privyseald.usecases.delivery import Delivery, Receive, Received
from privyseald.usecases.open_key import OpenedKey, match_venue
from privyseald.usecases.permit import permit
from privyseald.usecases.retirement import Retirement
from privyseald.venues.kinds import check_fields
from privyseald.venues.registry import Venues

_log = structlog.get_logger("privyseald.keys")


@dataclass(frozen=True, slots=True)
class Generate:
    """Make the new credential here."""


@dataclass(frozen=True, slots=True)
class RotateKeyCommand:
    """Which key gets what. `fields` are those that change."""

    key_id: str
    delivery: Delivery | Generate
    fields: Mapping[str, str] = field(default_factory=dict)
    accept_previous_until_ms: int | None = None
    request_id: str = ""
    fingerprint: bytes = b""


class RotateKey:
    """Writes the version after the one that it has seen, or nothing."""

    def __init__(
        self,
        policy: Policy,
        venues: Venues,
        store: SecretStore,
        cache: KeyCache[OpenedKey],
        sessions: Sessions,
        idempotency: Idempotency,
        receive: Receive,
        retirement: Retirement,
        clock: Clock,
    ) -> None:
        self._policy = policy
        self._venues = venues
        self._store = store
        self._cache = cache
        self._sessions = sessions
        self._idempotency = idempotency
        self._receive = receive
        self._retirement = retirement
        self._clock = clock

    async def __call__(self, caller: Caller, command: RotateKeyCommand, entry: Entry) -> Key:
        """Return the key with its new version. Raises KeyUnknown, KeyChanged, FieldInvalid…."""
        action = Action.ROTATE_KEY
        entry.rule = await permit(self._policy, self._store, caller, action, command.key_id)
        key = await self._idempotency.once(
            f"rotate-key/{caller.name}",
            command.request_id,
            command.fingerprint,
            lambda: self._rotate(command),
            KeyCodec(),
        )
        entry.venue, entry.key_version = key.venue, key.version
        return key

    async def _rotate(self, command: RotateKeyCommand) -> Key:
        origin = await self._store.origin(command.key_id)
        # In the document an import's id may stand, which is another request.
        mark = f"rotate/{uuid.UUID(command.request_id)}" if command.request_id else ""
        if mark and origin.request_id == mark:
            # This request wrote it before; its answer was lost.
            return await self._store.get(command.key_id)
        if origin.is_in_transit:
            raise in_transit(command.key_id)
        until_ms = self._until(command.accept_previous_until_ms)
        credential = await self._store.open(command.key_id)
        opened = match_venue(credential, self._venues)
        fields = {**credential.fields, **command.fields}
        check_fields(opened.kind, fields)
        key, kind = opened.credential.key, opened.kind
        received = await self._received(command, key, kind.algorithm)
        document = KeyDocument(
            venue=key.venue,
            environment=key.environment,
            algorithm=kind.algorithm,
            fields=fields,
            material=received.material,
            public_id=fields[kind.public_id] if kind.public_id else received.signer.public_id,
            labels=key.labels,
            state=key.state,
            request_id=mark,
            previous=Previous(key.version, until_ms),
        )
        try:
            return await self._store.rotate(command.key_id, key.version, document)
        finally:
            # Also where the store failed: the change may have landed there.
            received.material.wipe()
            self._cache.forget(command.key_id)
            self._retirement.expect(command.key_id, until_ms)
            await self._let_go(replace(key, public_id=document.public_id))

    async def _let_go(self, key: Key) -> None:
        """End the session of the version before, and have the venue asked anew what it refused."""
        try:
            await self._sessions.drop(key.key_id, may_reopen=True)
            await self._sessions.pardon(key)
        except Unavailable as error:
            # The session is not used with another version; a refusal that stands is told.
            _log.warning("session not dropped", key=key.name, advice=error.message)

    async def _received(
        self, command: RotateKeyCommand, key: Key, algorithm: Algorithm
    ) -> Received:
        if not isinstance(command.delivery, Generate):
            return await self._receive(command.delivery, key.key_id, key.venue, algorithm)
        material = generate(algorithm)
        return Received(material, make_signer(algorithm, material))

    def _until(self, wanted_ms: int | None) -> int:
        """Return until when the version before may sign; the past where no time is wanted."""
        now_ms = self._clock.time_us() // 1_000
        if wanted_ms is None:
            return now_ms
        if wanted_ms <= now_ms:
            raise FieldInvalid(
                "accept_previous_until_time",
                "is not in the future; leave it out to have the old credential refused at once",
            )
        return wanted_ms
