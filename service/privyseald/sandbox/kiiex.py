"""KIIEX: an AlphaPoint exchange with sessions.

Bodies are those of alphapoint/slate, of hummingbot's NDAX fixtures and of KIIEX's own guide.
Inferred: that headers beat a JSON body when both are sent; that an `aptoken` beats the
stateless headers; what a locked user is told; that only failed logins count towards the
lock, and a good one starts the count again; 104 for an unknown endpoint.
"""

import hmac
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from privyseald.sandbox.accounts import Accounts, KiiexUser
from privyseald.sandbox.json_text import Json
from privyseald.sandbox.knobs import KiiexKnobs
from privyseald.sandbox.message import Answer, Incoming, Refused

_FIELDS = ("APIKey", "Signature", "UserId", "Nonce")
_DONE: dict[str, Json] = {"result": True, "errormsg": None, "errorcode": 0, "detail": None}


@dataclass(slots=True)
class _Session:
    user_id: str
    remote: str
    last_ms: int


@dataclass(slots=True)
class _Failures:
    count: int = 0
    last_ms: int = 0


class Kiiex:
    """The venue, with its sessions, logins that wait for a second factor, and failures."""

    def __init__(self, accounts: Accounts, knobs: KiiexKnobs) -> None:
        self._accounts = accounts
        self._knobs = knobs
        self._sessions: dict[str, _Session] = {}
        self._pending: dict[str, str] = {}
        self._failures: dict[str, _Failures] = {}
        self._orders = 0

    def answer(self, request: Incoming, now_us: int) -> Answer:
        """Return the venue's answer. Raises Refused."""
        root, _, endpoint = request.path.removeprefix("/").partition("/")
        now_ms = now_us // 1_000
        if root.lower() != "ap":
            raise _refusal(404, 104, "Resource Not Found")
        if endpoint == "AuthenticateUser" and request.method == "POST":
            return self._authenticate(request, now_ms)
        if endpoint == "Authenticate2FA":
            return self._authenticate_2fa(request, now_ms)
        user = self._user(request, now_ms)
        if endpoint == "LogOut":
            self._sessions.pop(request.header("aptoken"), None)
        return Answer(
            200,
            self._result(endpoint, user),
            account=user.api_key,
            nonce=request.header("nonce"),
            parameters={name: str(value) for name, value in request.fields().items()},
        )

    def unlock(self, user_id: str) -> bool:
        """Do what the venue's administrator does for a locked user; False if unknown."""
        user = self._accounts.kiiex.get(user_id)
        if user is None:
            return False
        user.locked = False
        self._failures.pop(user_id, None)
        return True

    def _authenticate(self, request: Incoming, now_ms: int) -> Answer:
        given = self._credentials(request)
        user = self._accounts.kiiex.get(given["UserId"])
        if user is not None and (user.locked or request.locked):
            raise _login_refusal("User is locked", locked=True)
        if user is None or not _is_signed(given, user):
            if user is not None:
                self._count_failure(user, now_ms)
            raise _login_refusal("Invalid username or password", locked=False)
        self._failures.pop(user.user_id, None)
        if user.code_2fa:
            pending = str(uuid.uuid4())
            self._pending[pending] = user.user_id
            body: dict[str, Json] = {
                "Authenticated": True,
                "Requires2FA": True,
                "AuthType": "Google",
                "AddtlInfo": "",
                "Pending2FaToken": pending,
            }
        else:
            body = _logged_in(user, self._open_session(user, request, now_ms))
        return Answer(200, self._cased(body), account=user.api_key, nonce=given["Nonce"])

    def _credentials(self, request: Incoming) -> Mapping[str, str]:
        by_header = {name: request.header(name) for name in _FIELDS}
        if self._knobs.by_headers and any(by_header.values()):
            return by_header
        fields = request.fields() if self._knobs.by_body else {}
        values = {name: fields.get(name) for name in _FIELDS}
        return {name: value if isinstance(value, str) else "" for name, value in values.items()}

    def _count_failure(self, user: KiiexUser, now_ms: int) -> None:
        failures = self._failures.setdefault(user.user_id, _Failures())
        rapid = now_ms - failures.last_ms <= self._knobs.rapid_ms
        failures.count = failures.count + 1 if rapid else 1
        failures.last_ms = now_ms
        if failures.count >= self._knobs.lock_after:
            user.locked = True

    def _authenticate_2fa(self, request: Incoming, now_ms: int) -> Answer:
        user_id = self._pending.get(request.header("pending2fatoken"), "")
        user = self._accounts.kiiex.get(user_id)
        if user is None or request.header("code") != user.code_2fa:
            raise _login_refusal("Invalid username or password", locked=False)
        del self._pending[request.header("pending2fatoken")]
        body: dict[str, Json] = {
            "Authenticated": True,
            "UserId": int(user.user_id),
            "SessionToken": self._open_session(user, request, now_ms),
        }
        return Answer(200, self._cased(body), account=user.api_key)

    def _open_session(self, user: KiiexUser, request: Incoming, now_ms: int) -> str:
        token = str(uuid.uuid4())
        self._sessions[token] = _Session(user.user_id, request.remote, now_ms)
        return token

    def _user(self, request: Incoming, now_ms: int) -> KiiexUser:
        token = request.header("aptoken")
        user = (
            self._user_of_session(token, request.remote, now_ms)
            if token
            else self._user_of_headers(request)
        )
        if user is None or user.locked or request.locked:
            raise _refusal(200, 20, "Not Authorized")
        return user

    def _user_of_session(self, token: str, remote: str, now_ms: int) -> KiiexUser | None:
        session = self._sessions.get(token)
        if session is None or (self._knobs.bind_ip and session.remote != remote):
            return None
        if now_ms - session.last_ms >= self._knobs.session_idle_ms:
            del self._sessions[token]
            return None
        session.last_ms = now_ms
        return self._accounts.kiiex.get(session.user_id)

    def _user_of_headers(self, request: Incoming) -> KiiexUser | None:
        given = {name: request.header(name) for name in _FIELDS}
        user = self._accounts.kiiex.get(given["UserId"])
        return user if user is not None and _is_signed(given, user) else None

    def _result(self, endpoint: str, user: KiiexUser) -> Json:
        if endpoint == "SendOrder":
            self._orders += 1
        order_id = self._orders
        answers: Mapping[str, Json] = {
            "GetAccountPositions": [
                {"OMSId": 1, "AccountId": user.account_id, "ProductSymbol": "BTC", "Amount": 1}
            ],
            "GetOpenOrders": [],
            "GetOrderStatus": {"OrderId": order_id, "OrderState": "Working"},
            "GetUserInfo": {"UserId": int(user.user_id), "UserName": user.user_name},
            "SendOrder": {"status": "Accepted", "errormsg": "", "OrderId": order_id},
            "CancelOrder": _DONE,
            "CancelAllOrders": _DONE,
            "CreateDepositTicket": {**_DONE, "TicketNumber": 1},
            "CreateWithdrawTicket": {**_DONE, "TicketNumber": 1},
            "LogOut": _DONE,
        }
        if endpoint not in answers:
            raise _refusal(404, 104, "Resource Not Found")
        return answers[endpoint]

    def _cased(self, body: Mapping[str, Json]) -> dict[str, Json]:
        if not self._knobs.camel_case:
            return dict(body)
        return {
            _camel(name): self._cased(value) if isinstance(value, Mapping) else value
            for name, value in body.items()
        }


