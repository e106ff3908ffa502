"""ReportAnswer: what a venue said to a signed request, and what follows from it."""

from dataclasses import dataclass, field

import structlog

from privyseald.audit.entry import Entry
from privyseald.caller import Caller
from privyseald.clock import Clock
from privyseald.clock_offsets import ClockOffsets
from privyseald.key import Key
from privyseald.nonces import NonceSource, Numbers
from privyseald.policy.action import Action
from privyseald.policy.policy import Policy
from privyseald.sessions.sessions import Sessions
from privyseald.usecases.open_key import OpenedKey, OpenKey
from privyseald.usecases.resync_nonce import numbers_of
from privyseald.venues.reading import Meaning, VenueTime, date_time, reads_answers
from privyseald.venues.registry import opens_sessions
from privyseald.venues.venue import SessionUse

_MAX_BODY = 65_536
# However often somebody reports, and whatever: nonces are never pushed further ahead of the
# venue's clock, and no key's are touched more often.
_LONGEST_RAISE_MS = 2_000
_BETWEEN_MS = 1_000
_MAX_KEYS = 10_000
_log = structlog.get_logger("privyseald.nonces")


@dataclass(frozen=True, slots=True)
class Report:
    """An answer of the key's venue. `sign_time_ms` says when its request was signed, or the
    session opened that it was made with.
    """

    key_id: str
    status: int
    body: bytes = field(repr=False)
    sign_time_ms: int
    nonce: int | None = None
    date: str = ""


class ReportAnswer:
    """Understands an answer, and acts on it as far as it can't be used to do harm."""

    def __init__(
        self,
        policy: Policy,
        open_key: OpenKey,
        nonces: NonceSource,
        offsets: ClockOffsets,
        sessions: Sessions,
        clock: Clock,
    ) -> None:
        self._policy = policy
        self._open_key = open_key
        self._nonces = nonces
        self._offsets = offsets
        self._sessions = sessions
        self._clock = clock
        self._last_ms: dict[str, int] = {}

    async def __call__(self, caller: Caller, report: Report, entry: Entry) -> Meaning:
        """Return what the answer means. Raises StateUnavailable…."""
        entry.rule = self._policy.admit(caller, Action.SIGN, report.key_id)
        opened = await self._open_key(report.key_id)
        key, numbers = opened.credential.key, numbers_of(opened)
        entry.venue, entry.key_version = key.venue, key.version
        entry.rule = self._policy.admit(caller, Action.SIGN, report.key_id, key.venue)
        date = date_time(report.date)
        if date is not None:
            self._offsets.report(key, date, report.sign_time_ms)
        meaning = self._meaning(report, opened, numbers, date)
        entry.operation = f"answer {report.status}: {meaning}"
        if meaning is Meaning.SESSION_EXPIRED:
            await self._sessions.invalidate(key, report.sign_time_ms)
        elif meaning is not Meaning.NOTHING:
            await self._bring_in_line(meaning, report, numbers, date, key)
        return meaning

    def _meaning(
        self, report: Report, opened: OpenedKey, numbers: Numbers | None, date: VenueTime | None
    ) -> Meaning:
        venue = opened.venue
        if not reads_answers(venue):
            return Meaning.NOTHING
        meaning = venue.read_answer(report.status, report.body[:_MAX_BODY])
        if meaning is Meaning.SESSION_EXPIRED:
            has_session = opens_sessions(venue) and (
                venue.session_use(opened.credential) is not SessionUse.NEVER
            )
            return meaning if has_session else Meaning.NOTHING
        if meaning is not Meaning.NONCE_OUTSIDE or numbers is None:
            return meaning
        # The venue's clock at the answer; else as it is believed to be now, which is later.
        venue_ms = self._nonces.now(numbers) // numbers.units
        if date is not None:
            venue_ms = date.time_ms + date.grain_ms
        nonce_ms = report.sign_time_ms + self._offsets.of(numbers.key)
        if report.nonce is not None:
            nonce_ms = report.nonce // numbers.units
        return Meaning.NONCE_AHEAD if nonce_ms > venue_ms else Meaning.NONCE_STALE

    async def _bring_in_line(
        self,
        meaning: Meaning,
        report: Report,
        numbers: Numbers | None,
        date: VenueTime | None,
        key: Key,
    ) -> None:
        if numbers is None or not self._is_due(numbers.counter):
            return
        if meaning is Meaning.NONCE_AHEAD:
            if numbers.lead_ms is None:
                return
            before, after = await self._nonces.resync(numbers)
        else:
            target = await self._above(report, numbers, date)
            if target is None:
                return
            before, after = await self._nonces.pass_over(numbers, target)
        if before != after:
            _log.warning(
                "nonces brought in line with the venue",
                key=key.name,
                meaning=meaning,
                before=before,
                after=after,
            )

    async def _above(self, report: Report, numbers: Numbers, date: VenueTime | None) -> int | None:
        """Return what the next nonce shall be above; None where that would not help."""
        lead_ms, units = numbers.lead_ms, numbers.units
        highest = (
            self._nonces.now(numbers) + min(lead_ms or _LONGEST_RAISE_MS, _LONGEST_RAISE_MS) * units
        )
        if lead_ms is not None:
            # Only the venue's clock counts there. Nonces are new in any case.
            return None if date is None else min(date.time_ms * units, highest)
        if report.nonce is not None and await self._nonces.last(numbers) > report.nonce:
            # A later one arrived first: it was only overtaken.
            return None
        return highest

    def _is_due(self, counter: str) -> bool:
        now_ms = self._clock.monotonic_ms()
        if now_ms - self._last_ms.get(counter, now_ms - _BETWEEN_MS) < _BETWEEN_MS:
            return False
        if len(self._last_ms) >= _MAX_KEYS:
            self._last_ms.clear()
        self._last_ms[counter] = now_ms
        return True
