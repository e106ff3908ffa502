"""What a wallet does at Aster beside trading: log in, and have an API key issued.

Each step takes a nonce of its own from the website's API, signs a fixed sentence with it
(EIP-191) and hands the signature in. A refusal comes as HTTP 200 with a code that is not
"000000". Sources: asterdex/api-docs demo/aster-api-key-registration.md (33df316 adds the
header clientType); asterdex/API-demo web3-api-key-demo/README.md. Aster issues no new keys
since 2026-03-25 (asterdex/api-docs README), so expect a refusal there.
"""

import json
import re
from collections.abc import Mapping

from privyseald.errors import (
    CreateKeyUnsupported,
    FieldInvalid,
    LoginUnsupported,
    VenueAccountMissing,
    VenueCredentialRejected,
    VenueDescriptionTaken,
    VenueNonceRejected,
    VenueOutcomeUnknown,
    VenueRateLimited,
    VenueRefused,
    VenueTwoFactorPending,
    VenueUnreachable,
)
from privyseald.key import Algorithm
from privyseald.outbound.outbound import Outbound, OutboundRequest
from privyseald.signing import eip191
from privyseald.signing.secret import SecretBytes
from privyseald.signing.signer import Credential
from privyseald.venues.answers import clean, refusal_or_json_object, unknown
from privyseald.venues.http_request import JSON
from privyseald.venues.venue import Environment, Field, IssuedKey, KeyOrder, Moment, Session

_ROOT = "/bapi/futures/v1/public/future/web3"
_SENTENCE = "You are signing into Astherus "
_CHAIN_ID = 56  # BNB Smart Chain, in both calls
_NONCE = re.compile(r"[0-9A-Za-z_-]{1,64}")
_API_KEY = re.compile(r"[\x21-\x7e]{8,256}")
_TOKEN = re.compile(r"[\x21-\x7e]{8,4096}")
_RETRY_AFTER_MS = 60_000

_CLIENT_TYPE = Field(
    "client_type",
    "the header clientType: 'broker' (as if left out) or 'web'",
    re.compile("broker|web"),
    example="broker",
)
LOGIN_OPTIONS = (
    Field(
        "agent_code",
        "a referral code",
        re.compile(r"[A-Za-z0-9]{1,32}"),
        example="56789",
    ),
    _CLIENT_TYPE,
)
CREATE_KEY_OPTIONS = (
    Field(
        "source_code",
        "'ae' (as if left out) for Aster's own users, another value for a broker's",
        re.compile(r"[A-Za-z0-9_-]{1,32}"),
        example="ae",
    ),
    _CLIENT_TYPE,
)
WALLET_INTENTS = frozenset({"personal_message", "typed_data"})
# What each pattern of the website's words means; codes for them are not documented.
_REFUSALS: tuple[tuple[re.Pattern[str], type[VenueRefused]], ...] = (
    (re.compile(r"does not exist|open a futures account", re.IGNORECASE), VenueAccountMissing),
    (
        re.compile(
            r"(desc\w*|name|label).*(exist|duplicate|taken|used|repeat|unique)", re.IGNORECASE
        ),
        VenueDescriptionTaken,
    ),
    (re.compile(r"nonce", re.IGNORECASE), VenueNonceRejected),
    (re.compile(r"signature|not authorized|unauthorized", re.IGNORECASE), VenueCredentialRejected),
    (re.compile(r"too many|frequent|rate limit", re.IGNORECASE), VenueRateLimited),
)


async def login(
    credential: Credential,
    environment: Environment,
    moment: Moment,
    options: Mapping[str, str],
    outbound: Outbound,
) -> Session:
    """Return the website's session of the wallet: its token and uid, and no headers."""
    body = {
        "signature": await _signature(credential, environment, "LOGIN", options, outbound),
        "sourceAddr": credential.signer.public_id,
        "chainId": _CHAIN_ID,
    }
    if "agent_code" in options:
        body["agentCode"] = options["agent_code"]
    data = await _call(environment, "ae/login", body, options, outbound)
    if data.get("need2FA") is True:
        raise VenueTwoFactorPending(
            "Aster wants a second factor; switch it off for this wallet, or use another",
            metadata={"venue": "aster"},
        )
    token = data.get("token")
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise VenueOutcomeUnknown(
            "Aster accepted the login, but gave no token", metadata={"venue": "aster"}
        )
    return Session(
        token=token,
        headers=(),
        user_id=clean(data.get("uid") or data.get("userId")),
        create_time_ms=moment.time_ms,
        expire_time_ms=None,
    )


def check_wallet(credential: Credential) -> None:
    """Raise LoginUnsupported when the key is no wallet."""
    if credential.key.algorithm != Algorithm.SECP256K1:
        raise LoginUnsupported(
            "only a wallet key (secp256k1) logs in at Aster; this is an API key",
            metadata={"venue": credential.key.venue, "key": credential.key.name},
        )


