"""WhiteBIT: a JSON body that names its own path and nonce, sent in base64 and signed as such.

The signature binds path and body. Sources: WhiteBIT "Private HTTP API Authentication";
whitebit-exchange/docs data/auth.yaml and guides/first-api-call.mdx (4a67f22);
whitebit-exchange/api-docs PR #5 for nonceWindow.
"""

import base64
import re
from dataclasses import replace

from privyseald.errors import FieldInvalid, ParameterReserved
from privyseald.key import Algorithm
from privyseald.outbound.outbound import OutboundResponse
from privyseald.signing.signer import Credential
from privyseald.strict_json import compact, parse_object
from privyseald.venues import whitebit_pricing
from privyseald.venues.http_request import JSON, HttpRequest
from privyseald.venues.likeness import check_bundle, check_keys, likeness
from privyseald.venues.pricing import Notional
from privyseald.venues.reading import Meaning, VenueTime, number_time, object_of
from privyseald.venues.registry import register
from privyseald.venues.signed import signed_request
from privyseald.venues.venue import (
    Coverage,
    Environment,
    Field,
    KeyKind,
    Moment,
    NonceOrder,
    NoncePolicy,
    NonceUnit,
    Operation,
    Session,
    SignedHttpRequest,
)
from privyseald.venues.whitebit_operations import OPERATIONS

_WINDOW_MS = 5_000
_IN_WINDOW = NoncePolicy(NonceUnit.MS, NonceOrder.UNIQUE, _WINDOW_MS)
_INCREASING = NoncePolicy(NonceUnit.MS, NonceOrder.INCREASING, None)
_RESERVED = frozenset({"request", "nonce", "noncewindow"})
_BODY = "http_request.body"
# whitebit-exchange/docs data/error-codes.yaml gives the cause of the first as "Nonce value is
# not greater than previous request"; it comes with HTTP 429 (ccxt PR #25353), and so does a
# limit that was reached, in other letters ("Too Many Requests"). Whether the second is also
# said of a nonce ahead of the window is not documented.
_MEANINGS = {
    "Too many requests.": Meaning.NONCE_STALE,
    "Your nonce is more than 5 seconds lesser than the current nonce": Meaning.NONCE_OUTSIDE,
}


@register
class Whitebit:
    """Signs with `X-TXC-APIKEY`, `X-TXC-PAYLOAD` and `X-TXC-SIGNATURE`."""

    name = "whitebit"
    about = "WhiteBIT: HMAC-SHA512 over the base64 of a JSON body that holds path and nonce"
    environments = (
        Environment("production", (("/api/", "https://whitebit.com"),)),
        Environment("eu", (("/api/", "https://whitebit.eu"),)),
    )
    key_kinds = (
        KeyKind(
            Algorithm.HMAC_SHA512,
            "an API key; the secret is used as text",
            (
                Field(
                    "api_key",
                    "the public API key",
                    re.compile(r"[\x21-\x7e]{1,128}"),
                    required=True,
                ),
                Field(
                    "nonce_window",
                    "'true' (as if left out): nonces are times within 5 s and may arrive in any "
                    "order; 'false': each nonce must be above the one that arrived before",
                    re.compile("true|false"),
                    example="true",
                ),
            ),
            public_id="api_key",
            intents=frozenset({"http_request"}),
        ),
    )
    coverage = Coverage.PATH_AND_BODY
    nonce_policies = (_IN_WINDOW, _INCREASING)
    time_path = "/api/v4/public/time"
    operations = OPERATIONS

    def normalise(self, request: HttpRequest, credential: Credential) -> HttpRequest:
        r"""Return the request with its body compact, as WhiteBIT wants it.

        Blanks between tokens go, `\/` becomes `/`; key order, digits and all else stay.
        """
        if request.method != "POST":
            raise FieldInvalid(
                "http_request.method", "must be POST: WhiteBIT's private API takes no other"
            )
        if request.query:
            raise FieldInvalid(
                "http_request.query",
                "must be empty: WhiteBIT's private API takes parameters in the JSON body",
            )
        if request.content_type not in {"", JSON}:
            raise FieldInvalid("http_request.content_type", f"must be {JSON}, or empty")
        if "%" in request.path or '"' in request.path:
            raise FieldInvalid("http_request.path", "must be one of WhiteBIT's plain paths")
        body = request.body or b"{}"
        parameters = parse_object(body, _BODY)
        for name in parameters:
            if likeness(name) in _RESERVED:
                raise ParameterReserved(
                    _BODY, f"holds '{name[:64]}', which Privyseal adds itself; leave it out"
                )
        check_keys(parameters, _BODY)
        check_bundle(parameters, _BODY)
        return replace(request, body=compact(body), content_type=JSON, json=parameters)

    def nonce_policy(self, credential: Credential, session: Session | None) -> NoncePolicy:
        """Return the rule that the key's `nonce_window` chooses."""
        if credential.fields.get("nonce_window") == "false":
            return _INCREASING
        return _IN_WINDOW

    async def sign(
        self,
        request: HttpRequest,
        credential: Credential,
        environment: Environment,
        moment: Moment,
        session: Session | None,
    ) -> SignedHttpRequest:
        """Return a new body, which opens with `request`, `nonce` and `nonceWindow`, and headers."""
        in_window = self.nonce_policy(credential, session) is _IN_WINDOW
        opening = f'{{"request":"{request.path}","nonce":{moment.nonce}'
        if in_window:
            opening += ',"nonceWindow":true'
        rest = b"}" if request.body == b"{}" else b"," + request.body[1:]
        body = opening.encode() + rest
        payload = base64.b64encode(body)
        signature = await credential.signer.sign(payload)
        headers = (
            ("X-TXC-APIKEY", credential.fields["api_key"]),
            ("X-TXC-PAYLOAD", payload.decode()),
            ("X-TXC-SIGNATURE", signature.hex()),
        )
        expire_time_ms = (moment.nonce or 0) + _WINDOW_MS if in_window else None
        return signed_request(
            request, environment, headers, body=body, expire_time_ms=expire_time_ms
        )

    def read_time(self, answer: OutboundResponse) -> VenueTime | None:
        """Return the time of `public/time`, in seconds."""
        return number_time(answer, "time", 1_000)

    def read_answer(self, status: int, body: bytes) -> Meaning:
        """Return what the message says of the nonce; WhiteBIT's codes are not unique."""
        message = object_of(body).get("message")
        # An older form of its errors is `{"message": [["..."]], "result": [], ...}`.
        while isinstance(message, list) and len(message) == 1:
            message = message[0]
        if status < 400 or not isinstance(message, str):
            return Meaning.NOTHING
        return _MEANINGS.get(message, Meaning.NOTHING)

    def price(self, operation: Operation, request: HttpRequest) -> Notional | None:
        """Return amount times price, or the money of a purchase at the market."""
        return whitebit_pricing.price(operation, request)
