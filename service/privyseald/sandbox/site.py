"""The HTTP side of a sandbox venue: reads requests raw, plays faults, keeps the ledger."""

import asyncio
import hashlib
import json
from dataclasses import replace
from email.utils import formatdate

from aiohttp import web

from privyseald.sandbox.faults import Fault, Faults, Spoil
from privyseald.sandbox.ledger import Ledger, Seen, without_secrets
from privyseald.sandbox.message import Answer, Incoming, Refused, VenueServer
from privyseald.sandbox.shifted_clock import ShiftedClock

_HTML = "<html><head><title>Bad gateway</title></head><body><h1>Bad gateway</h1></body></html>"
_WRONG_JSON = '{"wrong":["json"]}'


class Site:
    """One venue on HTTP. Call it with each request."""

    def __init__(
        self, name: str, venue: VenueServer, clock: ShiftedClock, faults: Faults, ledger: Ledger
    ) -> None:
        self._name = name
        self._venue = venue
        self._clock = clock
        self._faults = faults
        self._ledger = ledger

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request, or do to it what the fault for it says."""
        target = request.raw_path
        path = target.partition("?")[0]
        fault = self._faults.take(self._name, request.method, path)
        incoming = Incoming(
            method=request.method,
            target=target,
            headers={name.lower(): value for name, value in request.headers.items()},
            body=await request.read(),
            remote=request.remote or "",
            locked=fault is not None and fault.locked,
        )
        number = self._ledger.next_number()
        if fault is not None:
            await asyncio.sleep(fault.latency_ms / 1_000)
        answer = self._judge(incoming, fault)
        self._record(number, incoming, answer, fault)
        if fault is not None and fault.replaces:
            return await _spoil(request, answer, fault, {"Date": self._date(fault)})
        return web.Response(
            status=answer.status,
            body=_text(answer).encode(),
            headers={"Content-Type": answer.content_type, "Date": self._date(fault)},
        )

    def _date(self, fault: Fault | None) -> str:
        """Return the venue's own time, as its answers carry it."""
        skew_ms = fault.clock_skew_ms if fault is not None else 0
        return formatdate((self._clock.time_us() // 1_000 + skew_ms) // 1_000, usegmt=True)

    def _judge(self, incoming: Incoming, fault: Fault | None) -> Answer:
        if fault is not None and fault.replaces and not fault.handled:
            return Answer(fault.answer_status or 200, {"sandbox": "fault"}, refusal="fault")
        skew_ms = fault.clock_skew_ms if fault is not None else 0
        try:
            answer = self._venue.answer(incoming, self._clock.time_us() + skew_ms * 1_000)
        except Refused as refused:
            answer = refused.answer
        if fault is not None and fault.answer_status is not None:
            return replace(answer, status=fault.answer_status)
        return answer

    def _record(self, number: int, incoming: Incoming, answer: Answer, fault: Fault | None) -> None:
        self._ledger.add(
            Seen(
                number=number,
                time_ms=self._clock.time_us() // 1_000,
                venue=self._name,
                method=incoming.method,
                path=incoming.path,
                status=answer.status,
                accepted=not answer.refusal,
                refusal=answer.refusal,
                account=answer.account,
                nonce=answer.nonce,
                parameters=without_secrets(answer.parameters),
                body_sha256=hashlib.sha256(incoming.body).hexdigest(),
                fault=_describe(fault),
            )
        )


def _text(answer: Answer) -> str:
    return json.dumps(answer.body, separators=(",", ":"))


def _describe(fault: Fault | None) -> str:
    if fault is None:
        return ""
    words = {
        "spoil": fault.spoil,
        "status": fault.status,
        "latency_ms": fault.latency_ms,
        "clock_skew_ms": fault.clock_skew_ms,
        "locked": fault.locked,
        "handled": fault.handled,
    }
    return " ".join(f"{name}={value}" for name, value in words.items() if value)


async def _spoil(
    request: web.BaseRequest, answer: Answer, fault: Fault, headers: dict[str, str]
) -> web.StreamResponse:
    """Return what the fault makes of an answer. Where it drops, the connection is gone."""
    text = _text(answer)
    match fault.spoil:
        case Spoil.HTML:
            return web.Response(
                status=answer.status, text=_HTML, content_type="text/html", headers=headers
            )
        case Spoil.EMPTY:
            return web.Response(
                status=answer.status, content_type="application/json", headers=headers
            )
        case Spoil.WRONG_JSON:
            text = _WRONG_JSON
        case Spoil.REDIRECT:
            return web.Response(status=answer.status, headers={"Location": "/elsewhere", **headers})
        case Spoil.HALF:
            return await _send_half(request, answer.status, text.encode())
        case Spoil.DROP:
            _hang_up(request)
    return web.Response(
        status=answer.status, text=text, content_type="application/json", headers=headers
    )


async def _send_half(request: web.BaseRequest, status: int, body: bytes) -> web.StreamResponse:
    response = web.StreamResponse(status=status, headers={"Content-Type": "application/json"})
    response.content_length = len(body)
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    _hang_up(request)
    return response


def _hang_up(request: web.BaseRequest) -> None:
    if request.transport is not None:
        request.transport.close()
