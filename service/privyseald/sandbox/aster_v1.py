"""Aster V1: HMAC over query and body, as on Binance (asterdex/api-docs V1(Legacy)).

Inferred: the order key, parameters, time, signature; -2014 for a key that is not 64 letters
and digits, -2015 for one that is unknown; -1131 for a recvWindow over 60,000.
"""

import hmac
import re

from privyseald.sandbox.accounts import Accounts, AsterKey
from privyseald.sandbox.aster_form import (
    AHEAD,
    BAD_KEY_FORMAT,
    BAD_SIGNATURE,
    KEY_REJECTED,
    OUTSIDE_WINDOW,
    WINDOW_TOO_LONG,
    Form,
    illegal,
    read_form,
    refusal,
)
from privyseald.sandbox.aster_market import is_public, result
from privyseald.sandbox.message import Answer, Incoming

_KEY_ONLY = frozenset({"historicalTrades", "listenKey"})
_KEY_FORMAT = re.compile(r"[A-Za-z0-9]{64}")
_INTEGER = re.compile(r"[0-9]{1,20}")
_DECIMAL = re.compile(r"[0-9]{1,20}(?:\.[0-9]{1,20})?")
_DECIMALS = ("quantity", "price", "stopPrice", "activationPrice", "callbackRate", "amount")


class AsterV1:
    """The API of HMAC keys. A request may be repeated inside its recvWindow."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    def answer(self, request: Incoming, endpoint: str, now_us: int) -> Answer:
        """Return the answer of an endpoint, named without its version. Raises Refused."""
        form = read_form(request)
        account = nonce = ""
        if not is_public(endpoint):
            key = self._key(request)
            account, nonce = key.api_key, form.values.get("timestamp", "")
            if endpoint not in _KEY_ONLY:
                self._verify(form, key, now_us // 1_000)
        body = result(endpoint, request.method, form.values, now_us)
        return Answer(200, body, account=account, nonce=nonce, parameters=form.values)

    def _key(self, request: Incoming) -> AsterKey:
        api_key = request.header("x-mbx-apikey")
        key = self._accounts.aster_keys.get(api_key)
        if key is None:
            raise refusal(KEY_REJECTED if _KEY_FORMAT.fullmatch(api_key) else BAD_KEY_FORMAT)
        return key

    def _verify(self, form: Form, key: AsterKey, now_ms: int) -> None:
        form.need("timestamp", "signature")
        for name in ("timestamp", "recvWindow"):
            if not _INTEGER.fullmatch(form.values.get(name, "0")):
                raise illegal(name, f"^{_INTEGER.pattern}$")
        for name in _DECIMALS:
            if not _DECIMAL.fullmatch(form.values.get(name, "0")):
                raise illegal(name, f"^{_DECIMAL.pattern}$")
        timestamp = int(form.values["timestamp"])
        window = int(form.values.get("recvWindow", "5000"))
        if window > 60_000:
            raise refusal(WINDOW_TOO_LONG)
        if timestamp >= now_ms + 1_000:
            raise refusal(AHEAD)
        if now_ms - timestamp > window:
            raise refusal(OUTSIDE_WINDOW)
        expected = hmac.new(key.api_secret.encode(), form.signed.encode(), "sha256").hexdigest()
        if not hmac.compare_digest(expected.encode(), form.signature.lower().encode()):
            raise refusal(BAD_SIGNATURE)
