"""The audit log: one JSON line per RPC, refused ones too, written before the answer goes out.

A BatchSign has one more for each of its requests. The event loop makes the lines and never
waits for the sink: a thread writes them, all that have gathered while it wrote the ones before.
"""

import asyncio
import hashlib
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import fields
from functools import partial
from operator import attrgetter

import structlog

from privyseald import __version__
from privyseald.audit.chain import Chain, Fact, Head, body_of
from privyseald.audit.checkpoint_key import CheckpointKey
from privyseald.audit.entry import Entry
from privyseald.audit.open_sink import open_sink
from privyseald.audit.pending import Waiter
from privyseald.audit.scribe import Scribe
from privyseald.audit.sink import Sink
from privyseald.audit.witness import Witness
from privyseald.audit_config import AuditConfig
from privyseald.clock import Clock
from privyseald.errors import AuditUnavailable, Overloaded, PrivysealError
from privyseald.keeper import Keeper, Work
from privyseald.signing.secret import SecretBytes
from privyseald.state.sealed_values import SealedValues

_PULSES_PER_TIMEOUT = 4
_LONGEST_PULSE_S = 0.25
_LONGEST_KEY_PAUSE_S = 30.0
_RETRY_MS = 1_000
_CROWDED_RETRY_MS = 200
_NAMES = tuple(each.name for each in fields(Entry))
_values_of = attrgetter(*_NAMES)
_log = structlog.get_logger("privyseald.audit")

GetKey = Callable[[], Awaitable[SecretBytes]]


