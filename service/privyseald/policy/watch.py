"""Keeps the rules in force those of the policy file, without a restart."""

import asyncio
import gc
import hashlib
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import structlog

from privyseald.clock import Clock
from privyseald.config_error import ConfigInvalid
from privyseald.file_stamp import FileStamp, stamp_files
from privyseald.policy.file import parse_policy, read_policy
from privyseald.policy.policy import Policy
from privyseald.policy.rule import Rule
from privyseald.venues.registry import Venues

_PAUSE_S = 1.0
# A file that changes is left alone for as long: half of it could be a policy too.
_SETTLE_S = 0.25
# While a file is read, the event loop waits at each turn for as long; by default ten times that.
_SWITCH_S = 0.0005
# Nobody foresaw these of a file; whatever they are, the rules in force must go on.
_UNFORESEEN = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)
_log = structlog.get_logger("privyseald.policy")


class PolicyEvent(StrEnum):
    """What became of a policy file, as the audit log says it."""

    LOADED = "policy-loaded"
    RELOADED = "policy-reloaded"
    REFUSED = "policy-refused"


@dataclass(frozen=True, slots=True)
class PolicyNews:
    """An event beside the SHA-256 of the file that it is about; empty where it can't be read."""

    event: PolicyEvent
    sha256: str


Tell = Callable[[PolicyNews], Awaitable[None]]


class PolicyWatch:
    """Puts in force what the file holds, all at once, soon after it has changed.

    What does not load leaves the last good rules in force, and is told once a change.
    `loaded_time_ms` is when the file in force was read. `failed_since_ms` is since when a file
    lies there that does not load, None where there is none. `reloads` and `refusals` count.
    """

    def __init__(self, path: Path, venues: Venues, clock: Clock) -> None:
        """Read the file. Raises ConfigInvalid."""
        self._path = path
        self._venues = venues
        self._clock = clock
        # It is read once more at the first look, as it could have changed while it was read.
        self._done: FileStamp | None = None
        self._seen: FileStamp | None = None
        text = read_policy(path)
        self.policy = Policy(parse_policy(text, str(path), venues), clock)
        self.sha256 = _sha256_of(text)
        self.loaded_time_ms = self._now_ms
        self.failed_since_ms: int | None = None
        self.reloads = 0
        self.refusals = 0
        self._refused = ("", "")

    async def run(self, tell: Tell) -> None:
        """Look at the file every second until cancelled."""
        while True:
            settles = await self.look(tell)
            await asyncio.sleep(_SETTLE_S if settles else _PAUSE_S)

    async def look(self, tell: Tell) -> bool:
        """Bring into force what the file holds, if it changed; return whether it may be about to
        change further.
        """
        stamp = await asyncio.to_thread(stamp_files, (self._path,))
        if stamp == self._done:
            self._seen = stamp
            return False
        if stamp != self._seen:
            self._seen = stamp
            return True
        candidate = await asyncio.to_thread(self._read)
        if await asyncio.to_thread(stamp_files, (self._path,)) != stamp:
            return True
        self._done = stamp
        await self._settle(candidate, tell)
        return False

    async def _settle(self, candidate: "_Candidate", tell: Tell) -> None:
        if candidate.problem:
            await self._refuse(candidate, tell)
            return
        mended, self.failed_since_ms = self.failed_since_ms is not None, None
        if candidate.rules is not None:
            self.policy.replace(candidate.rules)
        elif not mended:
            return
        self.sha256, self.loaded_time_ms = candidate.sha256, self._now_ms
        self.reloads += 1
        self._refused = ("", "")
        _log.info("policy replaced", rules=len(self.policy.rules), sha256=self.sha256)
        await tell(PolicyNews(PolicyEvent.RELOADED, self.sha256))

    async def _refuse(self, candidate: "_Candidate", tell: Tell) -> None:
        if self.failed_since_ms is None:
            self.failed_since_ms = self._now_ms
        if self._refused == (candidate.sha256, candidate.problem):
            return
        self._refused = (candidate.sha256, candidate.problem)
        self.refusals += 1
        _log.error(
            "policy not replaced",
            cause=candidate.problem,
            advice="the last good rules stay in force; mend the file, and try it with "
            "'privyseal policy check'",
            sha256=self.sha256,
        )
        await tell(PolicyNews(PolicyEvent.REFUSED, candidate.sha256))

    def _read(self) -> "_Candidate":
        """Return what the file holds. Runs in a thread: a long one takes a second."""
        sha256 = ""
        try:
            text = read_policy(self._path)
            sha256 = _sha256_of(text)
            if sha256 == self.sha256:
                return _Candidate(sha256)
            with _short_turns():
                return _Candidate(sha256, parse_policy(text, str(self._path), self._venues))
        except ConfigInvalid as error:
            return _Candidate(sha256, problem=str(error))
        except _UNFORESEEN as error:
            # Its text may quote anything.
            return _Candidate(sha256, problem=f"{self._path}: {type(error).__name__} within")

    @property
    def _now_ms(self) -> int:
        return self._clock.time_us() // 1_000


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A file as it was found: `rules` is None where it is the one in force."""

    sha256: str
    rules: tuple[Rule, ...] | None = None
    problem: str = ""


def _sha256_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@contextmanager
def _short_turns() -> Iterator[None]:
    """Let threads take turns more often: the loop needs many, and each of them is short. Python
    does not look for garbage meanwhile: among all that a long file is made of, it would stop
    everybody for 50 ms and find none.
    """
    before, collects = sys.getswitchinterval(), gc.isenabled()
    sys.setswitchinterval(_SWITCH_S)
    gc.disable()
    try:
        yield
    finally:
        sys.setswitchinterval(before)
        if collects:
            gc.enable()
