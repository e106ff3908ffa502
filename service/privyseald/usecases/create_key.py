"""CreateKey: a new key straight into the store, generated here or issued by the venue.

The order matters. The store is proved writable by a reservation before the venue is asked,
and what the venue issued is written before anything is answered.
"""

import asyncio
import ipaddress
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from privyseald.audit.entry import Entry
from privyseald.caller import Caller
from privyseald.errors import (
    CreateKeyUnsupported,
    FieldInvalid,
    PrivysealError,
    SecretStoreForbidden,
    Unavailable,
    VenueOutcomeUnknown,
    VenueRefused,
    VenueUnreachable,
)
from privyseald.idempotency import Idempotency
from privyseald.key import Algorithm, Key, KeyState, check_key_id, check_labels
from privyseald.outbound.outbound import Outbound
from privyseald.policy.action import Action
from privyseald.policy.policy import Policy
from privyseald.secretstore.cache import KeyCache
from privyseald.secretstore.document import KeyDocument
from privyseald.secretstore.store import SecretStore
from privyseald.signing.generate import generate
from privyseald.signing.schemes import make_signer
from privyseald.usecases.open_key import OpenedKey, OpenKey
from privyseald.venues.kinds import algorithm_of, check_fields, check_options, key_kind
from privyseald.venues.registry import Venues, issues_keys
from privyseald.venues.venue import Environment, KeyKind, KeyOrder, Venue

_MAX_IPS = 30
# Long enough for another node of Vault to take over.
_WRITE_PAUSES_S = (0.0, 0.1, 0.3, 1.0, 3.0, 5.0, 10.0, 10.0)


@dataclass(frozen=True, slots=True)
class Generated:
    """Make the key here."""

    algorithm: str
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class VenueIssued:
    """Have the venue issue the key to the account of another key."""

    using_key_id: str
    order: KeyOrder


@dataclass(frozen=True, slots=True)
class CreateKeyCommand:
    """Which key to make, and how."""

    key_id: str
    venue: str
    environment: str
    source: Generated | VenueIssued
    labels: Mapping[str, str]
    request_id: str = ""
    fingerprint: bytes = b""