class AuditLog:
    """Appends lines to a chain, and signs checkpoints once it has a key. See docs/audit.md."""

    def __init__(
        self,
        sink: Sink,
        clock: Clock,
        config: AuditConfig | None = None,
        *,
        worker: int = 0,
        get_key: GetKey | None = None,
        values: SealedValues | None = None,
        keeper: Keeper | None = None,
    ) -> None:
        """Take a sink, a way to get the key of the checkpoints (see `CheckpointKey`), and where
        to remember how far the log has come. `keeper` keeps it going.
        """
        self._sink = sink
        self._clock = clock
        self._keeper = keeper or Keeper(clock)
        self._config = config or AuditConfig()
        self._get_key = get_key
        self._replica = socket.gethostname() + (f"/worker-{worker}" if worker else "")
        self._witness: Witness | None = None
        if values is not None and self._config.file is not None:
            place = hashlib.sha256(str(self._config.file.absolute()).encode()).hexdigest()[:16]
            self._witness = Witness(values, f"{self._replica}/{place}")
        self._scribe: Scribe | None = None
        self._is_closed = False
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    def open(
        cls,
        config: AuditConfig,
        clock: Clock,
        *,
        worker: int = 0,
        get_key: GetKey | None = None,
        values: SealedValues | None = None,
        keeper: Keeper | None = None,
    ) -> "AuditLog":
        """Open what the configuration names; each worker of a host has a file of its own.

        Raises ConfigInvalid when it can't be opened, or when another process writes to it.
        """
        sink = open_sink(config, worker)
        return cls(
            sink, clock, config, worker=worker, get_key=get_key, values=values, keeper=keeper
        )

    async def start(self) -> None:
        """Begin to write. A sink that does not take a line now may do so later."""
        end, loop = self._sink.end, asyncio.get_running_loop()
        chain = Chain(end.head, self._replica)
        scribe = Scribe(self._sink, chain, self._config, self._clock, loop, self._tell_witness)
        self._scribe = scribe
        self._keep("audit-pulse", partial(self._keep_time, scribe))
        if end.facts.get("found") in {"foreign", "broken"}:
            _log.error(
                "audit log changed since it was written",
                found=end.facts["found"],
                advice="run 'privyseal audit verify' on it",
            )
        facts: dict[str, Fact] = {"event": "start", "version": __version__, "pid": os.getpid()}
        try:
            await self._write([body_of(self._clock.time_us(), {**facts, **end.facts})])
        except AuditUnavailable as error:
            _log.error("audit log not begun", advice=error.message)
        if self._witness is not None:
            self._keep("audit-witness", partial(self._witness.run, end.head, scribe.post))
        if self._get_key is not None:
            self._keep("audit-key", partial(self._fetch_key, scribe, self._get_key))

    def check_room(self) -> None:
        """Return if an RPC may begin. Raises AuditUnavailable where its line could not be
        written now, and Overloaded where too many lines wait; the RPC is counted in the log.
        """
        scribe = self._scribe
        if scribe is None or scribe.fault or scribe.is_stalled:
            if scribe is not None:
                scribe.withheld.refused += 1
            raise AuditUnavailable(
                "the audit log can't be written, so nothing was begun; an operator must look at "
                "the disk of audit.file, or at who reads it",
                retry_after_ms=_RETRY_MS,
            )
        if scribe.pending.is_half_full:
            scribe.withheld.refused += 1
            raise Overloaded(
                "the audit log is slower than the RPCs that come in; nothing was begun",
                retry_after_ms=_CROWDED_RETRY_MS,
            )

    @property
    def scribe(self) -> Scribe | None:
        """Who writes, for those who watch; None before the start and after the end."""
        return self._scribe

    @property
    def is_writable(self) -> bool:
        """Whether lines are written now, as far as is known."""
        scribe = self._scribe
        return scribe is not None and not scribe.fault and not scribe.is_stalled

    async def write(self, entry: Entry, duration_us: int, parts: Sequence[Entry] = ()) -> None:
        """Write the line of one RPC, behind the lines of its parts; return when that is done.

        Raises AuditUnavailable where it can't be done in time: then the answer must not go out,
        and the line, if it is written later, says so or is named by one that does.
        """
        await self._write(self._bodies(entry, duration_us, parts))

    async def record(self, entry: Entry) -> None:
        """Write the line of something that no RPC brought about. Raises AuditUnavailable."""
        await self._write([body_of(self._clock.time_us(), _facts(entry))])

    def note(self, entry: Entry, duration_us: int, parts: Sequence[Entry] = ()) -> None:
        """Have the line of an RPC written whose caller has gone, without waiting for it."""
        bodies, scribe = self._bodies(entry, duration_us, parts), self._scribe
        if scribe is None or not scribe.pending.has_room(len(bodies), _size(bodies)):
            _log.error("audit line lost", rpc=entry.rpc)
            if scribe is not None:
                scribe.withheld.lost += len(bodies)
            return
        scribe.pending.put(bodies, None)
        scribe.wake()

    async def close(self) -> None:
        """Write that this is the end, sign, sync and let go. A second time changes nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        scribe, self._scribe = self._scribe, None
        if scribe is None:
            self._sink.close()
            return
        scribe.post({"event": "stop"})
        await self._until(scribe.finish())
        for task in self._tasks:
            task.cancel()
        if self._witness is not None:
            await self._until(self._witness.end())
        closed = asyncio.Event()
        scribe.close(lambda _: closed.set())
        if not await self._until(closed.wait()):
            _log.error("audit log not closed", lines=len(scribe.pending))

    async def _write(self, bodies: list[bytes]) -> None:
        scribe = self._scribe
        if scribe is None:
            raise _withheld()
        if not scribe.pending.has_room(len(bodies), _size(bodies)):
            scribe.withheld.lost += len(bodies)
            raise _withheld()
        answered = asyncio.get_running_loop().create_future()
        waiter = Waiter(answered, len(bodies), self._clock.monotonic_ms())
        if scribe.fault:
            waiter.give_up()
        scribe.pending.put(bodies, waiter)
        scribe.wake()
        if not await answered:
            raise _withheld()

    def _bodies(self, entry: Entry, duration_us: int, parts: Sequence[Entry]) -> list[bytes]:
        time_us = self._clock.time_us()
        bodies = [body_of(time_us, _facts(part)) for part in parts]
        facts = _facts(entry)
        facts["duration_us"] = duration_us
        bodies.append(body_of(time_us, facts))
        return bodies

    def _tell_witness(self, head: Head) -> None:
        if self._witness is not None:
            self._witness.note(head)

    def _keep(self, name: str, work: Work) -> None:
        self._tasks.append(self._keeper.keep(name, work))

    async def _keep_time(self, scribe: Scribe) -> None:
        pause_s = min(self._config.timeout_ms / 1_000 / _PULSES_PER_TIMEOUT, _LONGEST_PULSE_S)
        while True:
            await asyncio.sleep(pause_s)
            scribe.pulse()

    async def _fetch_key(self, scribe: Scribe, get_key: GetKey) -> None:
        """Get the key, as soon as the store gives it; say in the log that it did not at first."""
        pause_s = 1.0
        while scribe.key is None:
            try:
                material = await get_key()
                scribe.key = CheckpointKey(material)
                material.wipe()
            except PrivysealError as error:
                if pause_s == 1.0:
                    scribe.post({"event": "unsigned", "reason": error.reason})
                    _log.warning("audit key not read yet", reason=error.reason)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_KEY_PAUSE_S)

    async def _until(self, done: Awaitable[object]) -> bool:
        """Wait, but not for ever; return whether it came."""
        try:
            async with asyncio.timeout(max(self._config.timeout_ms, _RETRY_MS) / 1_000):
                await done
        except TimeoutError:
            return False
        return True


def _facts(entry: Entry) -> dict[str, Fact]:
    return {name: value for name, value in zip(_NAMES, _values_of(entry), strict=True) if value}


def _size(bodies: list[bytes]) -> int:
    return sum(map(len, bodies))


def _withheld() -> AuditUnavailable:
    return AuditUnavailable(
        "the audit line can't be written, so the answer is withheld; "
        "an operator must look at the disk of audit.file, or at who reads it",
        retry_after_ms=_RETRY_MS,
    )
