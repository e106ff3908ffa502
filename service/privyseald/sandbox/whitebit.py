"""WhiteBIT: POST only, a signed JSON body, nonces that grow or lie in a window.

Texts are those of whitebit-exchange/docs data/error-codes.yaml and guides/first-api-call.mdx,
the 429 of a nonce that of ccxt PR #25353. Inferred: the statuses other than 400 for a spaced
body and 429 for a nonce; that both kinds of nonce are counted apart; that rights are checked
after the nonce, which is then spent; the text for a nonce ahead of the window.
"""

import base64
import hmac
import re
from collections import defaultdict
from collections.abc import Mapping
from fnmatch import fnmatchcase

from privyseald.sandbox.accounts import Accounts, WhitebitKey
from privyseald.sandbox.json_text import Json, parse
from privyseald.sandbox.knobs import WhitebitKnobs
from privyseald.sandbox.message import Answer, Incoming, Refused

_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPED_PAIR = re.compile(r"\\(.)", re.DOTALL)
_DIGITS = re.compile(r"[0-9]{1,30}")


class Whitebit:
    """The venue, with the last nonce and the nonces inside the window of each key."""

    def __init__(self, accounts: Accounts, knobs: WhitebitKnobs) -> None:
        self._accounts = accounts
        self._knobs = knobs
        self._last: dict[str, int] = {}
        self._in_window: defaultdict[str, set[int]] = defaultdict(set)
        self._orders = 0

    def answer(self, request: Incoming, now_us: int) -> Answer:
        """Return the venue's answer. Raises Refused."""
        if request.path.startswith("/api/v4/public/"):
            return self._public(request, now_us)
        if not request.path.startswith("/api/"):
            raise _refusal(404, 0, "Not found.")
        if request.method != "POST":
            raise _refusal(405, 0, "Method not allowed.")
        key = self._key(request)
        body = self._body(request, key)
        nonce = self._spend_nonce(body, key, now_us // 1_000)
        if not any(fnmatchcase(request.path, pattern) for pattern in key.endpoints):
            raise Refused(
                Answer(
                    403,
                    {
                        "code": 4,
                        "message": "This API Key is not authorized to perform this action.",
                    },
                    refusal="This API Key is not authorized to perform this action.",
                )
            )
        asked = {
            name: str(value)
            for name, value in body.items()
            if name not in {"request", "nonce", "nonceWindow"}
        }
        return Answer(
            200,
            self._result(request.path, body),
            account=key.api_key,
            nonce=str(nonce),
            parameters=asked,
        )

    def _public(self, request: Incoming, now_us: int) -> Answer:
        if request.method != "GET":
            raise _refusal(405, 0, "Method not allowed.")
        if request.path == "/api/v4/public/time":
            return Answer(200, {"time": now_us // 1_000_000})
        if request.path == "/api/v4/public/ping":
            return Answer(200, ["pong"])
        return Answer(200, {})

    def _key(self, request: Incoming) -> WhitebitKey:
        if not request.header("x-txc-payload"):
            raise _refusal(400, 0, "Payload not provided.")
        key = self._accounts.whitebit.get(request.header("x-txc-apikey"))
        if key is None or not key.enabled:
            text = "This action is unauthorized. Enable your key in API settings"
            raise Refused(Answer(401, {"code": 2, "message": text}, refusal=text))
        return key

    def _body(self, request: Incoming, key: WhitebitKey) -> Mapping[str, Json]:
        payload = request.header("x-txc-payload")
        if payload.encode() != base64.b64encode(request.body):
            raise _invalid_payload()
        body = _canonical_object(request.body)
        signature = hmac.new(key.api_secret.encode(), payload.encode(), "sha512").hexdigest()
        given = request.header("x-txc-signature")
        if not hmac.compare_digest(signature.encode(), given.encode()):
            text = "Unauthorized request."
            raise Refused(Answer(401, {"code": 10, "message": text}, refusal=text))
        if body.get("request") != request.path:
            raise _refusal(400, 0, "Request not provided.")
        return body

    def _spend_nonce(self, body: Mapping[str, Json], key: WhitebitKey, now_ms: int) -> int:
        nonce = _integer(body.get("nonce"))
        if nonce is None:
            raise _refusal(400, 0, "Nonce not provided.")
        window = body.get("nonceWindow", False)
        if not isinstance(window, bool):
            raise _refusal(400, 0, "Invalid nonceWindow.")
        if not window:
            if nonce <= self._last.get(key.api_key, -1):
                raise _refusal(429, 0, "Too many requests.")
            self._last[key.api_key] = nonce
            return nonce
        if abs(now_ms - nonce) > self._knobs.nonce_window_ms:
            text = "Your nonce is more than 5 seconds lesser than the current nonce"
            raise _refusal(400, 0, text)
        used = self._in_window[key.api_key]
        used -= {old for old in used if now_ms - old > self._knobs.nonce_window_ms}
        if nonce in used:
            raise _refusal(429, 0, "Too many requests.")
        used.add(nonce)
        return nonce

    def _result(self, path: str, body: Mapping[str, Json]) -> Json:
        if path == "/api/v4/profile/websocket_token":
            return {"websocket_token": "sandbox-websocket-token"}
        if path == "/api/v4/trade-account/balance":
            ticker = body.get("ticker")
            balance = {"available": "1", "freeze": "0"}
            return balance if ticker else {"BTC": balance, "USDT": balance}
        if path.startswith("/api/v4/order/"):
            self._orders += 1
            return {
                "orderId": self._orders,
                "clientOrderId": body.get("clientOrderId", ""),
                "market": body.get("market"),
                "side": body.get("side"),
                "amount": body.get("amount"),
                "price": body.get("price"),
            }
        return {}


def _integer(nonce: Json) -> int | None:
    """Return a nonce that was sent as a number or as a string."""
    if isinstance(nonce, int) and not isinstance(nonce, bool):
        return nonce
    if isinstance(nonce, str) and _DIGITS.fullmatch(nonce):
        return int(nonce)
    return None


def _canonical_object(body: bytes) -> Mapping[str, Json]:
    r"""Return a JSON object written without blanks, `\/` or a key twice. Raises Refused."""
    try:
        value = parse(body)
    except ValueError:
        raise _invalid_payload() from None
    text = body.decode()
    escapes = {pair for found in _STRING.finditer(text) for pair in _ESCAPED_PAIR.findall(found[1])}
    blank = any(character.isspace() for character in _STRING.sub("", text))
    if not isinstance(value, Mapping) or blank or "/" in escapes:
        raise _invalid_payload()
    return value


def _invalid_payload() -> Refused:
    text = "Invalid payload."
    return Refused(Answer(400, {"code": 9, "message": text}, refusal=text))


def _refusal(status: int, code: int, text: str) -> Refused:
    return Refused(Answer(status, {"code": code, "errors": {}, "message": text}, refusal=text))