class CreateKey:
    """Makes keys. Nothing that exists is overwritten."""

    def __init__(
        self,
        policy: Policy,
        venues: Venues,
        store: SecretStore,
        cache: KeyCache[OpenedKey],
        open_key: OpenKey,
        idempotency: Idempotency,
        outbound: Outbound,
    ) -> None:
        self._policy = policy
        self._venues = venues
        self._store = store
        self._cache = cache
        self._open_key = open_key
        self._idempotency = idempotency
        self._outbound = outbound

    async def __call__(self, caller: Caller, command: CreateKeyCommand, entry: Entry) -> Key:
        """Return the new key's public facts. Raises KeyExists, VenueRefused, Unavailable…."""
        check_key_id(command.key_id)
        entry.rule = self._policy.check(caller, Action.CREATE_KEY, command.key_id)
        venue = self._venues.get(command.venue)
        entry.venue = venue.name
        environment = self._venues.environment(venue, command.environment)
        check_labels(command.labels)
        source = command.source
        if isinstance(source, VenueIssued):
            self._policy.check(caller, Action.USE_FOR_CREATE_KEY, source.using_key_id)
        # Under an id the work goes on when the caller goes away, and a write can be repeated:
        # a key that the venue has issued must reach the store.
        command = replace(command, request_id=command.request_id or str(uuid.uuid4()))
        key = await self._idempotency.once(
            f"create-key/{caller.name}",
            command.request_id,
            command.fingerprint,
            lambda: self._create(command, venue, environment),
        )
        entry.key_version = key.version
        return key

    async def _create(
        self, command: CreateKeyCommand, venue: Venue, environment: Environment
    ) -> Key:
        try:
            if isinstance(command.source, Generated):
                return await self._generate(command, command.source, venue, environment)
            return await self._issue(command, command.source, venue, environment)
        finally:
            # A key of this id may have been removed in the store, past this server.
            self._cache.forget(command.key_id)

    async def _generate(
        self,
        command: CreateKeyCommand,
        source: Generated,
        venue: Venue,
        environment: Environment,
    ) -> Key:
        algorithm = algorithm_of(venue, source.algorithm, "generated.algorithm")
        kind = key_kind(venue, algorithm)
        check_fields(kind, source.fields, "generated.fields")
        material = generate(algorithm)
        signer = make_signer(algorithm, material)
        return await self._store.create(
            command.key_id,
            KeyDocument(
                venue=venue.name,
                environment=environment.name,
                algorithm=algorithm,
                fields=source.fields,
                material=material,
                public_id=signer.public_id,
                labels=command.labels,
                request_id=command.request_id,
            ),
        )

    async def _issue(
        self,
        command: CreateKeyCommand,
        source: VenueIssued,
        venue: Venue,
        environment: Environment,
    ) -> Key:
        if not issues_keys(venue):
            raise CreateKeyUnsupported(
                f"{venue.name} issues no keys by its API; make one on its website and import it",
                metadata={"venue": venue.name},
            )
        using = await self._open_key(source.using_key_id)
        if using.venue.name != venue.name or using.environment.name != environment.name:
            raise FieldInvalid(
                "venue_issued.using_key",
                f"is a key of {using.venue.name} ({using.environment.name}), "
                f"not of {venue.name} ({environment.name})",
            )
        _check_ips(source.order.allowed_ips)
        check_options(source.order.options, venue.create_key_options, "venue_issued.options")
        venue.check_order(using.credential, source.order)
        reserved = await self._store.create(
            command.key_id, _reservation(command, venue, environment, venue.key_kinds[0])
        )
        try:
            issued = await venue.create_key(
                using.credential, environment, source.order, self._outbound
            )
        except (VenueRefused, VenueUnreachable):
            # The venue surely issued nothing, so the id is free again.
            await self._give_up(reserved)
            raise
        except VenueOutcomeUnknown as error:
            raise VenueOutcomeUnknown(
                f"{error.message}. keys/{command.key_id} stays reserved: look at the venue for "
                f"a key named '{source.order.description}', then delete both and begin anew",
                metadata={**error.metadata, "key": f"keys/{command.key_id}"},
            ) from error
        document = KeyDocument(
            venue=venue.name,
            environment=environment.name,
            algorithm=issued.algorithm,
            fields=issued.fields,
            material=issued.material,
            public_id=issued.fields.get(venue.key_kinds[0].public_id, ""),
            labels=command.labels,
            request_id=command.request_id,
        )
        return await self._write(command.key_id, document)

    async def _write(self, key_id: str, document: KeyDocument) -> Key:
        """Write what the venue issued, again and again while the store is away."""
        failure: PrivysealError | None = None
        for pause_s in _WRITE_PAUSES_S:
            await asyncio.sleep(pause_s)
            try:
                return await self._store.complete(key_id, document)
            except (Unavailable, SecretStoreForbidden) as error:
                failure = error
            except PrivysealError as error:
                failure = error
                break
        cause = failure.reason if failure else ""
        raise VenueOutcomeUnknown(
            f"the venue issued a key, but it could not be written into the secret store "
            f"({cause}); remove that key at the venue, delete keys/{key_id}, and begin anew",
            metadata={"key": f"keys/{key_id}", "cause": cause},
        ) from failure

    async def _give_up(self, reserved: Key) -> None:
        """Free the id, unless something else stands there by now."""
        try:
            found = await self._store.get(reserved.key_id)
            if found.state is KeyState.CREATING and found.version == reserved.version:
                await self._store.delete(reserved.key_id)
        except PrivysealError:
            # The reservation stays as CREATING; a custodian can delete it.
            return


def _reservation(
    command: CreateKeyCommand, venue: Venue, environment: Environment, kind: KeyKind
) -> KeyDocument:
    algorithm: Algorithm = kind.algorithm
    return KeyDocument(
        venue=venue.name,
        environment=environment.name,
        algorithm=algorithm,
        fields={},
        material=None,
        labels=command.labels,
        state=KeyState.CREATING,
        request_id=command.request_id,
    )


def _check_ips(addresses: tuple[str, ...]) -> None:
    if len(addresses) > _MAX_IPS:
        raise FieldInvalid("venue_issued.allowed_ips", f"has more than {_MAX_IPS} addresses")
    for index, address in enumerate(addresses):
        try:
            ipaddress.ip_address(address)
        except ValueError as error:
            raise FieldInvalid(
                f"venue_issued.allowed_ips[{index}]", "is no IP address, as in 203.0.113.7"
            ) from error
