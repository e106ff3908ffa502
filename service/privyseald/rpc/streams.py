"""What happens to every RPC that goes on: as in the pipeline, and an audit line for each opening,
for each part that goes out, and for the end.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import Any

from google.protobuf.message import Message

from privyseald.audit.entry import Entry
from privyseald.audit.log import AuditLog
from privyseald.caller import Caller
from privyseald.clock import Clock
from privyseald.errors import CallerUnproved, Overloaded, PrivysealError, ServerStopping
from privyseald.rpc.call import Call, Procedure
from privyseald.rpc.pipeline import Pipeline, RpcFailed, unforeseen
from privyseald.rpc.status import code_name, status_of

_LOOK_S = 0.5


class Streams:
    """Runs RPCs that answer again and again, at most so many at once, until the server stops."""

    def __init__(self, pipeline: Pipeline, audit: AuditLog, clock: Clock, most: int) -> None:
        self._pipeline = pipeline
        self._audit = audit
        self._clock = clock
        self._most = most
        self._stopped = asyncio.Event()
        # How many are open, for those who watch.
        self.open = 0

    def stop(self) -> None:
        """End all streams, and take no more."""
        self._stopped.set()

    async def run(
        self, procedure: Procedure, raw: bytes, identify: Callable[[], Caller]
    ) -> AsyncGenerator[bytes, None]:
        """Give the responses' bytes, each behind its audit lines. Raises RpcFailed."""
        self._pipeline.check_room()
        opened_us = self._clock.time_us()
        entry, status = self._pipeline.begin(procedure), None
        self.open += 1
        try:
            answers = self._answers(procedure, raw, identify, entry, opened_us)
            async with aclosing(answers):
                async for answer in answers:
                    yield answer
        except PrivysealError as error:
            status, entry.reason = status_of(error), error.reason
        except (asyncio.CancelledError, GeneratorExit):
            entry.code, entry.decision = "CANCELLED", "cancelled"
            # Nobody listens any more.
            self._audit.note(entry, self._clock.time_us() - opened_us)
            raise
        except Exception as error:  # noqa: BLE001 - the last net: nothing unforeseen goes out
            status = unforeseen(entry, error)
        finally:
            self.open -= 1
        entry.code, entry.decision = "OK", "allowed"
        if status is not None:
            entry.code, entry.decision = code_name(status.code), "refused"
        await self._pipeline.write(entry, opened_us, [])
        if status is not None:
            raise RpcFailed(status, entry.reason)

    async def _answers(
        self,
        procedure: Procedure,
        raw: bytes,
        identify: Callable[[], Caller],
        entry: Entry,
        opened_us: int,
    ) -> AsyncGenerator[bytes, None]:
        caller = self._pipeline.admit(identify, entry)
        if self.open > self._most:
            raise Overloaded(
                f"more than {self._most} streams are open; watch at another server, or close some",
                retry_after_ms=1_000,
            )
        call = Call(caller, entry)
        messages: AsyncGenerator[Message, None] = await procedure.method(
            self._pipeline.parse(procedure, raw, entry), call
        )
        opening = replace(entry, operation="open", code="OK", decision="allowed")
        entry.operation = "end"
        async with aclosing(messages):
            await self._audit.write(opening, self._clock.time_us() - opened_us)
            async for message in _until(self._stopped, partial(self._end_of, caller), messages):
                for part in call.parts:
                    await self._audit.write(part, self._clock.time_us() - opened_us)
                call.parts.clear()
                self._pipeline.check_uses(call)
                call.uses.clear()
                yield message.SerializeToString()

    async def _end_of(self, caller: Caller) -> None:
        """Return when the caller is proved no more; never, where the connection sees to that."""
        if caller.expire_us is None:
            await asyncio.get_running_loop().create_future()
            return
        while self._clock.time_us() < caller.expire_us:  # noqa: ASYNC110  # no event tells the time
            # The clock may be set meanwhile.
            await asyncio.sleep(_LOOK_S)


async def _until(
    stopped: asyncio.Event,
    end: Callable[[], Coroutine[None, None, None]],
    messages: AsyncGenerator[Message, None],
) -> AsyncGenerator[Message, None]:
    """Give the messages as they come. Raises ServerStopping when stopped, CallerUnproved when
    `end` returns.
    """
    stopping, ending = asyncio.ensure_future(stopped.wait()), asyncio.ensure_future(end())
    try:
        while True:
            message: asyncio.Future[Any] = asyncio.ensure_future(anext(messages, None))
            try:
                await asyncio.wait((message, stopping, ending), return_when=asyncio.FIRST_COMPLETED)
            finally:
                if not message.done():
                    message.cancel()
                    await asyncio.wait((message,))
            if ending.done():
                raise CallerUnproved(
                    "the token that opened this stream has expired; open it again with a fresh one"
                )
            if message.cancelled():
                raise ServerStopping("this server stops; open the stream again, at another one")
            if message.result() is None:
                return
            yield message.result()
    finally:
        stopping.cancel()
        ending.cancel()
