"""KIIEX: AlphaPoint APEX. Four headers over nonce, user id and key id, or a session's token.

Neither binds method, path or body: the signature is as good as a password, and lasts.
Sources: KIIEX "Authenticate with API Key"; ccxt ndax.sign(); hummingbot ndax_auth.py.
"""

import re
from collections.abc import Mapping
from dataclasses import replace

from privyseald.errors import FieldInvalid, SessionMissing
from privyseald.key import Algorithm
from privyseald.outbound.outbound import Outbound, OutboundResponse
from privyseald.signing.signer import Credential
from privyseald.strict_json import parse
from privyseald.venues import kiiex_session
from privyseald.venues.http_request import JSON, HttpRequest, check_parameters, parameter_names
from privyseald.venues.kiiex_operations import OPERATIONS
from privyseald.venues.likeness import check_keys
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
    SessionUse,
    SignedHttpRequest,
)

_NONCE = NoncePolicy(NonceUnit.MS, NonceOrder.UNIQUE, None)


@register
class Kiiex:
    """Signs with `APIKey`, `Signature`, `UserId` and `Nonce`, or with the session's `aptoken`."""

    name = "kiiex"
    about = "KIIEX (AlphaPoint APEX): HMAC-SHA256 over nonce, user id and key id; sessions"
    environments = (
        Environment("production", (("/ap/", "https://alphaprod.proxy.kiiex.io"),)),
        Environment("staging", (("/ap/", "https://apstage.proxy.kiiex.io"),)),
    )
    key_kinds = (
        KeyKind(
            Algorithm.HMAC_SHA256,
            "an API key with its user id; the secret is used as text",
            (
                Field(
                    "api_key",
                    "the API KEY",
                    re.compile(r"[\x21-\x7e]{1,128}"),
                    required=True,
                    example="28c68ac3fcfafc3d4e8d653fe57e5baf",
                ),
                Field(
                    "user_id",
                    "the user id, kept as text: leading zeros count",
                    re.compile(r"[0-9]{1,20}"),
                    required=True,
                    example="96",
                ),
                Field(
                    "nonce",
                    "the NONCE that KIIEX showed with the key, if it shall be sent as it is; "
                    "without it each request gets a new one",
                    re.compile(r"[A-Za-z0-9_-]{1,64}"),
                    example="2247733562",
                ),
                Field(
                    "sign_with",
                    "'session-or-stateless' (as if left out) uses the session where there is "
                    "one; 'session' never signs without; 'stateless' never uses one",
                    re.compile("|".join(use.value for use in SessionUse)),
                    example="stateless",
                ),
            ),
            public_id="api_key",
            intents=frozenset({"http_request"}),
        ),
    )
    coverage = Coverage.NOTHING
    nonce_policies = (_NONCE,)
    operations = OPERATIONS
    time_path = "/ap/Ping"
    login_options = kiiex_session.LOGIN_OPTIONS

    def normalise(self, request: HttpRequest, credential: Credential) -> HttpRequest:
        """Return the request; its JSON body is checked and left as it is."""
        if request.method not in {"GET", "POST"}:
            raise FieldInvalid("http_request.method", "must be POST or GET: KIIEX has no others")
        check_parameters(parameter_names(request.query), frozenset(), "http_request.query")
        if not request.body:
            return request
        if request.content_type not in {"", JSON}:
            raise FieldInvalid("http_request.content_type", f"must be {JSON}, or empty")
        json = parse(request.body, "http_request.body")
        check_keys(json, "http_request.body")
        return replace(request, content_type=JSON, json=json)

    def session_use(self, credential: Credential) -> SessionUse:
        """Return what the key's `sign_with` says."""
        return SessionUse(credential.fields.get("sign_with", SessionUse.PREFERRED))

    def nonce_policy(self, credential: Credential, session: Session | None) -> NoncePolicy | None:
        """Return None with a session, or where the key's document fixes the nonce."""
        return None if session else self.login_nonce_policy(credential)

    def login_nonce_policy(self, credential: Credential) -> NoncePolicy | None:
        """Return None where the key's document fixes the nonce."""
        return None if "nonce" in credential.fields else _NONCE

    async def sign(
        self,
        request: HttpRequest,
        credential: Credential,
        environment: Environment,
        moment: Moment,
        session: Session | None,
    ) -> SignedHttpRequest:
        """Return the request with the session's header, or with the four stateless ones."""
        use = self.session_use(credential)
        if session is not None and use is not SessionUse.NEVER:
            return signed_request(
                request, environment, session.headers, expire_time_ms=session.expire_time_ms
            )
        if use is SessionUse.REQUIRED:
            raise SessionMissing(
                "this key signs by session only, and there is none; call Login first",
                metadata={"key": credential.key.name},
            )
        return signed_request(request, environment, await self._stateless(credential, moment))

    async def login(
        self,
        credential: Credential,
        environment: Environment,
        moment: Moment,
        options: Mapping[str, str],
        outbound: Outbound,
    ) -> Session:
        """Open a session; KIIEX locks a user after too many failures, so ask once."""
        credentials = await self._stateless(credential, moment)
        return await kiiex_session.login(
            credential, environment, moment, credentials, options, outbound
        )

    async def logout(
        self,
        credential: Credential,
        environment: Environment,
        session: Session,
        outbound: Outbound,
    ) -> None:
        """Call LogOut with the session's token."""
        await kiiex_session.logout(environment, session, outbound)

    def read_time(self, answer: OutboundResponse) -> VenueTime | None:
        """Return the header `Date`: no call tells the time, and `Ping` (ccxt ndax) costs least."""
        return date_time(answer.date)

    def read_answer(self, status: int, body: bytes) -> Meaning:
        """Return whether the session is over, as far as that can be told.

        APEX says "Not Authorized" (20, with HTTP 200) also where a right is missing; 401 is
        from KIIEX's newer documents. Nothing is said of nonces.
        """
        answer = {name.lower(): value for name, value in object_of(body).items()}
        if status == 401 or (answer.get("errorcode") == 20 and answer.get("result") is False):
            return Meaning.SESSION_EXPIRED
        return Meaning.NOTHING

    @staticmethod
    async def _stateless(credential: Credential, moment: Moment) -> tuple[tuple[str, str], ...]:
        api_key, user_id = credential.fields["api_key"], credential.fields["user_id"]
        nonce = credential.fields.get("nonce") or str(moment.nonce)
        signature = await credential.signer.sign((nonce + user_id + api_key).encode())
        return (
            ("APIKey", api_key),
            ("Signature", signature.hex()),
            ("UserId", user_id),
            ("Nonce", nonce),
        )
