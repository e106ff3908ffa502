"""NebulaEX: a Peatio exchange behind Barong's authorizer.

Checks and codes are those of openware/barong lib/barong/authorize.rb and
app/services/api_keys_verifier.rb at 1f488179. Inferred: that NebulaEX runs Barong 2.4.5 or
later with the stock window; the order among permission, block list and restriction; the
status of a restriction, which each installation sets.
"""

import hmac
import re
from fnmatch import fnmatchcase

from privyseald.sandbox.accounts import Accounts, NebulaexKey
from privyseald.sandbox.json_text import Json
from privyseald.sandbox.knobs import NebulaexKnobs
from privyseald.sandbox.message import Answer, Incoming, Refused

_HEADERS = ("x-auth-apikey", "x-auth-nonce", "x-auth-signature")
_RUBY_INTEGER = re.compile(r"\s*([+-]?[0-9]+(?:_[0-9]+)*)")
_PUBLIC = re.compile(r"/api/v2/(?:[a-z]+/)?public/")
_METHODS = (
    (_PUBLIC, ("GET",)),
    (re.compile(r"/api/v2/[a-z]+/account/balances\Z"), ("GET",)),
    (re.compile(r"/api/v2/trading/market/orders\Z"), ("POST", "GET")),
    (re.compile(r"/api/v2/trading/market/(?:bulk/)?orders/cancel(?:/[^/]+)?\Z"), ("POST",)),
)


class Nebulaex:
    """The venue. A replay inside the window is accepted, as by Barong since 2.4.5."""

    def __init__(self, accounts: Accounts, knobs: NebulaexKnobs) -> None:
        self._accounts = accounts
        self._knobs = knobs
        self._signatures: set[str] = set()
        self._orders = 0

    def answer(self, request: Incoming, now_us: int) -> Answer:
        """Return the venue's answer. Raises Refused."""
        if not request.path.startswith("/api/v2/"):
            raise self._refusal(404, "record.not_found")
        key, nonce = None, ""
        if not _PUBLIC.match(request.path):
            key = self._authorize(request, now_us // 1_000)
            nonce = request.header("x-auth-nonce")
        for pattern, methods in _METHODS:
            if pattern.match(request.path) and request.method not in methods:
                raise self._method_not_allowed()
        return Answer(
            200 if request.method == "GET" else 201,
            self._result(request, now_us),
            account=key.api_key if key else "",
            nonce=nonce,
            parameters={name: str(value) for name, value in request.fields().items()},
        )

    def _authorize(self, request: Incoming, now_ms: int) -> NebulaexKey:
        api_key, nonce, signature = (request.header(name) for name in _HEADERS)
        if not any(name in request.headers for name in _HEADERS):
            raise self._refusal(401, "authz.invalid_session")
        if not (api_key.strip() and nonce.strip() and signature.strip()):
            raise self._refusal(422, "authz.invalid_api_key_headers")
        key = self._accounts.nebulaex.get(api_key)
        if key is None:
            raise self._refusal(401, "authz.unexistent_apikey")
        nonce_ms = _ruby_to_i(nonce)
        if nonce_ms <= 0:
            raise self._refusal(401, "authz.nonce_not_valid_timestamp")
        if abs(now_ms - nonce_ms) >= self._knobs.nonce_lifetime_ms:
            raise self._refusal(401, "authz.nonce_expired")
        expected = hmac.new(key.api_secret.encode(), (nonce + api_key).encode(), "sha256")
        if not hmac.compare_digest(expected.hexdigest().encode(), signature.encode()):
            raise self._refusal(401, "authz.invalid_signature")
        if self._knobs.single_use and signature in self._signatures:
            raise self._refusal(401, "authz.signature_blacklisted")
        self._signatures.add(signature)
        self._check_rights(request, key)
        return key

    def _check_rights(self, request: Incoming, key: NebulaexKey) -> None:
        action = f"{request.method} {request.path}"
        if not key.active:
            raise self._refusal(401, "authz.apikey_not_active")
        if not key.owner_active:
            raise self._refusal(401, "authz.invalid_session")
        if not key.owner_has_2fa:
            raise self._refusal(401, "authz.disabled_2fa")
        if not any(fnmatchcase(action, pattern) for pattern in key.permitted):
            raise self._refusal(401, "authz.invalid_permission")
        if any(fnmatchcase(request.path, pattern) for pattern in self._knobs.blocked):
            raise self._refusal(401, "authz.permission_denied")
        if self._knobs.restriction:
            code = f"authz.restrict.{self._knobs.restriction}"
            raise self._refusal(self._knobs.restriction_status, code)

    def _result(self, request: Incoming, now_us: int) -> Json:
        path = request.path
        if path.endswith("/public/timestamp"):
            return now_us // 1_000_000
        if path.endswith("/account/balances"):
            return [{"currency": "btc", "balance": "1.0", "locked": "0.0"}]
        if path.endswith("/market/orders") and request.method == "POST":
            self._orders += 1
            asked = request.fields()
            return {
                "id": self._orders,
                "market": asked.get("market"),
                "side": asked.get("side"),
                "price": asked.get("price"),
                "origin_volume": asked.get("volume"),
                "state": "pending",
            }
        return []

    def _refusal(self, status: int, code: str) -> Refused:
        return Refused(
            Answer(status, {"errors": [code]}, self._knobs.error_content_type, refusal=code)
        )

    def _method_not_allowed(self) -> Refused:
        code = "server.method_not_allowed"
        return Refused(Answer(405, {"errors": code}, self._knobs.error_content_type, refusal=code))


def _ruby_to_i(text: str) -> int:
    """Return what Ruby's String#to_i does: the leading integer, or 0."""
    found = _RUBY_INTEGER.match(text)
    return int(found[1]) if found else 0