def _is_signed(given: Mapping[str, str], user: KiiexUser) -> bool:
    text = given["Nonce"] + given["UserId"] + given["APIKey"]
    expected = hmac.new(user.api_secret.encode(), text.encode(), "sha256").hexdigest()
    return (
        all(given.values())
        and given["APIKey"] == user.api_key
        and hmac.compare_digest(expected.encode(), given["Signature"].encode())
    )


def _logged_in(user: KiiexUser, token: str) -> dict[str, Json]:
    return {
        "Authenticated": True,
        "SessionToken": token,
        "User": {
            "UserId": int(user.user_id),
            "UserName": user.user_name,
            "Email": f"{user.user_name}@sandbox.invalid",
            "EmailVerified": True,
            "AccountId": user.account_id,
            "OMSId": 1,
            "Use2FA": bool(user.code_2fa),
        },
        "Locked": False,
        "Requires2FA": False,
        "EnforceEnable2FA": False,
        "TwoFAType": None,
        "TwoFAToken": None,
        "errormsg": None,
    }


def _camel(name: str) -> str:
    return "omsId" if name == "OMSId" else name[0].lower() + name[1:]


def _login_refusal(text: str, *, locked: bool) -> Refused:
    """Return the refusal of a login: HTTP 200, and the body says no."""
    body: dict[str, Json] = {"authenticated": False, "locked": locked, "errormsg": text}
    return Refused(Answer(200, body, refusal=text))


def _refusal(status: int, code: int, text: str) -> Refused:
    body: dict[str, Json] = {"result": False, "errormsg": text, "errorcode": code, "detail": None}
    return Refused(Answer(status, body, refusal=text))
