"""KIIEX: AlphaPoint APEX. Four headers over nonce, user id and key id, or a session's token.

Neither binds method, path or body: the signature is as good as a password, and lasts.
Sources: KIIEX "Authenticate with API Key"; alphapoint/slate _api_users_auth_*.md (a17bbe4);
ccxt ndax.sign(); hummingbot ndax_auth.py.
"""

import re
from collections.abc import Mapping
from dataclasses import replace

from privyseald.errors import (
    FieldInvalid,
    SessionMissing,
    VenueAccountLocked,
    VenueCredentialRejected,
    VenueRateLimited,
    VenueRefused,
    VenueTwoFactorPending,
)
from privyseald.key import Algorithm
from privyseald.outbound.outbound import Outbound, OutboundRequest, OutboundResponse
from privyseald.signing.signer import Credential
from privyseald.strict_json import parse
from privyseald.venues.answers import clean, json_object, unknown
from privyseald.venues.http_request import JSON, HttpRequest, check_parameters, parameter_names
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

_NONCE = NoncePolicy(NonceUnit.MS, NonceOrder.UNIQUE, None)

# "One hour after the last-detected activity" (alphapoint/slate, Authenticate2FA). Callers'
# requests are not seen here, so the hour is counted from the login.
_SESSION_MS = 3_600_000


def _post(name: str, *tags: str) -> Operation:
    return Operation(name, "POST", f"/ap/{name}", tags)


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
    operations = (
        _post("AuthenticateUser", "session"),
        _post("Authenticate2FA", "session"),
        _post("LogOut", "session"),
        _post("GetUserInfo", "read"),
        _post("GetUserAccounts", "read"),
        _post("GetAccountPositions", "read"),
        _post("GetAccountTransactions", "read"),
        _post("GetAccountTrades", "read"),
        _post("GetOpenOrders", "read"),
        _post("GetOrderStatus", "read"),
        _post("GetOrderHistory", "read"),
        _post("SendOrder", "trade"),
        _post("CancelReplaceOrder", "trade"),
        _post("ModifyOrder", "trade"),
        _post("CancelOrder", "trade", "cancel"),
        _post("CancelAllOrders", "trade", "cancel"),
        _post("GetDepositInfo", "read", "deposit"),
        _post("CreateDepositTicket", "deposit"),
        _post("GetDepositTickets", "read"),
        _post("CreateWithdrawTicket", "withdrawal"),
        _post("CancelWithdraw", "withdrawal"),
        _post("GetWithdrawTickets", "read"),
        _post("TransferFunds", "transfer"),
        _post("AddUserAPIKey", "key-management"),
        _post("GetUserAPIKeys", "key-management", "read"),
        _post("RemoveUserAPIKey", "key-management"),
    )
    login_options = (
        Field(
            "credentials_in",
            "where AuthenticateUser takes the credentials: 'headers' (as if left out; the "
            "guide's prose, and what clients do) or 'body' (the guide's schema)",
            re.compile("headers|body"),
            example="headers",
        ),
        Field(
            "two_factor_code",
            "the code of the second factor, for a user that has one",
            re.compile(r"[0-9]{6,8}"),
            example="123456",
        ),
    )

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
        return signed_request(request, environment, await _stateless(credential, moment))

    async def login(
        self,
        credential: Credential,
        environment: Environment,
        moment: Moment,
        options: Mapping[str, str],
        outbound: Outbound,
    ) -> Session:
        """Call AuthenticateUser. `Authenticated: true` alone is no session: a token must be there.

        KIIEX answers HTTP 200 to a failure, and locks a user after too many of them.
        """
        credentials = await _stateless(credential, moment)
        in_body = options.get("credentials_in") == "body"
        answer = await _call(
            outbound,
            environment,
            "AuthenticateUser",
            () if in_body else credentials,
            _credentials_body(credentials) if in_body else b"{}",
        )
        code = options.get("two_factor_code")
        if answer.get("requires2fa") is True and code:
            pending = str(answer.get("pending2fatoken") or "")
            if not re.fullmatch(r"[\x21-\x7e]{1,512}", pending):
                raise _two_factor("KIIEX asks for a second factor, but gave no token for it")
            headers = (("Pending2FaToken", pending), ("Code", code))
            answer = await _call(outbound, environment, "Authenticate2FA", headers, b"{}")
        return _session(answer, credential, moment)

    async def logout(
        self,
        credential: Credential,
        environment: Environment,
        session: Session,
        outbound: Outbound,
    ) -> None:
        """Call LogOut with the session's token."""
        await _call(outbound, environment, "LogOut", session.headers, b"{}")


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


