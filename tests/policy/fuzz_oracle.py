"""Decides of signed bytes whether they could be read as something that policy forbids."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from policy.fuzz_policies import BEARERS, LARGEST, MARKETS, POLICIES, Meaning, forbidden
from policy.fuzz_reading import (
    Readings,
    folded,
    form_readings,
    json_readings,
    merged,
    names,
    number_of,
    path_of,
    paths,
    payload_of,
    query_of,
)
from privyseald.venues.http_request import METHODS
from privyseald.venues.registry import Venues
from privyseald.venues.venue import Operation, SignedHttpRequest

# What must be among the parameters for a request to be this one, wherever it is sent: Aster's
# signature does not bind the path. From asterdex/api-docs, not from the tables under test.
_ASTER: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("transfer", ("transfer",), ("asset", "amount", "kindType")),
    ("send", ("transfer",), ("asset", "amount", "toAddress")),
    ("withdraw", ("withdrawal",), ("chainId", "asset", "amount", "receiver", "userSignature")),
    ("create api key", ("key-management",), ("desc", "network", "signature", "sourceAddr")),
    ("order", ("trade",), ("symbol", "side", "type")),
    ("batch of orders", ("trade",), ("batchOrders",)),
)
_ITEMS = frozenset({"orders", "batchorders", "suborderlist"})
# By which names an order says where and how much.
_MARKET = {"whitebit": "market", "nebulaex": "market", "kiiex": "instrumentid"}
_SIZE = {"whitebit": "amount", "nebulaex": "volume", "kiiex": "quantity"}


@dataclass(frozen=True, slots=True)
class _Listed:
    method: str
    path: re.Pattern[str]
    tags: tuple[str, ...]
    name: str


def _listed(operation: Operation) -> _Listed:
    parts = re.split(r"(\{[^}]*\})", operation.path.lower().rstrip("/"))
    expression = "".join("[^/]+" if part.startswith("{") else re.escape(part) for part in parts)
    return _Listed(operation.method, re.compile(expression), operation.tags, operation.name)


_TABLES: Mapping[str, tuple[_Listed, ...]] = {
    venue.name: tuple(_listed(each) for each in venue.operations) for venue in Venues()
}


def objection(venue: str, policy: str, signed: SignedHttpRequest) -> str:
    """Return how the bytes could be read as what the policy does not allow; empty if in no way."""
    meaning = POLICIES[policy].meaning
    if venue in BEARERS and not meaning.bearers:
        return "a signature that binds no request was given without accept_bearer"
    judge = _ASTERS if venue.startswith("aster") else _BY_PATH
    return judge(venue, meaning, signed)


def _by_path(venue: str, meaning: Meaning, signed: SignedHttpRequest) -> str:
    path = path_of(signed.url)
    bodies = json_readings(signed.body) or [None]
    if venue == "whitebit":
        wrong = _whitebit_says_otherwise(path, signed, bodies)
        if wrong:
            return wrong
    readings = merged(
        [form_readings(query_of(signed.url)), *(names(body) for body in bodies)]
        + ([form_readings(signed.body.decode("latin-1"))] if _is_form(signed) else [])
    )
    found = list(_operations(venue, signed.method, path))
    if not found and not meaning.unlisted:
        return f"no table knows {signed.method} {path}, and unlisted requests are not allowed"
    # What no table knows may pass where a rule says so; not in another method's disguise.
    for each in found or [each for method in METHODS for each in _operations(venue, method, path)]:
        if forbidden(meaning, each.tags):
            return f"it could be read as '{each.name}' {each.tags}"
        if "trade" in each.tags and "cancel" not in each.tags:
            wrong = _out_of_bounds(venue, meaning, readings)
            if wrong:
                return f"as '{each.name}': {wrong}"
    return ""


def _whitebit_says_otherwise(path: str, signed: SignedHttpRequest, bodies: list[object]) -> str:
    if payload_of(dict(signed.headers)) != signed.body:
        return "the payload is not the body"
    for body in bodies:
        if not isinstance(body, Mapping):
            return "the body is no object"
        said = [value for name, value in body.items() if folded(name) == "request"]
        if said != [path]:
            return f"the body names {said}, and the URL {path}"
    return ""


def _operations(venue: str, method: str, path: str) -> "list[_Listed]":
    readings = paths(path)
    return [
        each
        for each in _TABLES[venue]
        if each.method == method and any(each.path.fullmatch(one) for one in readings)
    ]


def _aster(venue: str, meaning: Meaning, signed: SignedHttpRequest) -> str:
    # Whatever is not signed does not matter: without a signature the venue refuses it.
    readings = form_readings(query_of(signed.url), signed.body.decode("latin-1"))
    if "signature" not in readings:
        return ""
    named = _operations(venue, signed.method, path_of(signed.url))
    if not named and not meaning.unlisted:
        return "no table knows the request, and unlisted requests are not allowed"
    for each in named:
        if forbidden(meaning, each.tags):
            return f"it could be read as '{each.name}' {each.tags}"
    is_order = any("trade" in each.tags and "cancel" not in each.tags for each in named)
    present = readings.keys() - ({"signature"} if len(readings["signature"]) == 1 else set())
    for name, tags, required in _ASTER:
        if not {folded(each) for each in required} <= present:
            continue
        if forbidden(meaning, tags):
            return f"its parameters are those of '{name}' {tags}, wherever it is sent"
        is_order |= "trade" in tags
    wrong = _out_of_bounds(venue, meaning, readings) if is_order else ""
    return f"as an order: {wrong}" if wrong else ""


def _out_of_bounds(venue: str, meaning: Meaning, readings: Readings) -> str:
    """Return how an order leaves the market or the size that the policy allows."""
    if not meaning.bounded:
        return ""
    readings = merged([readings, *(_inner(readings[name]) for name in _ITEMS & readings.keys())])
    markets = {str(each) for each in readings.get(_MARKET.get(venue, "symbol"), ())}
    if markets != {MARKETS[venue]}:
        return f"the market could be any of {markets or 'all'}"
    sizes = [number_of(each) for each in readings.get(_SIZE.get(venue, "quantity"), ())]
    if not sizes or any(each is None or each > Decimal(LARGEST) for each in sizes):
        return f"the size could be any of {sizes or 'all'}"
    return ""


def _inner(values: set[object]) -> Readings:
    """Return what the JSON inside a parameter holds."""
    found: list[Readings] = []
    for value in values:
        try:
            found.append(names(json.loads(str(value))))
        except ValueError:
            continue
    return merged(found)


def _is_form(signed: SignedHttpRequest) -> bool:
    return any("form" in value for name, value in signed.headers if name == "Content-Type")


_Judge = Callable[[str, Meaning, SignedHttpRequest], str]
_ASTERS: _Judge = _aster
_BY_PATH: _Judge = _by_path
