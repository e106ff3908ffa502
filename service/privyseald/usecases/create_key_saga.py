"""Having a venue issue a key so that nothing is lost and nothing done twice.

Each step is named in `Step`, in order. What the venue issues is in memory alone between
ANSWERED and SEALED: a process killed there has lost it, and nobody could have kept it. Before
and after that, a restart finds what happened in the reservation and in escrow.
"""

import asyncio
import uuid
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

import structlog

from privyseald.calls import Calls
from privyseald.clock import Clock
from privyseald.errors import (
    Held,
    KeyExists,
    PrivysealError,
    SecretStoreSealed,
    SecretStoreUnreachable,
    StateUnavailable,
    VenueOutcomeUnknown,
    VenueRefused,
    VenueUnreachable,
)
from privyseald.key import Key, KeyState
from privyseald.outbound.guarded import GuardedOutbound
from privyseald.outbound.outbound import Outbound
from privyseald.secretstore.document import KeyDocument
from privyseald.secretstore.escrow import Escrow, EscrowPlace
from privyseald.secretstore.origin import Order
from privyseald.secretstore.store import SecretStore
from privyseald.signing.signer import Credential
from privyseald.usecases.create_key_outcome import (
    blocked,
    is_passing,
    left_behind,
    lost,
    may_be_under_way,
    origin_of_request,
    under_way,
)
from privyseald.usecases.land_key import LandKey
from privyseald.venues.venue import Environment, IssuedKey, IssuingVenue, KeyOrder

_RESERVE_PAUSES_S = (0.2, 1.0)
# Long enough for another node of Vault to take over; after that the reconciler goes on.
_WRITE_PAUSES_S = (0.1, 0.3, 1.0, 2.0, 4.0)
_log = structlog.get_logger("privyseald.create_key")


class Step(StrEnum):
    """What is done, in this order. Between any two of them the process may die."""

    PLACED = "placed"  # room for a record in escrow, and the key to seal it to
    RESERVED = "reserved"  # the store holds the key id, with what the venue is asked for
    ANSWERED = "answered"  # the venue has issued a key; it is in memory alone
    SEALED = "sealed"  # the record in escrow is on the disk
    WRITTEN = "written"  # the store has the key
    CLEARED = "cleared"  # the record is erased


@dataclass(frozen=True, slots=True)
class IssueOrder:
    """Everything that the steps need to know of one request. `check` raises what came between,
    Held or StateUnavailable, as long as the venue was not asked.
    """

    reservation: KeyDocument
    key_id: str
    venue: IssuingVenue
    environment: Environment
    credential: Credential
    order: KeyOrder
    check: Callable[[], None]

    @property
    def request_id(self) -> str:
        """The request that this is for."""
        return self.reservation.request_id