def _credentials_body(credentials: tuple[tuple[str, str], ...]) -> bytes:
    return ("{" + ",".join(f'"{name}":"{value}"' for name, value in credentials) + "}").encode()


async def _call(
    outbound: Outbound,
    environment: Environment,
    function: str,
    headers: tuple[tuple[str, str], ...],
    body: bytes,
) -> Mapping[str, object]:
    """Return the answer with its names in lower case: APEX answers in two spellings."""
    url = environment.url(f"/ap/{function}") or ""
    headers = (("Content-Type", JSON), *headers)
    response = await outbound.send(OutboundRequest("POST", url, headers, body))
    if response.status == 429:
        raise VenueRateLimited(
            "KIIEX wants fewer requests", metadata={"venue": "kiiex"}, retry_after_ms=60_000
        )
    if response.status >= 500:
        raise unknown("kiiex", response, "a fault of its own; try again later")
    answer = {name.lower(): value for name, value in json_object("kiiex", response).items()}
    if response.status >= 400 or answer.get("result") is False:
        raise _refusal(answer, response)
    return answer


def _session(answer: Mapping[str, object], credential: Credential, moment: Moment) -> Session:
    if answer.get("locked") is True:
        raise VenueAccountLocked(
            "KIIEX locked this user; an administrator of KIIEX must unlock it. "
            "Do not log in again before that",
            metadata={"venue": "kiiex", "key": credential.key.name},
        )
    if answer.get("authenticated") is not True:
        raise _rejected(answer)
    if answer.get("requires2fa") is True:
        raise _two_factor(
            "KIIEX wants a second factor; give the option two_factor_code, "
            "or use a user without one"
        )
    token = answer.get("sessiontoken")
    if not isinstance(token, str) or not re.fullmatch(r"[\x21-\x7e]{1,512}", token):
        raise VenueRefused(
            "KIIEX says that the user is authenticated, but gave no session token",
            metadata={"venue": "kiiex"},
        )
    user = answer.get("user")
    users = (
        {str(name).lower(): value for name, value in user.items()} if isinstance(user, dict) else {}
    )
    return Session(
        token=token,
        headers=(("aptoken", token),),
        user_id=clean(users.get("userid") or answer.get("userid") or credential.fields["user_id"]),
        create_time_ms=moment.time_ms,
        expire_time_ms=moment.time_ms + _SESSION_MS,
    )


def _refusal(answer: Mapping[str, object], response: OutboundResponse) -> VenueRefused:
    if response.status in {401, 403, 404} or answer.get("errorcode") == 20:
        return _rejected(answer)
    return VenueRefused(
        f"KIIEX refused: {_words(answer)}",
        metadata={
            "venue": "kiiex",
            "venueCode": clean(answer.get("errorcode")),
            "venueMessage": _words(answer),
        },
    )


def _rejected(answer: Mapping[str, object]) -> VenueCredentialRejected:
    return VenueCredentialRejected(
        f"KIIEX does not accept the key: {_words(answer)}; check api_key, user_id and the "
        "secret. Repeated failures lock the user",
        metadata={"venue": "kiiex", "venueMessage": _words(answer)},
    )


def _two_factor(message: str) -> VenueTwoFactorPending:
    return VenueTwoFactorPending(message, metadata={"venue": "kiiex"})


def _words(answer: Mapping[str, object]) -> str:
    return clean(answer.get("errormsg") or answer.get("detail") or "no reason given")
