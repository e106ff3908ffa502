"""What the harness itself does in a case: break things, mend them, and look at what arrived."""

import asyncio
import base64
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from conformance.fault_door import Fault
from conformance.messages import RPCS
from conformance.wire import WireRequest
from conformance.world import World
from privyseal.v1 import signing_service_pb2 as pb
from privyseald.sandbox import faults

_ALSO_SENT = frozenset({"host", "content-length", "connection", "accept", "user-agent"})


class Surroundings:
    """Does the steps with `"harness"`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._steps: dict[str, Callable[..., Awaitable[Any]]] = {
            "fault": self._fault,
            "forget": self.forget,
            "renew": self._renew,
            "seen": self._seen,
            "sleep": self._sleep,
            "start-server": self._start_server,
            "stop-server": self._stop_server,
            "token": self._token,
            "venue": self._venue,
            "venue-fault": self._venue_fault,
            "wire": self._wire,
        }

    async def do(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """Do a step, and return what it saw. Raises KeyError for one that there is not."""
        return await self._steps[name](**arguments)

    async def forget(self) -> None:
        """Forget what went by, and end all faults."""
        for door in self._world.doors.values():
            door.forget()
        for tap in self._world.taps.values():
            tap.forget()
        self._world.main.sandbox.ledger.clear()
        self._world.main.sandbox.faults.clear()

    async def _fault(self, door: str, rpc: str, **fault: Any) -> None:
        if rpc not in RPCS:
            raise KeyError(rpc)
        self._world.doors[door].fail(Fault(rpc, **fault))

    async def _seen(self, rpc: str, door: str = "one") -> dict[str, Any]:
        calls = [each for each in self._world.doors[door].seen if each.rpc == rpc]
        return {
            "count": len(calls),
            "different_requests": len({each.request for each in calls}),
            "different_responses": len({each.response for each in calls if each.response}),
            "cancelled": sum(each.cancelled for each in calls),
            "user_agents": sorted({each.user_agent for each in calls}),
            "deadlines_ms": [each.deadline_ms for each in calls],
            "request_ids": [_request_id(rpc, each.request) for each in calls],
        }

    async def _wire(self, venue: str) -> dict[str, Any]:
        sent = self._world.taps[venue].requests()
        signed = [
            pb.SignResponse.FromString(each.response).signed_http_request
            for door in self._world.doors.values()
            for each in door.seen
            if each.rpc == "Sign" and each.response
        ]
        left = list(signed)
        changed = []
        for request in sent:
            match = next((each for each in left if _is_as_signed(request, each)), None)
            if match is None:
                changed.append(_shown(request))
            else:
                left.remove(match)
        return {
            "count": len(sent),
            "signed": len(signed),
            "changed": changed,
            "requests": [_shown(request) for request in sent],
        }

    async def _venue(self, venue: str) -> dict[str, Any]:
        seen = self._world.main.sandbox.requests(venue)
        return {
            "accepted": sum(each.accepted for each in seen),
            "refused": [each.refusal for each in seen if not each.accepted],
            "paths": [each.path for each in seen],
        }

    async def _venue_fault(self, **fault: Any) -> None:
        if "spoil" in fault:
            fault["spoil"] = faults.Spoil(fault["spoil"])
        self._world.main.sandbox.faults.add(faults.Fault(**fault))

    async def _renew(self, folder: str, how: str) -> None:
        self._world.renew(folder, how)

    async def _token(self, life_s: int) -> None:
        self._world.write_token("short-token", life_s)

    async def _stop_server(self) -> None:
        await self._world.stop_server()

    async def _start_server(self) -> None:
        await self._world.start_server()

    async def _sleep(self, ms: int) -> None:
        await asyncio.sleep(ms / 1_000)


def _request_id(rpc: str, request: bytes) -> str:
    message = RPCS[rpc].input_type._concrete_class.FromString(request)
    return str(getattr(message, "request_id", ""))


def _is_as_signed(sent: WireRequest, signed: pb.SignedHttpRequest) -> bool:
    parts = urlsplit(signed.url)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    headers = {header.name.lower(): header.value for header in signed.headers}
    return (
        (sent.method, sent.target, sent.body) == (signed.method, target, signed.body)
        and all(sent.values(name) == [value] for name, value in headers.items())
        and sent.values("host") == [parts.netloc]
    )


def _shown(request: WireRequest) -> dict[str, Any]:
    return {
        "method": request.method,
        "target": request.target,
        "headers": {
            name.lower(): value for name, value in request.headers if name.lower() not in _ALSO_SENT
        },
        "body": base64.b64encode(request.body).decode(),
    }
