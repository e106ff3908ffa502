"""CreateKey: a new key straight into the store, generated here or issued by the venue.

Who may, and whether the order makes sense, is decided here; `create_key_saga` does the rest for
what a venue issues. A generated key is one write, so there is nothing to lose.
"""

import ipaddress
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from privyseald.audit.entry import Entry
from privyseald.caller import Caller
from privyseald.errors import CreateKeyUnsupported, FieldInvalid, KeyExists
from privyseald.holds.holds import Holds
from privyseald.idempotency.idempotency import Idempotency
from privyseald.key import Algorithm, Key, KeyState, check_key_id, check_labels
from privyseald.policy.action import Action
from privyseald.policy.policy import Policy
from privyseald.secretstore.cache import KeyCache
from privyseald.secretstore.document import KeyDocument
from privyseald.secretstore.store import SecretStore
from privyseald.signing.generate import generate
from privyseald.signing.schemes import make_signer
from privyseald.usecases.answer_codec import KeyCodec
from privyseald.usecases.create_key_outcome import left_behind, origin_of_request
from privyseald.usecases.create_key_saga import CreateKeySaga, IssueOrder
from privyseald.usecases.open_key import OpenedKey, OpenKey
from privyseald.usecases.permit import permit
from privyseald.venues.kinds import algorithm_of, check_fields, check_options, key_kind
from privyseald.venues.registry import Venues, issues_keys
from privyseald.venues.venue import Environment, KeyKind, KeyOrder, Venue

_MAX_IPS = 30


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
        holds: Holds,
        venues: Venues,
        store: SecretStore,
        cache: KeyCache[OpenedKey],
        open_key: OpenKey,
        idempotency: Idempotency,
        issue_key: CreateKeySaga,
    ) -> None:
        self._policy = policy
        self._holds = holds
        self._venues = venues
        self._store = store
        self._cache = cache
        self._open_key = open_key
        self._idempotency = idempotency
        self._issue_key = issue_key

    async def __call__(self, caller: Caller, command: CreateKeyCommand, entry: Entry) -> Key:
        """Return the new key's public facts. Raises KeyExists, VenueRefused, Unavailable…."""
        check_key_id(command.key_id)
        self._policy.admit(caller, Action.CREATE_KEY, command.key_id)
        venue = self._venues.get(command.venue)
        entry.venue = venue.name
        entry.rule = self._policy.check(caller, Action.CREATE_KEY, command.key_id, venue=venue.name)
        environment = self._venues.environment(venue, command.environment)
        check_labels(command.labels)
        source = command.source
        if isinstance(source, VenueIssued):
            action = Action.USE_FOR_CREATE_KEY
            await permit(self._policy, self._store, caller, action, source.using_key_id)

        def check() -> None:
            self._holds.check(caller, command.key_id, venue.name)
            if isinstance(source, VenueIssued):
                self._holds.check(caller, source.using_key_id, venue.name)

        check()
        # It goes on when the caller goes away: a key that the venue has issued must reach the
        # store. An id that nobody else knows needs no word with other replicas.
        whole = replace(command, request_id=command.request_id or str(uuid.uuid4()))
        key = await self._idempotency.once(
            f"create-key/{caller.name}",
            command.request_id,
            command.fingerprint,
            lambda: self._idempotency.to_the_end(
                lambda: self._create(whole, venue, environment, check)
            ),
            KeyCodec(),
        )
        entry.key_version = key.version
        return key

    async def _create(
        self,
        command: CreateKeyCommand,
        venue: Venue,
        environment: Environment,
        check: Callable[[], None],
    ) -> Key:
        # As the idempotency took it for: one id in whatever form it comes.
        command = replace(command, request_id=str(uuid.UUID(command.request_id)))
        try:
            if isinstance(command.source, Generated):
                check()
                return await self._generate(command, command.source, venue, environment)
            return await self._issue(command, command.source, venue, environment, check)
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
        document = KeyDocument(
            venue=venue.name,
            environment=environment.name,
            algorithm=algorithm,
            fields=source.fields,
            material=material,
            public_id=signer.public_id,
            labels=command.labels,
            request_id=command.request_id,
        )
        try:
            return await self._store.create(command.key_id, document)
        except KeyExists as error:
            origin = await origin_of_request(self._store, command.key_id, document, error)
            if origin.is_reservation:
                raise left_behind(origin) from error
            # This request made it before; its answer was lost.
            return origin.key
        finally:
            material.wipe()

    async def _issue(
        self,
        command: CreateKeyCommand,
        source: VenueIssued,
        venue: Venue,
        environment: Environment,
        check: Callable[[], None],
    ) -> Key:
        if not issues_keys(venue):
            raise CreateKeyUnsupported(
                f"{venue.name} issues no keys by its API; make one on its website and import it",
                metadata={"venue": venue.name},
            )
        escrowed = self._issue_key.find(command.key_id, command.request_id)
        if escrowed is not None:
            return escrowed
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
        return await self._issue_key(
            IssueOrder(
                _reservation(command, venue, environment, venue.key_kinds[0]),
                command.key_id,
                venue,
                environment,
                using.credential,
                source.order,
                check,
            )
        )


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
