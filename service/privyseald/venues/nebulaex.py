"""NebulaEX: Peatio's exchange core behind Barong. Three headers over nonce and key id.

The signature binds neither method, path nor body, so it is good for any request of the key
while its nonce is inside the window. Source: NebulaEX "Authentication Guide"; openware/barong
app/services/api_keys_verifier.rb and lib/barong/authorize.rb (1f488179).
"""

import re
from dataclasses import replace

from privyseald.errors import FieldInvalid
from privyseald.key import Algorithm
from privyseald.outbound.outbound import OutboundResponse
from privyseald.signing.signer import Credential
from privyseald.strict_json import parse
from privyseald.venues.http_request import (
    FORM,
    JSON,
    HttpRequest,
    check_parameters,
    form_text,
    parameter_names,
)
from privyseald.venues.likeness import check_keys
from privyseald.venues.nebulaex_operations import OPERATIONS
from privyseald.venues.reading import Meaning, VenueTime, date_time, object_of
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
    Session,
    SignedHttpRequest,
)

# Barong's default apikey_nonce_lifetime, past and future (lib/barong/authorize.rb).
_WINDOW_MS = 5_000
_NONCE = NoncePolicy(NonceUnit.MS, NonceOrder.INCREASING, _WINDOW_MS)

# lib/barong/authorize.rb: the first says nothing of the side. The others are those of Barong
# 2.4.0 to 2.4.4, which had no window but a ledger of signatures.
_MEANINGS = {
    "authz.nonce_expired": Meaning.NONCE_OUTSIDE,
    "authz.nonce_from_future": Meaning.NONCE_AHEAD,
    "authz.signature_blacklisted": Meaning.NONCE_STALE,
}


@register
class Nebulaex:
    """Signs with `X-Auth-Apikey`, `X-Auth-Nonce` and `X-Auth-Signature`."""

    name = "nebulaex"
    about = "NebulaEX (Peatio with Barong): HMAC-SHA256 over nonce and key id"
    environments = (Environment("production", (("/", "https://trade.nebulaecn.com"),)),)
    key_kinds = (
        KeyKind(
            Algorithm.HMAC_SHA256,
            "an API key; the secret key is used as text, not decoded from hex",
            (
                Field(
                    "api_key",
                    "the Access Key",
                    re.compile(r"[\x21-\x7e]{1,128}"),
                    required=True,
                    example="61d025b8573501c2",
                ),
            ),
            public_id="api_key",
            intents=frozenset({"http_request"}),
        ),
    )
    coverage = Coverage.NOTHING
    nonce_policies = (_NONCE,)
    time_path = "/api/v2/backend/public/timestamp"
    operations = OPERATIONS

    def normalise(self, request: HttpRequest, credential: Credential) -> HttpRequest:
        """Return the request; a JSON or form body is checked and left as it is.

        No other media type passes: nobody here could tell what such a body says.
        """
        check_parameters(parameter_names(request.query), frozenset(), "http_request.query")
        if not request.body:
            return request
        content_type = request.content_type or JSON
        kind = content_type.partition(";")[0].lower()
        if kind == JSON:
            json = parse(request.body, "http_request.body")
            check_keys(json, "http_request.body")
            return replace(request, content_type=content_type, json=json)
        if kind != FORM:
            raise FieldInvalid("http_request.content_type", f"must be {JSON}, {FORM}, or empty")
        names = parameter_names(form_text(request.body))
        check_parameters(names, frozenset(), "http_request.body")
        return request

    def nonce_policy(self, credential: Credential, session: Session | None) -> NoncePolicy:
        """Return the rule of Barong: milliseconds, less than 5 s from the server's clock.

        Barong from 2.4.5 on does not check that a nonce is new; NebulaEX's guide asks for it.
        """
        return _NONCE

    async def sign(
        self,
        request: HttpRequest,
        credential: Credential,
        environment: Environment,
        moment: Moment,
        session: Session | None,
    ) -> SignedHttpRequest:
        """Return the request with the three headers; its body is the caller's."""
        nonce = str(moment.nonce)
        api_key = credential.fields["api_key"]
        signature = await credential.signer.sign((nonce + api_key).encode())
        headers = (
            ("X-Auth-Apikey", api_key),
            ("X-Auth-Nonce", nonce),
            ("X-Auth-Signature", signature.hex()),
        )
        return signed_request(request, environment, headers, expire_time_ms=int(nonce) + _WINDOW_MS)

    def read_time(self, answer: OutboundResponse) -> VenueTime | None:
        """Return the time of `public/timestamp`: a bare number of seconds; the `Date` else."""
        text = answer.body.strip()
        if answer.status == 200 and re.fullmatch(rb"[1-9][0-9]{9}", text):
            return VenueTime(int(text) * 1_000, 1_000)
        return date_time(answer.date)

    def read_answer(self, status: int, body: bytes) -> Meaning:
        """Return what Barong's `{"errors": [code]}` says of the nonce."""
        errors = object_of(body).get("errors")
        if status < 400 or not isinstance(errors, list) or len(errors) != 1:
            return Meaning.NOTHING
        return _MEANINGS.get(str(errors[0]), Meaning.NOTHING)
