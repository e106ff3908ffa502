"""Putting right what an outage or a crash left behind when a venue issued a key."""

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import structlog

from privyseald.clock import Clock
from privyseald.errors import KeyUnknown, PreconditionFailed, PrivysealError
from privyseald.key import Key, KeyState
from privyseald.secretstore.escrow import Escrow
from privyseald.secretstore.escrow_record import EscrowRecord
from privyseald.secretstore.origin import Origin
from privyseald.secretstore.store import SecretStore
from privyseald.signing.sealed_box import BoxBroken, OpeningKey
from privyseald.usecases.create_key_outcome import is_passing, may_be_under_way
from privyseald.usecases.land_key import LandKey

_PAGE = 500
_log = structlog.get_logger("privyseald.reconcile")


class Outcome(StrEnum):
    """What became of a record or a reservation."""

    MOVED = "moved"  # the secret store has the key
    WAITING = "waiting"  # the store is away, or refuses this service
    BLOCKED = "blocked"  # something else stands there, or the store takes no such key
    UNREADABLE = "unreadable"  # damaged, or sealed to another key than the store has
    UNKNOWN = "unknown"  # reserved, and nobody knows whether the venue issued a key


_LEVELS = {
    Outcome.MOVED: logging.INFO,
    Outcome.WAITING: logging.WARNING,
    Outcome.BLOCKED: logging.ERROR,
    Outcome.UNREADABLE: logging.ERROR,
    Outcome.UNKNOWN: logging.ERROR,
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One record or reservation, what became of it, and what to do."""

    outcome: Outcome
    key_id: str
    venue: str = ""
    cause: str = ""
    advice: str = ""


class Reconcile:
    """Moves records out of escrow into the store, and finds reservations left behind.

    A change is logged once. `findings` and `totals` are for whoever counts.
    """

    def __init__(
        self, store: SecretStore, escrow: Escrow, clock: Clock, *, longest_ms: int
    ) -> None:
        self._store = store
        self._escrow = escrow
        self._clock = clock
        self._longest_ms = longest_ms
        self._land = LandKey(store, escrow)
        self._told_records: dict[str, Finding] = {}
        self._told_reservations: dict[str, Finding] = {}
        self.totals: Counter[Outcome] = Counter()

    @property
    def findings(self) -> Mapping[Outcome, int]:
        """How many records and reservations are in which way now; moved ones are none."""
        told = [*self._told_records.values(), *self._told_reservations.values()]
        return Counter(finding.outcome for finding in told)

    async def records(self) -> tuple[Finding, ...]:
        """Move what can be moved, and return what became of each record."""
        self._escrow.refresh()
        findings: dict[str, Finding] = {}
        for path, record in self._escrow.records():
            finding = await self._move(path, record)
            if finding is not None:
                findings[path.name] = finding
        for name in self._escrow.unread():
            findings[name] = Finding(
                Outcome.UNREADABLE,
                name.split(".")[0],
                cause="damaged",
                advice=f"restore the file {name} of escrow.path from a copy of the disk",
            )
        self._told_records = self._tell(self._told_records, findings)
        return tuple(findings.values())

    async def reservations(self, pause_ratio: float = 0) -> tuple[tuple[Finding, ...], bool]:
        """Return the reservations that nobody works on any more, and whether there are others.

        Between pages it pauses `pause_ratio` times as long as the page took. Raises what the
        store raises.
        """
        findings: dict[str, Finding] = {}
        settled = set(self._escrow.abandoned())
        is_any_young = False
        after = ""
        while True:
            begun_ms = self._clock.monotonic_ms()
            page = await self._store.list(after, _PAGE)
            for key in page.keys:
                origin = await self._reserved(key)
                if origin is None:
                    continue
                settled.discard((key.key_id, origin.request_id))
                is_abandoned = self._escrow.is_abandoned(key.key_id, origin.request_id)
                if not is_abandoned and may_be_under_way(origin, self._clock, self._longest_ms):
                    is_any_young = True
                    continue
                findings[key.key_id] = Finding(
                    Outcome.UNKNOWN, key.key_id, key.venue, "reserved", origin.advice
                )
            after = page.next_after
            if not after:
                for key_id, request_id in settled:
                    await self._escrow.forget_abandoned(key_id, request_id)
                self._told_reservations = self._tell(self._told_reservations, findings)
                return tuple(findings.values()), is_any_young
            await asyncio.sleep(pause_ratio * (self._clock.monotonic_ms() - begun_ms) / 1_000)

    async def _move(self, path: Path, record: EscrowRecord) -> Finding | None:
        """Return what became of a record; None where somebody deleted it meanwhile."""
        key_id, venue = record.key_id, record.facts.venue
        try:
            opening_key = await self._escrow.opening_key(self._store)
            document = record.open(opening_key)
            try:
                await self._land(key_id, document, path)
            finally:
                if document.material is not None:
                    document.material.wipe()
        except BoxBroken:
            self._escrow.block(path, "UNREADABLE")
            return _unreadable(record, opening_key)
        except PrivysealError as error:
            if not self._escrow.holds(path):
                return None
            if is_passing(error):
                self._escrow.unblock(path)
                return Finding(Outcome.WAITING, key_id, venue, error.reason, error.message)
            self._escrow.block(path, error.reason)
            return Finding(
                Outcome.BLOCKED,
                key_id,
                venue,
                error.reason,
                f"another key stands at {key_id}, or the store takes none like it: "
                f"{error.message}; once that is put right the key is moved in by itself",
            )
        return Finding(Outcome.MOVED, key_id, venue)

    async def _reserved(self, key: Key) -> Origin | None:
        """Return the origin of a reservation; None for anything else."""
        if key.state is not KeyState.CREATING:
            return None
        try:
            origin = await self._store.origin(key.key_id)
        except (KeyUnknown, PreconditionFailed):
            return None
        return origin if origin.is_reservation else None

    def _tell(
        self, told: Mapping[str, Finding], findings: Mapping[str, Finding]
    ) -> dict[str, Finding]:
        """Log what is new, and return what is to be remembered as told."""
        for name, finding in findings.items():
            if told.get(name) == finding:
                continue
            self.totals[finding.outcome] += 1
            level = _LEVELS[finding.outcome]
            _log.log(
                level,
                "key creation reconciled" if level == logging.INFO else "key creation left over",
                outcome=finding.outcome.value,
                key=finding.key_id,
                venue=finding.venue,
                cause=finding.cause,
                advice=finding.advice,
            )
        return {
            name: finding
            for name, finding in findings.items()
            if finding.outcome is not Outcome.MOVED
        }


def _unreadable(record: EscrowRecord, opening_key: OpeningKey) -> Finding:
    is_other = record.sealed_to != opening_key.sealing_key.fingerprint
    return Finding(
        Outcome.UNREADABLE,
        record.key_id,
        record.facts.venue,
        "sealed to another key" if is_other else "damaged",
        "the record is sealed to a key that this secret store does not have; point the service "
        "at the store that it was sealed for, or restore that store's escrow key"
        if is_other
        else "the record was changed after it was sealed; restore it from a copy of the disk",
    )
