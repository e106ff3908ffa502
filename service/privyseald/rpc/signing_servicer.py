"""SigningService over the use cases."""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from dataclasses import replace

from privyseal.v1 import signing_service_pb2 as pb
from privyseald.audit.entry import Entry
from privyseald.caller import Caller
from privyseald.errors import FieldInvalid, PrivysealError
from privyseald.key import Key, key_id_of
from privyseald.rpc.call import Call
from privyseald.rpc.convert import (
    fingerprint,
    key_message,
    session_message,
    sign_command,
    sign_response,
    time_ms_of,
)
from privyseald.rpc.status import code_name, status_of
from privyseald.usecases.create_key import CreateKey, CreateKeyCommand, Generated, VenueIssued
from privyseald.usecases.login import Login
from privyseald.usecases.logout import Logout
from privyseald.usecases.report_answer import Report, ReportAnswer
from privyseald.usecases.sign import Sign
from privyseald.usecases.signed import Signed
from privyseald.usecases.watch_session import NewSession, WatchSession
from privyseald.venues.reading import Meaning
from privyseald.venues.venue import KeyOrder

_MAX_BATCH = 1_000
_NONCE = re.compile(r"[0-9]{1,20}")
_MEANINGS = {
    Meaning.NOTHING: pb.ANSWER_MEANING_UNSPECIFIED,
    Meaning.NONCE_STALE: pb.ANSWER_MEANING_NONCE_STALE,
    Meaning.NONCE_AHEAD: pb.ANSWER_MEANING_NONCE_AHEAD,
    Meaning.SESSION_EXPIRED: pb.ANSWER_MEANING_SESSION_EXPIRED,
}
_BATCH_STRIDE = 32


class SigningServicer:
    """Translates; decides nothing."""

    def __init__(
        self,
        sign: Sign,
        login: Login,
        logout: Logout,
        watch_session: WatchSession,
        create_key: CreateKey,
        report_answer: ReportAnswer,
    ) -> None:
        self._sign = sign
        self._login = login
        self._logout = logout
        self._watch_session = watch_session
        self._create_key = create_key
        self._report_answer = report_answer

    async def sign(self, request: pb.SignRequest, call: Call) -> pb.SignResponse:
        """Sign one request."""
        signed = await self._sign_one(request, call.caller, call.entry)
        call.uses.append(signed.key)
        return sign_response(signed)

    async def batch_sign(self, request: pb.BatchSignRequest, call: Call) -> pb.BatchSignResponse:
        """Sign several, each with a status and an audit line of its own."""
        count = len(request.requests)
        if not 1 <= count <= _MAX_BATCH:
            raise FieldInvalid("requests", f"has {count} entries; give 1 to {_MAX_BATCH}")
        call.entry.operation = f"batch of {count}"
        response = pb.BatchSignResponse()
        done: list[tuple[pb.BatchSignResult, Entry, Key]] = []
        for number, one in enumerate(request.requests, start=1):
            entry = Entry(f"{call.entry.rpc}[{number}]", call.caller.name)
            entry.request_sha256 = hashlib.sha256(one.SerializeToString()).hexdigest()
            entry.trace_id = call.entry.trace_id
            call.parts.append(entry)
            result = response.results.add()
            try:
                signed = await self._sign_one(one, call.caller, entry)
            except PrivysealError as error:
                _refuse(result, entry, error)
            else:
                result.response.CopyFrom(sign_response(signed))
                result.status.SetInParent()
                entry.code, entry.decision = "OK", "allowed"
                done.append((result, entry, signed.key))
            if number % _BATCH_STRIDE == 0:
                # Others shall not wait for the whole of a large batch.
                await asyncio.sleep(0)
        for result, entry, key in done:
            # The first were signed a while ago.
            try:
                self._sign.check_holds(call.caller, key)
            except PrivysealError as error:
                _refuse(result, entry, error)
            else:
                call.uses.append(key)
        return response

    async def _sign_one(self, request: pb.SignRequest, caller: Caller, entry: Entry) -> Signed:
        entry.key, entry.request_id = request.key[:80], request.request_id[:40]
        entry.operation = _operation(request)
        return await self._sign(caller, sign_command(request), entry)

    async def login(self, request: pb.LoginRequest, call: Call) -> pb.LoginResponse:
        """Return the key's session."""
        call.entry.key = request.key[:80]
        key, session = await self._login(
            call.caller,
            key_id_of(request.key),
            dict(request.options),
            call.entry,
            force=request.force,
        )
        call.uses.append(key)
        return pb.LoginResponse(session=session_message(key, session))

    async def logout(self, request: pb.LogoutRequest, call: Call) -> pb.LogoutResponse:
        """End the key's session."""
        call.entry.key = request.key[:80]
        await self._logout(call.caller, key_id_of(request.key), call.entry)
        return pb.LogoutResponse()

    async def report_answer(
        self, request: pb.ReportAnswerRequest, call: Call
    ) -> pb.ReportAnswerResponse:
        """Understand what a venue answered."""
        call.entry.key, call.entry.nonce = request.key[:80], request.nonce[:20]
        meaning = await self._report_answer(call.caller, _report(request), call.entry)
        return pb.ReportAnswerResponse(meaning=_MEANINGS[meaning])

    async def watch_session(
        self, request: pb.WatchSessionRequest, call: Call
    ) -> AsyncIterator[pb.WatchSessionResponse]:
        """Watch the key's session."""
        call.entry.key = request.key[:80]
        events = await self._watch_session(call.caller, key_id_of(request.key), call.entry)
        return _responses(events, call)

    async def create_key(self, request: pb.CreateKeyRequest, call: Call) -> pb.CreateKeyResponse:
        """Make a key."""
        call.entry.key, call.entry.request_id = (
            f"keys/{request.key_id[:63]}",
            request.request_id[:40],
        )
        command = CreateKeyCommand(
            key_id=request.key_id,
            venue=request.venue,
            environment=request.environment,
            source=_source(request),
            labels=dict(request.labels),
            request_id=request.request_id,
            fingerprint=fingerprint(request),
        )
        key = await self._create_key(call.caller, command, call.entry)
        return pb.CreateKeyResponse(key=key_message(key))


