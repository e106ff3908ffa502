"""KIIEX's sessions: AuthenticateUser, Authenticate2FA and LogOut.

KIIEX answers HTTP 200 to a failure, in two spellings of names, and locks a user after too many
failures. Sources: alphapoint/slate _api_users_auth_*.md (a17bbe4); hummingbot ndax_auth.py.
"""

import json
import re
from collections.abc import Mapping

from privyseald.errors import (
    VenueAccountLocked,
    VenueCredentialRejected,
    VenueRateLimited,
    VenueRefused,
    VenueTwoFactorPending,
)
from privyseald.outbound.outbound import Outbound, OutboundRequest, OutboundResponse
from privyseald.signing.signer import Credential
from privyseald.venues.answers import clean, refusal_or_json_object, unknown
from privyseald.venues.http_request import JSON
from privyseald.venues.venue import Environment, Field, Moment, Session

# "One hour after the last-detected activity" (alphapoint/slate, Authenticate2FA). Callers'
# requests are not seen here, so the hour is counted from the login.
_SESSION_MS = 3_600_000
_TOKEN = re.compile(r"[\x21-\x7e]{1,4096}")

LOGIN_OPTIONS = (
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


async def login(
    credential: Credential,
    environment: Environment,
    moment: Moment,
    credentials: tuple[tuple[str, str], ...],
    options: Mapping[str, str],
    outbound: Outbound,
) -> Session:
    """Call AuthenticateUser, and Authenticate2FA where a code is at hand.

    `Authenticated: true` alone is no session: a token must be there.
    """
    in_body = options.get("credentials_in") == "body"
    answer = await _call(
        outbound,
        environment,
        "AuthenticateUser",
        () if in_body else credentials,
        json.dumps(dict(credentials), separators=(",", ":")).encode() if in_body else b"{}",
    )
    code = options.get("two_factor_code")
    if answer.get("requires2fa") is True and answer.get("locked") is not True and code:
        pending = str(answer.get("pending2fatoken") or "")
        if not _TOKEN.fullmatch(pending):
            raise _two_factor("KIIEX asks for a second factor, but gave no token for it")
        headers = (("Pending2FaToken", pending), ("Code", code))
        answer = await _call(outbound, environment, "Authenticate2FA", headers, b"{}")
    return _session(answer, credential, moment)


async def logout(environment: Environment, session: Session, outbound: Outbound) -> None:
    """Call LogOut with the session's token."""
    await _call(outbound, environment, "LogOut", session.headers, b"{}")


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
    # The gateway says it in words too, with any status.
    if response.status == 429 or response.body.strip().upper() == b"TOO MANY REQUESTS":
        raise VenueRateLimited(
            "KIIEX wants fewer requests", metadata={"venue": "kiiex"}, retry_after_ms=60_000
        )
    if response.status >= 500:
        raise unknown("kiiex", response, "a fault of its own; try again later")
    found = refusal_or_json_object("kiiex", response)
    answer = {name.lower(): value for name, value in found.items()}
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
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
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
