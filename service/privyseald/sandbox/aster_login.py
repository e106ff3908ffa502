"""Aster's web login and key creation (bapi): a nonce, a wallet's signature, a token or key.

Source: asterdex/api-docs demo/aster-api-key-registration.md and its front-end demo. A failure
is HTTP 200 with a code other than "000000". Inferred: the failure codes and most texts; that
a nonce serves one attempt, for its own type, for a minute; that `clientType` is "broker" or
"web"; what is answered since new keys are refused.
"""

import secrets
import string
from collections.abc import Mapping
from dataclasses import dataclass

from eth_account.messages import encode_defunct

from privyseald.sandbox.accounts import Accounts, AsterAccount, AsterKey
from privyseald.sandbox.aster_typed_data import recover
from privyseald.sandbox.json_text import Json
from privyseald.sandbox.knobs import AsterKnobs
from privyseald.sandbox.message import Answer, Incoming, Refused

_ROOT = "/bapi/futures/v1/public/future/web3/"
_TOKEN_LETTERS = string.ascii_uppercase + string.digits
_TYPES = ("LOGIN", "CREATE_API_KEY")


@dataclass(frozen=True, slots=True)
class _Nonce:
    text: str
    expire_ms: int


class AsterLogin:
    """The login of wallets, with the nonces given out and not used yet."""

    def __init__(self, accounts: Accounts, knobs: AsterKnobs) -> None:
        self._accounts = accounts
        self._knobs = knobs
        self._nonces: dict[tuple[str, str], _Nonce] = {}

    def answer(self, request: Incoming, now_us: int) -> Answer:
        """Return the venue's answer. Raises Refused."""
        asked = request.fields()
        if request.method != "POST" or not asked:
            raise _refusal("000002", "illegal parameter")
        match request.path.removeprefix(_ROOT):
            case "get-nonce":
                return self._give_nonce(asked, now_us // 1_000)
            case "ae/login":
                return self._login(request, asked, now_us // 1_000)
            case "broker-create-api-key":
                return self._create_key(request, asked, now_us // 1_000)
            case _:
                raise Refused(Answer(404, {"code": "000404", "success": False}, refusal="000404"))

    def _give_nonce(self, asked: Mapping[str, Json], now_ms: int) -> Answer:
        address, kind = _text(asked, "sourceAddr"), _text(asked, "type")
        if kind not in _TYPES:
            raise _refusal("000002", "illegal parameter: type")
        nonce = self._knobs.login_nonce or f"{secrets.randbelow(1_000_000):06}"
        expire_ms = now_ms + self._knobs.login_nonce_life_ms
        self._nonces[address.lower(), kind] = _Nonce(nonce, expire_ms)
        return _success(address, {"nonce": nonce})

    def _login(self, request: Incoming, asked: Mapping[str, Json], now_ms: int) -> Answer:
        if type(asked.get("chainId")) is not int:
            raise _refusal("000002", "illegal parameter: chainId")
        account = self._prove(request, asked, "LOGIN", now_ms)
        token = "".join(secrets.choice(_TOKEN_LETTERS) for _ in range(37))
        return _success(account.address, {"token": token, "uid": account.uid})

    def _create_key(self, request: Incoming, asked: Mapping[str, Json], now_ms: int) -> Answer:
        description = _text(asked, "desc")
        _text(asked, "network")
        if asked.get("type") != "CREATE_API_KEY":
            raise _refusal("000002", "illegal parameter: type")
        account = self._prove(request, asked, "CREATE_API_KEY", now_ms)
        if asked.get("sourceCode", "ae") != "ae" and not account.broker:
            raise _account_missing()
        if self._knobs.refuse_new_keys:
            raise _refusal("000003", "API key creation is no longer supported")
        keys = self._accounts.aster_keys.values()
        if (account.address, description) in {(key.address, key.description) for key in keys}:
            raise _refusal("000004", "The description already exists")
        key = AsterKey(secrets.token_hex(32), secrets.token_hex(32), account.address, description)
        self._accounts.add(key)
        issued: dict[str, Json] = {
            "apiKey": key.api_key,
            "apiSecret": key.api_secret,
            "keyId": 0,
            "apiName": None,
        }
        return _success(account.address, issued, {"desc": description})

    def _prove(
        self, request: Incoming, asked: Mapping[str, Json], kind: str, now_ms: int
    ) -> AsterAccount:
        """Return the account whose wallet signed the nonce, which is used up. Raises Refused."""
        if request.header("clienttype") not in ("broker", "web"):
            raise _refusal("000002", "illegal parameter: clientType")
        address = _text(asked, "sourceAddr").lower()
        nonce = self._nonces.pop((address, kind), None)
        if nonce is None or now_ms >= nonce.expire_ms:
            raise _refusal("000005", "nonce expired")
        message = encode_defunct(text=f"You are signing into Astherus {nonce.text}")
        if recover(message, _text(asked, "signature")) != address:
            raise _refusal("000006", "signature verification failed")
        account = self._accounts.aster.get(address)
        if account is None:
            raise _account_missing()
        return account


def _text(asked: Mapping[str, Json], name: str) -> str:
    value = asked.get(name)
    if not isinstance(value, str) or not value:
        raise _refusal("000002", f"illegal parameter: {name}")
    return value


def _success(
    account: str, data: dict[str, Json], parameters: Mapping[str, str] | None = None
) -> Answer:
    body: dict[str, Json] = {
        "code": "000000",
        "message": None,
        "messageDetail": None,
        "data": data,
        "success": True,
    }
    return Answer(200, body, account=account, parameters=parameters or {})


def _account_missing() -> Refused:
    """Return the refusal of a wallet that never opened a futures account (API-demo's README)."""
    return _refusal("000007", "The account does not exist, please open a futures account")


def _refusal(code: str, text: str) -> Refused:
    body: dict[str, Json] = {
        "code": code,
        "message": text,
        "messageDetail": None,
        "data": None,
        "success": False,
    }
    return Refused(Answer(200, body, refusal=text))
