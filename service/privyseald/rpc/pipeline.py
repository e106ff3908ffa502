"""What happens to every RPC: identity, holds on the caller, message, a place, servicer, status,
audit line. In this order.

Nothing here knows a transport: bytes and a caller come in, bytes or a status go out.
"""

import asyncio
import hashlib
from collections.abc import Callable
from contextlib import ExitStack

import structlog
from google.protobuf.message import DecodeError, Message
from google.rpc import status_pb2

from privyseald.audit.entry import Entry
from privyseald.audit.log import AuditLog
from privyseald.caller import Caller
from privyseald.clock import Clock
from privyseald.errors import (
    AuditUnavailable,
    FieldInvalid,
    MessageUnparseable,
    Overloaded,
    PolicyDenied,
    PrivysealError,
)
from privyseald.holds.holds import Holds
from privyseald.log import RPC_OF_LOG
from privyseald.rpc.admission import Admission, Bounds
from privyseald.rpc.call import Call, Procedure
from privyseald.rpc.counts import RpcCounts
from privyseald.rpc.priority import Priority
from privyseald.rpc.status import code_name, internal_status, status_of
from privyseald.tracer import Tracer
from privyseald.unforeseen import trace_of

_log = structlog.get_logger("privyseald.rpc")


class RpcFailed(Exception):
    """An RPC that ends in a status. The transport sends it as it is; `reason` is ErrorInfo's."""

    def __init__(self, status: status_pb2.Status, reason: str) -> None:
        super().__init__(status.message)
        self.status = status
        self.reason = reason


def _no_deadline() -> None:
    return None


class Pipeline:
    """Runs RPCs. The one place where an exception that nobody foresaw is caught."""

    def __init__(
        self,
        audit: AuditLog,
        clock: Clock,
        bounds: Bounds,
        priority: Priority,
        holds: Holds,
        tracer: Tracer | None = None,
    ) -> None:
        self._audit = audit
        self._clock = clock
        self._longest_message = bounds.message_bytes
        self.admission = Admission(bounds, priority)
        self._holds = holds
        self.tracer = tracer
        self.counts = RpcCounts()

    async def run(
        self,
        procedure: Procedure,
        raw: bytes,
        identify: Callable[[], Caller],
        time_left: Callable[[], float | None] = _no_deadline,
    ) -> bytes:
        """Return the response's bytes, audited. Raises RpcFailed, audited too.

        While the audit log can't take more, nothing is begun; nor where no `time_left` (in
        seconds), for nobody waits for the answer.
        """
        self.check_room()
        started_us = self._clock.time_us()
        entry = self.begin(procedure)
        parts: list[Entry] = []
        places = ExitStack()
        try:
            caller = self.admit(identify, entry)
            request = self.parse(procedure, raw, entry)
            _check_time(time_left())
            places.enter_context(self.admission.enter(procedure.name, caller, request))
            call = Call(caller, entry, parts)
            response: Message = await procedure.method(request, call)
            answer = response.SerializeToString()
        except PrivysealError as error:
            status = status_of(error)
            entry.reason = error.reason
            if isinstance(error, PolicyDenied):
                entry.rule = error.metadata.get("rule", "")
        except asyncio.CancelledError:
            entry.code, entry.decision = "CANCELLED", "cancelled"
            # Nobody waits for an answer any more.
            self.counts.note(entry, parts)
            self._audit.note(entry, self._clock.time_us() - started_us, parts)
            raise
        except Exception as error:  # noqa: BLE001 - the last net: nothing unforeseen goes out
            status = unforeseen(entry, error)
        else:
            entry.code, entry.decision = "OK", "allowed"
            await self.write(entry, started_us, parts)
            try:
                self.check_uses(call)
            except PrivysealError as error:
                # What was allowed is in the log by now, so another line says that it stayed here.
                status, entry.reason, parts = status_of(error), error.reason, []
            else:
                return answer
        finally:
            places.close()
        entry.code, entry.decision = code_name(status.code), "refused"
        await self.write(entry, started_us, parts)
        raise RpcFailed(status, entry.reason)

    def begin(self, procedure: Procedure) -> Entry:
        """Return the entry of an RPC that begins; what is logged meanwhile names it."""
        entry = Entry(procedure.name)
        if self.tracer is not None:
            entry.trace_id = self.tracer.trace_id
        RPC_OF_LOG.set(entry)
        return entry

    def check_uses(self, call: Call) -> None:
        """Return if the answer may still go out: its audit line may have taken a while. Raises
        Held, StateUnavailable.
        """
        for key in call.uses:
            self._holds.check(call.caller, key.key_id, key.venue)

    def admit(self, identify: Callable[[], Caller], entry: Entry) -> Caller:
        """Return who calls. Raises CallerUnproved, and Held where nobody who calls so may."""
        caller = identify()
        entry.caller = caller.name
        self._holds.check_caller(caller)
        return caller

    def parse(self, procedure: Procedure, raw: bytes, entry: Entry) -> Message:
        """Return the message. Raises FieldInvalid where it is too long, MessageUnparseable."""
        if len(raw) > self._longest_message:
            raise FieldInvalid(
                "message",
                f"has {len(raw)} bytes; this server takes {self._longest_message}",
            )
        entry.request_sha256 = hashlib.sha256(raw).hexdigest()
        try:
            return procedure.request.FromString(raw)
        except DecodeError as error:
            raise MessageUnparseable(
                "message", "is no message of this RPC; use stubs made from privyseal.v1"
            ) from error

    def check_room(self) -> None:
        """Return if the audit log can take more. Raises RpcFailed."""
        try:
            self._audit.check_room()
        except PrivysealError as error:
            raise RpcFailed(status_of(error), error.reason) from error

    async def write(self, entry: Entry, started_us: int, parts: list[Entry]) -> None:
        """Write the audit lines of an RPC. Raises RpcFailed where that can't be done."""
        if entry.reason or parts:
            self.counts.note(entry, parts)
        try:
            await self._audit.write(entry, self._clock.time_us() - started_us, parts)
        except AuditUnavailable as error:
            _log.error("audit line not written", rpc=entry.rpc, request_id=entry.request_id)
            raise RpcFailed(status_of(error), error.reason) from error


def _check_time(left_s: float | None) -> None:
    """Return if somebody still waits for the answer. Raises Overloaded."""
    if left_s is not None and left_s <= 0:
        raise Overloaded(
            "the RPC's deadline passed before this server came to it, and nothing was begun; set "
            "a later deadline, or send fewer at once",
            retry_after_ms=100,
        )


def unforeseen(entry: Entry, error: Exception) -> status_pb2.Status:
    """Return the status for what nobody foresaw, and log under its id where that came from."""
    status, entry.error_id = internal_status()
    entry.reason = "INTERNAL"
    _log.error("internal error", error_id=entry.error_id, rpc=entry.rpc, cause=trace_of(error))
    return status
