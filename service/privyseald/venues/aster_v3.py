"""Aster V3 ("Pro API"): EIP-712 over the parameters, signed by an agent's key.

The signed text is the parameter string as it is sent, percent-encoding included; it binds
neither method nor path. Sources: asterdex/api-docs V3(Recommended)/EN "Authentication
signature payload" (265e024) for the scheme and chain ids 1666 and 714, PR #157 (2026-07-16)
for the nonce. Official samples differ on percent-encoding: see docs/venues.md.
"""

import re
from collections.abc import Mapping

from privyseald.errors import FieldInvalid, IntentUnsupported
from privyseald.key import Algorithm
from privyseald.outbound.outbound import Outbound, OutboundResponse
from privyseald.signing.signer import Credential
from privyseald.signing.string_message import string_message
from privyseald.strict_json import JsonValue
from privyseald.venues import (
    aster_answers,
    aster_documents,
    aster_operations,
    aster_pricing,
    aster_wallet,
)
from privyseald.venues.aster_form import ENVIRONMENTS, joined, normalise_form
from privyseald.venues.http_request import HttpRequest
from privyseald.venues.pricing import Notional
from privyseald.venues.reading import Meaning, VenueTime, number_time
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
    SessionUse,
    SignedHttpRequest,
)

_RESERVED = frozenset({"nonce", "user", "signer", "signature"})
# Documents until 2026-06-30 say 10 s, PR #157 says 60 s: the narrower one is right under both.
_WINDOW_MS = 10_000
_NONCE = NoncePolicy(NonceUnit.US, NonceOrder.UNIQUE, _WINDOW_MS)
# Aster takes no `Message` on 1666 for these (asterdex/api-docs demo/aster-code.py).
_BY_MAIN_WALLET = frozenset(
    {
        ("POST", "approveAgent"),
        ("POST", "updateAgent"),
        ("DELETE", "agent"),
        ("POST", "approveBuilder"),
        ("POST", "updateBuilder"),
        ("DELETE", "builder"),
        ("POST", "registerAndApproveAgent"),
        ("POST", "migrateUser"),
    }
)
_CHAIN_IDS = {"production": 1666, "testnet": 714}


@register
class AsterV3:
    """Signs with the parameters `nonce`, `user`, `signer` and `signature`."""

    name = "aster-v3"
    about = "Aster V3: EIP-712 over the parameters, by an agent's key; wallet login"
    environments = ENVIRONMENTS
    key_kinds = (
        KeyKind(
            Algorithm.SECP256K1,
            "an agent's key (\"API wallet\"), or the main wallet's own",
            (
                Field(
                    "user",
                    "the main wallet's address, sent as 'user'; left out, it is not sent, as "
                    "Aster's newest documents have it",
                    re.compile(r"0x[0-9a-fA-F]{40}"),
                    example="0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266",
                ),
            ),
            intents=frozenset({"http_request"}) | aster_wallet.WALLET_INTENTS,
        ),
    )
    coverage = Coverage.PARAMETERS
    nonce_policies = (_NONCE,)
    time_path = "/fapi/v3/time"
    login_options = aster_wallet.LOGIN_OPTIONS
    operations = aster_operations.V3

    def normalise(self, request: HttpRequest, credential: Credential) -> HttpRequest:
        """Return the request with its form checked, and all of it in one place.

        Aster signs the parameters as one string, so they stand in the query or in the body.
        """
        if (request.method, request.path.rpartition("/")[2]) in _BY_MAIN_WALLET:
            raise IntentUnsupported(
                "http_request.path",
                "is signed by the main wallet, as EIP-712 data of its own on chain 56, and not "
                "as parameters; sign that document with typed_data",
            )
        request = normalise_form(request, _RESERVED)
        if request.query and request.body:
            raise FieldInvalid(
                "http_request.query", "and the body both hold parameters; give them in one place"
            )
        return request

    def nonce_policy(self, credential: Credential, session: Session | None) -> NoncePolicy:
        """Return the rule for nonces: microseconds, each once, near the server's clock."""
        return _NONCE

    async def sign(
        self,
        request: HttpRequest,
        credential: Credential,
        environment: Environment,
        moment: Moment,
        session: Session | None,
    ) -> SignedHttpRequest:
        """Return the request with `nonce`, `user`, `signer` and `signature` behind the rest."""
        signer = credential.signer.public_id
        user = credential.fields.get("user")
        added = f"nonce={moment.nonce}" + (f"&user={user}" if user else "") + f"&signer={signer}"
        in_query = bool(request.query) or request.method == "GET"
        text = joined(request.query if in_query else request.body.decode(), added)
        message = string_message(
            "Message", "msg", "AsterSignTransaction", "1", _CHAIN_IDS[environment.name]
        )
        signature = await credential.signer.sign(message.digest(text.encode()))
        signed = f"{text}&signature=0x{signature.hex()}"
        return signed_request(
            request,
            environment,
            (),
            query=signed if in_query else None,
            body=None if in_query else signed.encode(),
            expire_time_ms=(moment.nonce or 0) // 1_000 + _WINDOW_MS,
        )

    def session_use(self, credential: Credential) -> SessionUse:
        """Return that no request is signed by a session."""
        return SessionUse.NEVER

    def login_nonce_policy(self, credential: Credential) -> None:
        """Return None: the login's nonce comes from Aster."""

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

    def read_time(self, answer: OutboundResponse) -> VenueTime | None:
        """Return the futures' server time, in milliseconds; spot is taken to have the same."""
        return number_time(answer, "serverTime", 1)

    def read_answer(self, status: int, body: bytes) -> Meaning:
        """Return what Aster's code says of the request's nonce."""
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
