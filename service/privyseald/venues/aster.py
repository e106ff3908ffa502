"""Aster V1: HMAC-SHA256 over the parameters, with the signature as the last of them.

The signature binds query and body, neither method nor path. Sources: asterdex/api-docs
V1(Legacy)/EN/aster-finance-futures-api.md, "SIGNED Endpoint security" (265e024). Its
Example 3 prints a wrong signature: query and body are joined with nothing between them.
"""

import re
from collections.abc import Mapping

from privyseald.errors import FieldInvalid
from privyseald.key import Algorithm
from privyseald.outbound.outbound import Outbound, OutboundResponse
from privyseald.signing.signer import Credential
from privyseald.strict_json import JsonValue
from privyseald.venues import (
    aster_answers,
    aster_documents,
    aster_operations,
    aster_pricing,
    aster_wallet,
)
from privyseald.venues.aster_form import ENVIRONMENTS, joined, normalise_form
from privyseald.venues.http_request import HttpRequest, parameter
from privyseald.venues.pricing import Notional
from privyseald.venues.reading import Meaning, VenueTime, number_time
from privyseald.venues.registry import register
from privyseald.venues.signed import signed_request
from privyseald.venues.venue import (
    Coverage,
    Environment,
    Field,
    IssuedKey,
    KeyKind,
    KeyOrder,
    Moment,
    NoncePolicy,
    Operation,
    Session,
    SessionUse,
    SignedHttpRequest,
)

_RESERVED = frozenset({"timestamp", "signature"})
_RECV_WINDOW = re.compile(r"[1-9][0-9]{0,3}|[1-5][0-9]{4}|60000")
_DEFAULT_RECV_WINDOW_MS = "5000"
# Requests that want the key's header and refuse a signature ("USER_STREAM", "MARKET_DATA").
_KEY_ONLY = re.compile(r"/(?:f|p)?api/v1/(?:listenKey|historicalTrades)")


@register
class Aster:
    """Signs with `X-MBX-APIKEY` and the parameters `timestamp` and `signature`."""

    name = "aster"
    about = "Aster V1: HMAC-SHA256 over the parameters; wallet login and issued API keys"
    environments = ENVIRONMENTS
    key_kinds = (
        KeyKind(
            Algorithm.HMAC_SHA256,
            "an API key for trading",
            (
                Field(
                    "api_key",
                    "the API key",
                    re.compile(r"[\x21-\x7e]{1,128}"),
                    required=True,
                ),
                Field(
                    "recv_window",
                    "for how many milliseconds a request is good, 1 to 60000; 5000 if left out",
                    _RECV_WINDOW,
                    example=_DEFAULT_RECV_WINDOW_MS,
                ),
            ),
            public_id="api_key",
            intents=frozenset({"http_request"}),
        ),
        KeyKind(
            Algorithm.SECP256K1,
            "a wallet: it logs in and has API keys issued",
            (),
            intents=aster_wallet.WALLET_INTENTS,
        ),
    )
    coverage = Coverage.PARAMETERS
    nonce_policies: tuple[NoncePolicy, ...] = ()
    time_path = "/fapi/v1/time"
    login_options = aster_wallet.LOGIN_OPTIONS
    create_key_options = aster_wallet.CREATE_KEY_OPTIONS
    operations = aster_operations.V1

    def normalise(self, request: HttpRequest, credential: Credential) -> HttpRequest:
        """Return the request with its form checked."""
        request = normalise_form(request, _RESERVED)
        for encoded, place in ((request.query, "query"), (request.body.decode(), "body")):
            window = parameter(encoded, "recvWindow")
            if window is not None and not _RECV_WINDOW.fullmatch(window):
                raise FieldInvalid(
                    f"http_request.{place}", "has a recvWindow that is not 1 to 60000 milliseconds"
                )
        return request

    def nonce_policy(self, credential: Credential, session: Session | None) -> None:
        """Return None: V1 wants a time, and takes the same one twice."""

    async def sign(
        self,
        request: HttpRequest,
        credential: Credential,
        environment: Environment,
        moment: Moment,
        session: Session | None,
    ) -> SignedHttpRequest:
        """Return the request with `recvWindow`, `timestamp` and `signature` behind the rest."""
        headers = (("X-MBX-APIKEY", credential.fields["api_key"]),)
        query, body = request.query, request.body.decode()
        if _KEY_ONLY.fullmatch(request.path):
            return signed_request(request, environment, headers)
        window = parameter(query, "recvWindow") or parameter(body, "recvWindow")
        added = f"timestamp={moment.time_ms}"
        if window is None:
            window = credential.fields.get("recv_window", _DEFAULT_RECV_WINDOW_MS)
            added = f"recvWindow={window}&{added}"
        if body:
            body = joined(body, added)
        else:
            query = joined(query, added)
        signature = (await credential.signer.sign((query + body).encode())).hex()
        if body:
            body = f"{body}&signature={signature}"
        else:
            query = f"{query}&signature={signature}"
        return signed_request(
            request,
            environment,
            headers,
            query=query,
            body=body.encode(),
            expire_time_ms=moment.time_ms + int(window),
        )

    def session_use(self, credential: Credential) -> SessionUse:
        """Return that no request is signed by a session."""
        return SessionUse.NEVER

    def login_nonce_policy(self, credential: Credential) -> None:
        """Return None: the login's nonce comes from Aster."""
        aster_wallet.check_wallet(credential)

    async def login(
        self,
        credential: Credential,
        environment: Environment,
        moment: Moment,
        options: Mapping[str, str],
        outbound: Outbound,
    ) -> Session:
        """Log the wallet in."""
        return await aster_wallet.login(credential, environment, moment, options, outbound)

    async def logout(
        self,
        credential: Credential,
        environment: Environment,
        session: Session,
        outbound: Outbound,
    ) -> None:
        """Do nothing: Aster documents no logout."""

    def check_order(self, credential: Credential, order: KeyOrder) -> None:
        """Raise where Aster would not take the order."""
        aster_wallet.check_order(credential, order)

    async def create_key(
        self,
        credential: Credential,
        environment: Environment,
        order: KeyOrder,
        outbound: Outbound,
    ) -> IssuedKey:
        """Have Aster issue an API key to the wallet."""
        return await aster_wallet.create_key(credential, environment, order, outbound)

    def read_time(self, answer: OutboundResponse) -> VenueTime | None:
        """Return the futures' server time, in milliseconds; spot is taken to have the same."""
        return number_time(answer, "serverTime", 1)

    def read_answer(self, status: int, body: bytes) -> Meaning:
        """Return what Aster's code says of the request's time."""
        return aster_answers.read_answer(status, body)

    def read_typed_data(self, document: Mapping[str, JsonValue]) -> Operation | None:
        """Return what a document of the wallet does at Aster."""
        return aster_documents.read_typed_data(document)

    def check_message(self, message: bytes) -> None:
        """Raise where a message logs in, or hides what it says."""
        aster_documents.check_message(message)

    def price(self, operation: Operation, request: HttpRequest) -> Notional | None:
        """Return quantity times price."""
        return aster_pricing.price(operation, request)