class CreateKeySaga:
    """The steps. `observe` hears of each one that is done; `steps` counts them."""

    def __init__(
        self,
        store: SecretStore,
        escrow: Escrow,
        outbound: Outbound,
        clock: Clock,
        calls: Calls,
        *,
        longest_ms: int,
        observe: Callable[[Step], None] | None = None,
    ) -> None:
        self._store = store
        self._escrow = escrow
        self._outbound = outbound
        self._clock = clock
        self._calls = calls
        self._longest_ms = longest_ms
        self._observe = observe
        self._land = LandKey(store, escrow)
        self.steps: Counter[Step] = Counter()

    async def __call__(self, order: IssueOrder) -> Key:
        """Return the new key; its state is ESCROWED where the store did not take it in time."""
        attempt = uuid.uuid4().hex
        place = await self._escrow.take_place(self._store, order.key_id, order.request_id, attempt)
        self._did(Step.PLACED)
        try:
            reserved = await self._reserve(order, attempt)
        except BaseException:
            await self._escrow.leave(place)
            raise
        if reserved.state is not KeyState.CREATING:
            # An earlier try of this request came to its end; its answer was lost.
            await self._escrow.leave(place)
            return reserved
        self._did(Step.RESERVED)
        issued = await self._ask(order, place, reserved)
        self._did(Step.ANSWERED)
        try:
            return await self._keep(order, place, reserved, issued)
        finally:
            issued.material.wipe()

    def find(self, key_id: str, request_id: str) -> Key | None:
        """Return the key that this request made before, if it waits in escrow: nothing is asked
        of the venue again. Raises KeyEscrowed when somebody must act before the store takes it.
        """
        found = self._escrow.find_request(key_id, request_id)
        if found is None:
            return None
        record, cause = found
        if cause:
            raise blocked(key_id, cause)
        self._escrow.changed.set()
        return record.key

    async def _reserve(self, order: IssueOrder, attempt: str) -> Key:
        """Return the reservation, or the whole key if this request made it before.

        A write whose answer was lost is known by its attempt. Raises KeyExists, and KeyCreating
        or VenueOutcomeUnknown where this request reserved the id before and did not come back.
        """
        using = order.credential.key.key_id
        told = Order(using, order.order.description, attempt)
        document = replace(order.reservation, fields=told.to_fields())
        for pause_s in _RESERVE_PAUSES_S:
            with suppress(SecretStoreSealed, SecretStoreUnreachable):
                return await self._try_to_reserve(order.key_id, document)
            await asyncio.sleep(pause_s)
        return await self._try_to_reserve(order.key_id, document)

    async def _try_to_reserve(self, key_id: str, document: KeyDocument) -> Key:
        try:
            return await self._store.create(key_id, document)
        except KeyExists as error:
            origin = await origin_of_request(self._store, key_id, document, error)
            is_ours = origin.order.attempt == document.fields["attempt"]
            if is_ours or not origin.is_reservation:
                return origin.key
            is_abandoned = self._escrow.is_abandoned(key_id, document.request_id)
            if not is_abandoned and may_be_under_way(origin, self._clock, self._longest_ms):
                raise under_way(origin) from error
            raise left_behind(origin) from error

    async def _ask(self, order: IssueOrder, place: EscrowPlace, reserved: Key) -> IssuedKey:
        try:
            with self._calls.call(order.venue.name, "create-key"):
                return await order.venue.create_key(
                    order.credential,
                    order.environment,
                    order.order,
                    GuardedOutbound(self._outbound, order.check),
                )
        except (VenueRefused, VenueUnreachable, Held, StateUnavailable):
            # The venue surely issued nothing, so the id is free again.
            await self._give_up(reserved)
            await self._escrow.leave(place)
            raise
        except VenueOutcomeUnknown as error:
            await self._escrow.abandon(place)
            _log.error("create key outcome unknown", key=order.key_id, venue=order.venue.name)
            raise VenueOutcomeUnknown(
                f"{error.message}. keys/{order.key_id} stays reserved: look at the venue for "
                f"a key named '{order.order.description}', then delete both and begin anew",
                metadata={**error.metadata, "key": f"keys/{order.key_id}"},
            ) from error
        except BaseException:
            await self._escrow.abandon(place)
            raise

    async def _keep(
        self, order: IssueOrder, place: EscrowPlace, reserved: Key, issued: IssuedKey
    ) -> Key:
        public_field = order.venue.key_kinds[0].public_id
        document = KeyDocument(
            venue=order.venue.name,
            environment=order.environment.name,
            algorithm=issued.algorithm,
            fields=issued.fields,
            material=issued.material,
            public_id=issued.fields.get(public_field, ""),
            labels=order.reservation.labels,
            request_id=order.request_id,
        )
        path: Path | None = None
        escrowed: Key | None = None
        try:
            path, record = await self._escrow.seal(place, document, reserved.version)
            escrowed = record.key
            self._did(Step.SEALED)
        except OSError as error:
            # The store is the only hope now, and it is not given up.
            _log.error("escrow record not written", key=order.key_id, cause=error.strerror)
        failure = await self._write(order.key_id, document, path)
        if isinstance(failure, Key):
            self._did(Step.CLEARED)
            return failure
        if path is None or escrowed is None:
            raise lost(order.key_id, failure) from failure
        if self._escrow.find_request(order.key_id, order.request_id) is None:
            # A custodian deleted the key meanwhile, and with it the record.
            raise failure
        if not is_passing(failure):
            self._escrow.block(path, failure.reason)
            _log.error("escrow record blocked", key=order.key_id, cause=failure.reason)
            raise blocked(order.key_id, failure.reason) from failure
        _log.warning("key escrowed", key=order.key_id, cause=failure.reason)
        self._escrow.changed.set()
        return escrowed

    async def _write(
        self, key_id: str, document: KeyDocument, path: Path | None
    ) -> Key | PrivysealError:
        """Write what the venue issued, again and again while the store is away."""
        result = await self._try_to_write(key_id, document, path)
        for pause_s in _WRITE_PAUSES_S:
            if isinstance(result, Key) or not is_passing(result):
                break
            await asyncio.sleep(pause_s)
            result = await self._try_to_write(key_id, document, path)
        return result

    async def _try_to_write(
        self, key_id: str, document: KeyDocument, path: Path | None
    ) -> Key | PrivysealError:
        try:
            return await self._land(key_id, document, path, lambda: self._did(Step.WRITTEN))
        except PrivysealError as error:
            return error

    async def _give_up(self, reserved: Key) -> None:
        """Free the id, unless something else stands there by now."""
        try:
            found = await self._store.get(reserved.key_id)
            if found.state is KeyState.CREATING and found.version == reserved.version:
                await self._store.delete(reserved.key_id)
        except PrivysealError:
            # The reservation stays as CREATING; a custodian can delete it.
            return

    def _did(self, step: Step) -> None:
        self.steps[step] += 1
        if self._observe is not None:
            self._observe(step)
