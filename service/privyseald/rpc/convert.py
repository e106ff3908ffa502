"""Between wire messages and what the use cases speak."""

import hashlib

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from privyseal.v1 import key_pb2, signing_service_pb2, venue_service_pb2
from privyseald.clock_offsets import ClockOffsets
from privyseald.errors import FieldInvalid
from privyseald.key import Key, KeyState, key_id_of
from privyseald.usecases.sign import (
    Intent,
    PersonalMessage,
    SignCommand,
    TypedData,
)
from privyseald.usecases.signed import Signed
from privyseald.venues.http_request import HttpRequest, make_request
from privyseald.venues.registry import Venues, issues_keys, opens_sessions
from privyseald.venues.venue import Field, Session, SignedHttpRequest, Venue

_STATES = {
    KeyState.CREATING: key_pb2.KEY_STATE_CREATING,
    KeyState.ENABLED: key_pb2.KEY_STATE_ENABLED,
    KeyState.DISABLED: key_pb2.KEY_STATE_DISABLED,
    KeyState.ESCROWED: key_pb2.KEY_STATE_ESCROWED,
}

_YEAR_10000_S = 253_402_300_800


def timestamp(time_ms: int | None) -> Timestamp | None:
    """Return a Timestamp of Unix milliseconds; None where there is no time."""
    if time_ms is None:
        return None
    message = Timestamp()
    _set_time(message, time_ms)
    return message


def _set_time(message: Timestamp, time_ms: int) -> None:
    message.seconds = time_ms // 1_000
    message.nanos = time_ms % 1_000 * 1_000_000


def time_ms_of(message: Timestamp, field: str) -> int:
    """Return a Timestamp as Unix milliseconds, rounded down. Raises FieldInvalid."""
    if not 0 <= message.seconds < _YEAR_10000_S or not 0 <= message.nanos < 1_000_000_000:
        raise FieldInvalid(field, "is no time from 1970 to 9999")
    return message.seconds * 1_000 + message.nanos // 1_000_000


def fingerprint(request: Message) -> bytes:
    """Return a digest that tells two requests of one request id apart."""
    return hashlib.sha256(request.SerializeToString(deterministic=True)).digest()


def sign_command(request: signing_service_pb2.SignRequest) -> SignCommand:
    """Return the command of a request. Raises RequestInvalid."""
    return SignCommand(
        key_id=key_id_of(request.key),
        intent=_intent(request),
        request_id=request.request_id,
        fingerprint=fingerprint(request) if request.request_id else b"",
        validate_only=request.validate_only,
        key_version=request.key_version,
    )


def _intent(request: signing_service_pb2.SignRequest) -> Intent:
    kind = request.WhichOneof("intent")
    if kind == "http_request":
        return _http_request(request.http_request)
    if kind == "personal_message":
        return PersonalMessage(request.personal_message.message)
    if kind == "typed_data":
        return TypedData(request.typed_data.json)
    raise FieldInvalid(
        "intent", "is empty; give one of http_request, personal_message and typed_data"
    )


def _http_request(message: signing_service_pb2.HttpRequest) -> HttpRequest:
    return make_request(
        message.method,
        message.path,
        [(parameter.name, parameter.value) for parameter in message.query],
        message.body,
        message.content_type,
    )


def sign_response(signed: Signed) -> signing_service_pb2.SignResponse:
    """Return the response of what was signed, or only validated."""
    key = signed.key
    response = signing_service_pb2.SignResponse(
        key=key.name, key_version=key.version, algorithm=key.algorithm
    )
    result = signed.result
    if result is None:
        return response
    _set_time(response.sign_time, signed.sign_time_ms)
    if signed.nonce is not None:
        response.nonce = str(signed.nonce)
    if isinstance(result, SignedHttpRequest):
        message = response.signed_http_request
        message.method, message.url, message.body = result.method, result.url, result.body
        for name, value in result.headers:
            message.headers.add(name=name, value=value)
        if result.expire_time_ms is not None:
            _set_time(response.expire_time, result.expire_time_ms)
    else:
        response.signature.value = result.value
        response.signature.digest = result.digest
        response.signature.signer = result.signer
    return response


def session_message(key: Key, session: Session) -> signing_service_pb2.Session:
    """Return a session's message."""
    return signing_service_pb2.Session(
        key=key.name,
        token=session.token,
        headers=[
            signing_service_pb2.Header(name=name, value=value) for name, value in session.headers
        ],
        user_id=session.user_id,
        create_time=timestamp(session.create_time_ms),
        expire_time=timestamp(session.expire_time_ms),
    )


def key_message(key: Key) -> key_pb2.Key:
    """Return a key's message."""
    return key_pb2.Key(
        name=key.name,
        venue=key.venue,
        environment=key.environment,
        algorithm=key.algorithm,
        public_id=key.public_id,
        public_key_pem=key.public_key_pem,
        state=_STATES[key.state],
        version=key.version,
        labels=key.labels,
        create_time=timestamp(key.create_time_ms),
        update_time=timestamp(key.update_time_ms),
    )


def venue_message(venue: Venue, venues: Venues, offsets: ClockOffsets) -> venue_service_pb2.Venue:
    """Return all that is known of a venue."""
    return venue_service_pb2.Venue(
        name=venue.name,
        about=venue.about,
        environments=[
            venue_service_pb2.Environment(
                name=each.name,
                base_urls=dict.fromkeys(
                    base for _, base in venues.environment(venue, each.name).hosts
                ),
                clock_offset_ms=offsets.offset_ms(venue.name, each.name),
            )
            for each in venue.environments
        ],
        key_kinds=[
            venue_service_pb2.KeyKind(
                algorithm=kind.algorithm,
                about=kind.about,
                fields=[_field(each) for each in kind.fields],
                intents=sorted(kind.intents),
            )
            for kind in venue.key_kinds
        ],
        coverage=venue.coverage,
        nonce_policies=[
            venue_service_pb2.NoncePolicy(
                unit=policy.unit, order=policy.order, window_ms=policy.window_ms or 0
            )
            for policy in venue.nonce_policies
        ],
        operations=[
            venue_service_pb2.Operation(
                name=each.name, method=each.method, path=each.path, tags=each.tags
            )
            for each in venue.operations
        ],
        opens_sessions=opens_sessions(venue),
        login_options=[
            _field(each) for each in (venue.login_options if opens_sessions(venue) else ())
        ],
        issues_keys=issues_keys(venue),
        create_key_options=[
            _field(each) for each in (venue.create_key_options if issues_keys(venue) else ())
        ],
    )


def _field(field: Field) -> venue_service_pb2.Field:
    return venue_service_pb2.Field(
        name=field.name,
        about=field.about,
        required=field.required,
        pattern=field.pattern.pattern,
        example=field.example,
    )
