"""Who gives lines their place and has them written: one group at a time, by a thread.

All but the sink's own methods runs in the event loop, so nothing here is locked. A group that
can't be written leaves no trace: the chain is set back, and its lines wait with the others.
"""

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar

import structlog

from privyseald.audit.chain import Chain, Fact, Head, body_of
from privyseald.audit.checkpoint_key import CheckpointKey
from privyseald.audit.crowd import Crowd
from privyseald.audit.file_turn import FileTurn
from privyseald.audit.group import Group
from privyseald.audit.pending import Pending, Waiter
from privyseald.audit.sink import Rotated, Sink, Written
from privyseald.audit.withheld import Withheld
from privyseald.audit.writer_thread import WriterThread
from privyseald.audit_config import AuditConfig
from privyseald.clock import Clock

_GROUP_BYTES = 1_048_576
_RETRY_MS = 1_000
_LOOK_MS = 5_000
_LINGER_S = 0.001
_T = TypeVar("_T")
_log = structlog.get_logger("privyseald.audit")


class Scribe:
    """Writes what is pending. Call `pulse` a few times a second: it keeps the time."""

    def __init__(
        self,
        sink: Sink,
        chain: Chain,
        config: AuditConfig,
        clock: Clock,
        loop: asyncio.AbstractEventLoop,
        on_checkpoint: Callable[[Head], None],
    ) -> None:
        self.pending = Pending(config.queue_lines, config.queue_bytes)
        self.withheld = Withheld()
        self.key: CheckpointKey | None = None
        # Why nothing can be written now: a fault of the sink, or a write that does not end.
        self.fault = ""
        self.is_stalled = False
        # For those who watch.
        self.lines = self.checkpoints = self.stalls = self.failures = 0
        self._sink, self._chain, self._config, self._clock = sink, chain, config, clock
        self._loop = loop
        self._on_checkpoint = on_checkpoint
        self._thread = WriterThread(loop)
        self._group: Group | None = None
        self._is_busy = self._is_scheduled = self._is_ending = self._is_closed = False
        self._needs_newline = sink.end.needs_newline
        self._checkpoint_due = False
        self._crowd, self._turn = Crowd(clock), FileTurn(config, clock)
        now_ms = clock.monotonic_ms()
        self._busy_ms = self._checkpoint_ms = self._look_ms = now_ms
        self._retry_ms = self._tell_ms = 0

    def post(self, facts: Mapping[str, Fact]) -> None:
        """Have an event written, for which nobody waits."""
        self.pending.put([body_of(self._clock.time_us(), facts)], None)
        self.wake()

    def wake(self) -> None:
        """Write what is pending, after what else this turn of the event loop brings; where much
        comes, after a moment, because handing it to the thread costs more than writing it.
        """
        self._crowd.come()
        if not self._is_busy and not self._is_scheduled and not self.fault:
            self._is_scheduled = True
            if self._crowd.is_dense:
                self._loop.call_later(_LINGER_S, self._work)
            else:
                self._loop.call_soon(self._work)

    def sign_soon(self) -> None:
        """Have the lines so far signed, if there is a key."""
        self._checkpoint_due = True
        self.wake()

    def pulse(self) -> None:
        """Let those go who have waited too long; see what is due."""
        now_ms = self._clock.monotonic_ms()
        too_old_ms = now_ms - self._config.timeout_ms
        self._give_up(too_old_ms)
        if self._is_busy:
            if self._busy_ms <= too_old_ms and not self.is_stalled:
                self.is_stalled = True
                self.stalls += 1
                self.withheld.since_us = self._clock.time_us()
                _log.error("audit log stalled", advice="look at the disk, or at who reads it")
            return
        if self.fault and now_ms >= self._retry_ms:
            self._is_scheduled = True
            self._work()
        elif now_ms - self._checkpoint_ms >= self._config.checkpoint_ms:
            self._checkpoint_ms = now_ms
            self.sign_soon()
        elif now_ms - self._look_ms >= _LOOK_MS:
            self._look_ms = now_ms
            self._submit(self._sink.renew, self._renewed)
        elif self._chain.since_checkpoint and self._is_too_long():
            self.wake()

    async def finish(self) -> None:
        """Return when all is written and signed, or when it can't be."""
        self._tell_ms = 0
        self._is_ending = True
        self.sign_soon()
        while (self._is_busy or self._is_scheduled) and not self.fault and not self.is_stalled:  # noqa: ASYNC110  # many things end it
            await asyncio.sleep(0.002)

    def close(self, done: Callable[[None], None]) -> None:
        """Close the sink after what is being written, and call `done`."""
        self._is_closed = True
        self._thread.submit(self._sink.close, done)
        self._thread.stop()

    # -- one group after the other

    def _work(self) -> None:
        self._is_scheduled = False
        if self._is_busy or self._is_closed:
            return
        self._crowd.look()
        is_last = not self.fault and self._is_too_long()
        if is_last and (self.key is None or not self._chain.since_checkpoint):
            self._rotate()
            return
        self._checkpoint_due |= is_last
        group = self._make_group(0 if is_last else _GROUP_BYTES)
        if group.lines:
            self._group = group
            self._submit(partial(self._sink.write, group.content), self._written)

    def _make_group(self, size: int) -> Group:
        """Take about so many bytes of what is pending, and what is due beside it."""
        chain, key = self._chain, self.key
        group = Group(chain.head, b"\n" if self._needs_newline else b"")
        for item in self.pending.take(size):
            group.add(chain.append(item[0]), item)
            if key is not None and chain.since_checkpoint >= self._config.checkpoint_lines:
                self._sign(group, key)
        # After a fault there is always something to say, or it would never be known to be over.
        if self.withheld or self.fault:
            withheld, self.withheld = self.withheld, Withheld()
            body = body_of(self._clock.time_us(), withheld.facts())
            group.add(chain.append(body), withheld)
        if self._checkpoint_due and key is not None and chain.since_checkpoint:
            self._sign(group, key)
        self._checkpoint_due = False
        return group

    def _sign(self, group: Group, key: CheckpointKey) -> None:
        chain = self._chain
        facts: dict[str, Fact] = {
            "event": "checkpoint",
            "count": chain.since_checkpoint,
            "key_id": key.public_key.key_id,
        }
        body = body_of(self._clock.time_us(), facts)
        group.add(chain.append_signed(body, key.sign), None)
        group.checkpoints += 1

    def _written(self, written: Written) -> None:
        group, self._group = self._group, None
        assert group is not None, "one group is written at a time"  # noqa: S101
        if (self.fault or self.is_stalled) and not written.fault:
            _log.info("audit log written again")
        self._is_busy = self.is_stalled = False
        self._needs_newline = self._needs_newline and not written.size
        if written.fault:
            self._take_back(group, written)
            return
        self.fault = ""
        self.lines += len(group.lines)
        self.checkpoints += group.checkpoints
        self._settle(group, len(group.lines))
        self._tell_checkpoint(group)
        if not self.withheld:
            self.withheld.since_us = 0
        if self.pending or self.withheld or self._checkpoint_due:
            self.wake()

    def _tell_checkpoint(self, group: Group) -> None:
        """Tell of a checkpoint now and then: other places know the log's length then."""
        now_ms = self._clock.monotonic_ms()
        if group.sources[-1] is None and self.key is not None and self._tell_ms <= now_ms:
            self._tell_ms = now_ms + self._config.checkpoint_ms
            head, public_key = self._chain.head, self.key.public_key
            self._on_checkpoint(head)
            _log.info(
                "audit checkpoint",
                chain=head.chain,
                sequence=head.sequence,
                sha256=head.sha256,
                key_id=public_key.key_id,
                public_key=public_key.base64,
            )

    def _settle(self, group: Group, kept: int) -> None:
        """Tell who waits for lines that are written; note whom that did not reach in time."""
        first = group.before.sequence + 1
        for sequence, source in enumerate(group.sources[:kept], start=first):
            if not isinstance(source, tuple) or source[1] is None:
                continue
            waiter = source[1]
            waiter.left -= 1
            if waiter.is_over:
                self.withheld.note(sequence)
            elif not waiter.left:
                waiter.answered.set_result(True)
        self.pending.release(group.from_queue(0, kept))

    def _take_back(self, group: Group, written: Written) -> None:
        """Set the chain back to the lines that stand there, and let nobody wait any longer."""
        self.failures += 1
        kept = group.whole_lines(written.size)
        self.lines += kept
        for _, waiter in group.from_queue():
            if waiter is not None:
                waiter.give_up()
        self._settle(group, kept)
        group.rewind(self._chain, kept)
        for source in group.sources[kept:]:
            if isinstance(source, Withheld):
                self.withheld.add_earlier(source)
        self.pending.restore(group.from_queue(kept))
        if written.cut:
            self._needs_newline = True
            digest = hashlib.sha256(written.cut).hexdigest()
            facts: dict[str, Fact] = {"torn_bytes": len(written.cut), "torn_sha256": digest}
            self._post_first({"event": "torn", **facts})
        now_ms = self._clock.monotonic_ms()
        self._give_up(now_ms)
        self._retry_ms = now_ms + _RETRY_MS
        self._checkpoint_due = True
        if not self.fault:
            self.withheld.since_us = self.withheld.since_us or self._clock.time_us()
            _log.error("audit log not written", cause=written.fault)
        self.fault = written.fault

    def _give_up(self, since_ms: int) -> None:
        """Let go who waits since then or longer."""
        if self._group is not None:
            for _, waiter in self._group.from_queue():
                if waiter is not None and waiter.since_ms <= since_ms:
                    waiter.give_up()
        for waiter in self.pending.waiters():
            if waiter.since_ms > since_ms:
                break
            waiter.give_up()

    # -- one file after the other

    def _is_too_long(self) -> bool:
        return not self._is_ending and self._turn.is_due(self._sink.size())

    def _rotate(self) -> None:
        time_us, sequence = self._clock.time_us(), self._chain.head.sequence
        self._submit(partial(self._sink.rotate, time_us, sequence), self._rotated)

    def _rotated(self, rotated: Rotated | str) -> None:
        self._is_busy = False
        if isinstance(rotated, str):
            self._turn.put_off()
            _log.warning("audit log not rotated", cause=rotated)
        else:
            self._turn.begin()
            self._post_first({"event": "file", "previous_file": rotated.previous_file})
            for name in rotated.surplus:
                self._remove_recorded(name)
        self.wake()

    def _remove_recorded(self, name: str) -> None:
        """Remove an old file once the log says so."""
        waiter = Waiter(self._loop.create_future(), 1, self._clock.monotonic_ms())
        facts: dict[str, Fact] = {"event": "delete", "file": name}
        self.pending.put([body_of(self._clock.time_us(), facts)], waiter)

        def remove(answered: asyncio.Future[bool]) -> None:
            if answered.result() and not self._is_closed:
                self._thread.submit(partial(self._sink.remove, name), removed)

        def removed(fault: str) -> None:
            if fault:
                _log.warning("old audit log not removed", file=name, cause=fault)

        waiter.answered.add_done_callback(remove)

    def _renewed(self, is_new: bool) -> None:
        self._is_busy = False
        if is_new:
            self._turn.begin()
            _log.warning("audit log moved", advice="it goes on in a new file at audit.file")
            self._post_first({"event": "file", "found": "moved"})
        self.wake()

    def _post_first(self, facts: Mapping[str, Fact]) -> None:
        self.pending.put_first([(body_of(self._clock.time_us(), facts), None)])

    def _submit(self, task: Callable[[], _T], done: Callable[[_T], None]) -> None:
        self._is_busy, self._busy_ms = True, self._clock.monotonic_ms()
        self._thread.submit(task, done)