def check_order(credential: Credential, order: KeyOrder) -> None:
    """Raise where Aster would not take the order, before it is asked."""
    if credential.key.algorithm != Algorithm.SECP256K1:
        raise CreateKeyUnsupported(
            "only a wallet key (secp256k1) can have Aster issue an API key",
            metadata={"venue": credential.key.venue, "key": credential.key.name},
        )
    if not re.fullmatch(r"[A-Za-z0-9 _.:-]{1,64}", order.description):
        raise FieldInvalid(
            "venue_issued.description",
            "must be 1 to 64 letters, digits, spaces and _.:- ; it must be new at Aster too",
        )


async def create_key(
    credential: Credential, environment: Environment, order: KeyOrder, outbound: Outbound
) -> IssuedKey:
    """Return the API key that Aster issued; its secret is shown this one time.

    Where Aster refuses its own nonce, which has grown old meanwhile, it issued nothing: it is
    asked once more, with another. A login is not: who knows what counts as a failed one.
    """
    try:
        return await _create_key(credential, environment, order, outbound)
    except VenueNonceRejected:
        return await _create_key(credential, environment, order, outbound)


async def _create_key(
    credential: Credential, environment: Environment, order: KeyOrder, outbound: Outbound
) -> IssuedKey:
    signature = await _signature(credential, environment, "CREATE_API_KEY", order.options, outbound)
    body = {
        "desc": order.description,
        "ip": ",".join(order.allowed_ips),
        "network": str(_CHAIN_ID),
        "signature": signature,
        "sourceAddr": credential.signer.public_id,
        "type": "CREATE_API_KEY",
        "sourceCode": order.options.get("source_code", "ae"),
    }
    data = await _call(environment, "broker-create-api-key", body, order.options, outbound)
    api_key, material = data.get("apiKey"), data.get("apiSecret")
    if not (isinstance(api_key, str) and isinstance(material, str)) or not (
        _API_KEY.fullmatch(api_key) and _API_KEY.fullmatch(material)
    ):
        raise VenueOutcomeUnknown(
            "Aster says that it issued a key, but the answer holds none; look for the "
            "description among the account's keys",
            metadata={"venue": "aster"},
        )
    return IssuedKey(Algorithm.HMAC_SHA256, {"api_key": api_key}, SecretBytes(material))


async def _signature(
    credential: Credential,
    environment: Environment,
    purpose: str,
    options: Mapping[str, str],
    outbound: Outbound,
) -> str:
    question = {"sourceAddr": credential.signer.public_id, "type": purpose}
    try:
        data = await _call(environment, "get-nonce", question, options, outbound)
    except VenueOutcomeUnknown as error:
        raise VenueUnreachable(
            "Aster gave no nonce to sign; nothing was asked of it yet, so try again",
            metadata={"venue": "aster", **error.metadata},
            retry_after_ms=1_000,
        ) from error
    nonce = data.get("nonce")
    # A nonce is kept as the text that it is: leading zeros are part of the sentence.
    if not isinstance(nonce, str) or not _NONCE.fullmatch(nonce):
        raise VenueUnreachable(
            "Aster gave no nonce that can be signed; nothing was asked of it yet, so try again",
            metadata={"venue": "aster"},
            retry_after_ms=1_000,
        )
    signature = await credential.signer.sign(eip191.digest((_SENTENCE + nonce).encode()))
    return "0x" + signature.hex()


async def _call(
    environment: Environment,
    function: str,
    body: Mapping[str, object],
    options: Mapping[str, str],
    outbound: Outbound,
) -> Mapping[str, object]:
    url = environment.url(f"{_ROOT}/{function}")
    if url is None:
        raise VenueUnreachable(
            f"Aster documents no address for logins and new keys in its {environment.name}; "
            f"if you know one, set base_urls.{environment.name} in the config",
            metadata={"venue": "aster"},
        )
    headers = (
        ("Content-Type", JSON),
        ("clientType", options.get("client_type", "broker")),
    )
    response = await outbound.send(
        OutboundRequest("POST", url, headers, json.dumps(body, separators=(",", ":")).encode())
    )
    if response.status in {418, 429}:  # 418: an address banned for going on after 429
        raise VenueRateLimited(
            "Aster wants fewer requests",
            metadata={"venue": "aster"},
            retry_after_ms=_RETRY_AFTER_MS,
        )
    if response.status >= 500:
        raise unknown("aster", response, "a fault of its own")
    answer = refusal_or_json_object("aster", response)
    data = answer.get("data")
    if response.status < 400 and answer.get("success") is True and answer.get("code") == "000000":
        if isinstance(data, dict):
            return data
        raise unknown("aster", response, "success, but no data")
    raise _refusal(answer)


def _refusal(answer: Mapping[str, object]) -> VenueRefused:
    words = clean(answer.get("message") or answer.get("msg") or "no reason given")
    code = clean(answer.get("code"))
    kind = next((kind for pattern, kind in _REFUSALS if pattern.search(words)), VenueRefused)
    return kind(
        f"Aster refused: {words}{f' (code {code})' if code else ''}",
        metadata={"venue": "aster", "venueCode": code, "venueMessage": words},
        retry_after_ms=_RETRY_AFTER_MS if kind is VenueRateLimited else None,
    )
