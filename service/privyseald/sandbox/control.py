"""The control server: accounts, knobs, faults, clock and ledger of a sandbox over HTTP.

GET /               the venues' base URLs
GET /requests       what the venues saw; ?venue= and ?accepted=true|false narrow it
DELETE /requests    forget it
GET|POST|DELETE /faults   list; add one (a `Fault`); end all
GET|POST /knobs     read; turn some of a venue's: {"venue": "kiiex", "camel_case": true}
POST /accounts      add or replace: {"kind": "whitebit", "api_key": ..., "api_secret": ...}
POST /unlock        {"user_id": "96"}: KIIEX's administrator unlocks a user
GET|POST /clock     read; {"offset_ms": n} sets, {"advance_ms": n} adds

An unknown field, or one of the wrong type, is refused with 400 and its name.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import TypeVar

from aiohttp import web
from pydantic import TypeAdapter, ValidationError

from privyseald.sandbox.accounts import (
    Account,
    Accounts,
    AsterAccount,
    AsterKey,
    KiiexUser,
    NebulaexKey,
    WhitebitKey,
)
from privyseald.sandbox.faults import Fault, Faults
from privyseald.sandbox.json_text import Json, parse
from privyseald.sandbox.knobs import Knobs
from privyseald.sandbox.ledger import Ledger
from privyseald.sandbox.shifted_clock import ShiftedClock

_T = TypeVar("_T")

_ACCOUNTS: Mapping[str, type[Account]] = {
    "nebulaex": NebulaexKey,
    "kiiex": KiiexUser,
    "whitebit": WhitebitKey,
    "aster": AsterAccount,
    "aster-key": AsterKey,
}


class _Wrong(Exception):
    """The caller's message is wrong, and this says how."""


@dataclass(frozen=True, slots=True)
class _User:
    user_id: str


@dataclass(frozen=True, slots=True)
class _ClockChange:
    offset_ms: int | None = None
    advance_ms: int = 0


class Control:
    """The control server. Call it with each request."""

    def __init__(
        self,
        *,
        accounts: Accounts,
        knobs: Knobs,
        faults: Faults,
        ledger: Ledger,
        clock: ShiftedClock,
        urls: Mapping[str, str],
        unlock: Callable[[str], bool],
    ) -> None:
        self._accounts = accounts
        self._knobs = knobs
        self._faults = faults
        self._ledger = ledger
        self._clock = clock
        self._urls = urls
        self._unlock = unlock
        self._doors: Mapping[tuple[str, str], Callable[[dict[str, Json]], Json]] = {
            ("GET", "/"): lambda _: dict(self._urls),
            ("GET", "/requests"): self._list_requests,
            ("DELETE", "/requests"): self._clear_requests,
            ("GET", "/faults"): self._list_faults,
            ("POST", "/faults"): self._add_fault,
            ("DELETE", "/faults"): self._clear_faults,
            ("GET", "/knobs"): lambda _: asdict(self._knobs),
            ("POST", "/knobs"): self._turn_knobs,
            ("POST", "/accounts"): self._add_account,
            ("POST", "/unlock"): self._unlock_user,
            ("GET", "/clock"): self._read_clock,
            ("POST", "/clock"): self._set_clock,
        }

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request."""
        door = self._doors.get((request.method, request.path))
        if door is None:
            methods = {method for method, path in self._doors if path == request.path}
            status = 405 if methods else 404
            return web.json_response({"error": "no such operation"}, status=status)
        try:
            asked: dict[str, Json] = dict(request.query)
            if request.method == "POST":
                asked = _object(await request.read())
            value = door(asked)
        except _Wrong as wrong:
            return web.json_response({"error": str(wrong)}, status=400)
        return web.json_response(value)

    def _list_requests(self, asked: dict[str, Json]) -> Json:
        wanted = {"true": True, "false": False, None: None}
        unknown = asked.keys() - {"venue", "accepted"}
        if unknown:
            raise _Wrong(f"{min(unknown)}: unknown parameter")
        accepted = asked.get("accepted")
        if accepted not in wanted:
            raise _Wrong("accepted: must be true or false")
        seen = self._ledger.list(str(asked.get("venue", "")), accepted=wanted[accepted])
        return [asdict(one) for one in seen]

    def _clear_requests(self, _: dict[str, Json]) -> Json:
        self._ledger.clear()
        return []

    def _list_faults(self, _: dict[str, Json]) -> Json:
        return [asdict(fault) for fault in self._faults.list()]

    def _add_fault(self, asked: dict[str, Json]) -> Json:
        self._faults.add(_read(Fault, asked))
        return self._list_faults({})

    def _clear_faults(self, _: dict[str, Json]) -> Json:
        self._faults.clear()
        return []

    def _turn_knobs(self, asked: dict[str, Json]) -> Json:
        venue = asked.pop("venue", None)
        known = {field.name: getattr(self._knobs, field.name) for field in fields(Knobs)}
        if venue not in known:
            raise _Wrong(f"venue: must be one of {', '.join(known)}")
        knobs = known[venue]
        turned = _read(type(knobs), {**asdict(knobs), **asked})
        for name in asked:
            setattr(knobs, name, getattr(turned, name))
        return asdict(self._knobs)

    def _add_account(self, asked: dict[str, Json]) -> Json:
        kind = asked.pop("kind", None)
        if not isinstance(kind, str) or kind not in _ACCOUNTS:
            raise _Wrong(f"kind: must be one of {', '.join(_ACCOUNTS)}")
        self._accounts.add(_read(_ACCOUNTS[kind], asked))
        return {"kind": kind}

    def _unlock_user(self, asked: dict[str, Json]) -> Json:
        user_id = _read(_User, asked).user_id
        if not self._unlock(user_id):
            raise _Wrong("user_id: no such user")
        return {"user_id": user_id}

    def _read_clock(self, _: dict[str, Json]) -> Json:
        return {
            "time_ms": self._clock.time_us() // 1_000,
            "offset_ms": self._clock.offset_ms,
        }

    def _set_clock(self, asked: dict[str, Json]) -> Json:
        change = _read(_ClockChange, asked)
        if change.offset_ms is not None:
            self._clock.offset_ms = change.offset_ms
        self._clock.offset_ms += change.advance_ms
        return self._read_clock({})


def _object(body: bytes) -> dict[str, Json]:
    try:
        value = parse(body)
    except ValueError:
        raise _Wrong("the body is not JSON") from None
    if not isinstance(value, Mapping):
        raise _Wrong("the body must be a JSON object")
    return dict(value)


def _read(kind: type[_T], asked: Mapping[str, Json]) -> _T:
    """Return a value of a dataclass from its fields. Raises _Wrong with the field's name."""
    names = {field.name for field in fields(kind)}  # type: ignore[arg-type]  # a dataclass
    unknown = asked.keys() - names
    if unknown:
        raise _Wrong(f"{min(unknown)}: unknown field; known are {', '.join(sorted(names))}")
    try:
        return TypeAdapter(kind).validate_json(json.dumps(asked), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        path = ".".join(str(part) for part in first["loc"])
        raise _Wrong(f"{path}: {first['msg']}" if path else first["msg"]) from None
