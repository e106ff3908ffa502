"""HoldService over the use cases."""

import re

from privyseal.v1 import hold_service_pb2 as pb
from privyseald.errors import FieldInvalid
from privyseald.holds.hold import Hold, Scope, ScopeKind
from privyseald.key import key_id_of
from privyseald.rpc.call import Call
from privyseald.rpc.convert import timestamp
from privyseald.rpc.page import page_after, page_size, page_token
from privyseald.usecases.holds import KillSwitch

_NAME = re.compile(r"holds/([0-9a-f]{1,64})")
_CALLER = re.compile(r"[\x21-\x7e]{1,256}")


class HoldServicer:
    """Translates; decides nothing."""

    def __init__(self, kill_switch: KillSwitch) -> None:
        self._kill_switch = kill_switch

    async def create_hold(self, request: pb.CreateHoldRequest, call: Call) -> pb.CreateHoldResponse:
        """Stop a key, a venue, a caller or all."""
        call.entry.request_id = request.request_id[:40]
        for name in ("name", "creator"):
            if getattr(request.hold, name):
                raise FieldInvalid(f"hold.{name}", "is filled in by the server; leave it out")
        if request.hold.HasField("create_time"):
            raise FieldInvalid("hold.create_time", "is filled in by the server; leave it out")
        hold = await self._kill_switch.create(
            call.caller, _scope(request.hold), request.hold.cause, request.request_id, call.entry
        )
        return pb.CreateHoldResponse(hold=_message(hold))

    async def list_holds(self, request: pb.ListHoldsRequest, call: Call) -> pb.ListHoldsResponse:
        """Return a page of the holds in force that the caller may read."""
        page = await self._kill_switch.list(
            call.caller, page_after(request.page_token), page_size(request.page_size)
        )
        return pb.ListHoldsResponse(
            holds=[_message(hold) for hold in page.holds],
            next_page_token=page_token(page.next_after),
        )

    async def delete_hold(self, request: pb.DeleteHoldRequest, call: Call) -> pb.DeleteHoldResponse:
        """Lift a hold."""
        call.entry.operation = request.name[:80]
        match = _NAME.fullmatch(request.name)
        if match is None:
            raise FieldInvalid("name", "must be a hold's name such as 'holds/3f2a9c1b7d'")
        await self._kill_switch.delete(call.caller, match[1], call.entry)
        return pb.DeleteHoldResponse()


def _scope(message: pb.Hold) -> Scope:
    kind = message.WhichOneof("scope")
    if kind == "key":
        return Scope(ScopeKind.KEY, key_id_of(message.key, "hold.key"))
    if kind == "venue":
        return Scope(ScopeKind.VENUE, message.venue)
    if kind == "caller":
        if not _CALLER.fullmatch(message.caller):
            raise FieldInvalid(
                "hold.caller", "is no caller's name; give a SPIFFE ID, URI or DNS name"
            )
        return Scope(ScopeKind.CALLER, message.caller)
    if kind == "all" and message.all:
        return Scope(ScopeKind.ALL)
    raise FieldInvalid(
        "hold.scope", "is empty; give one of 'key', 'venue', 'caller', or 'all': true"
    )


def _message(hold: Hold) -> pb.Hold:
    message = pb.Hold(
        name=hold.name,
        cause=hold.cause,
        creator=hold.creator,
        create_time=timestamp(hold.create_time_ms),
    )
    scope = hold.scope
    if scope.kind is ScopeKind.KEY:
        message.key = f"keys/{scope.name}"
    elif scope.kind is ScopeKind.VENUE:
        message.venue = scope.name
    elif scope.kind is ScopeKind.CALLER:
        message.caller = scope.name
    else:
        message.all = True
    return message