def _refuse(result: pb.BatchSignResult, entry: Entry, error: PrivysealError) -> None:
    status = status_of(error)
    result.ClearField("response")
    result.status.CopyFrom(status)
    entry.code, entry.decision = code_name(status.code), "refused"
    entry.reason = error.reason


async def _responses(
    events: AsyncIterator[NewSession | PrivysealError], call: Call
) -> AsyncIterator[pb.WatchSessionResponse]:
    """Give the messages of what happens; each token that goes out is a part of the call."""
    async for event in events:
        if isinstance(event, PrivysealError):
            yield pb.WatchSessionResponse(failure=status_of(event))
            continue
        call.parts.append(replace(call.entry, operation="session", code="OK", decision="allowed"))
        call.uses.append(event.key)
        yield pb.WatchSessionResponse(session=session_message(event.key, event.session))


def _operation(request: pb.SignRequest) -> str:
    """Return what the audit line says of the intent: method and path, never query or body."""
    if request.HasField("http_request"):
        http = request.http_request
        return f"{http.method[:8]} {http.path.partition('?')[0][:256]}"
    return request.WhichOneof("intent") or ""


def _report(request: pb.ReportAnswerRequest) -> Report:
    if not 100 <= request.http_status <= 599:
        raise FieldInvalid("http_status", "is no HTTP status; give the answer's, 100 to 599")
    if not request.HasField("sign_time"):
        raise FieldInvalid(
            "sign_time", "is missing; give that of the SignResponse, or the Session's create_time"
        )
    if request.nonce and not _NONCE.fullmatch(request.nonce):
        raise FieldInvalid("nonce", "is no nonce; give that of the SignResponse, or leave it out")
    return Report(
        key_id=key_id_of(request.key),
        status=request.http_status,
        body=request.body,
        sign_time_ms=time_ms_of(request.sign_time, "sign_time"),
        nonce=int(request.nonce) if request.nonce else None,
        date=request.date,
    )


def _source(request: pb.CreateKeyRequest) -> Generated | VenueIssued:
    kind = request.WhichOneof("source")
    if kind == "generated":
        if not request.generated.algorithm:
            raise FieldInvalid(
                "generated.algorithm", "is empty; give 'secp256k1', 'ed25519' or 'ecdsa-p256'"
            )
        return Generated(request.generated.algorithm, dict(request.generated.fields))
    if kind == "venue_issued":
        issued = request.venue_issued
        return VenueIssued(
            key_id_of(issued.using_key, "venue_issued.using_key"),
            KeyOrder(issued.description, tuple(issued.allowed_ips), dict(issued.options)),
        )
    raise FieldInvalid("source", "is empty; give 'generated' or 'venue_issued'")
