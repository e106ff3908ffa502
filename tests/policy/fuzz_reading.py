"""How venues' servers might read signed bytes, at their most lenient: the oracle of the fuzz test.

Nothing here is shared with the policy or with the venues' `normalise`. A parameter that stands
twice is read as the first, as the last and as both; names lose their case, blanks and brackets;
paths are decoded, folded and stripped until nothing changes, and every step on the way counts.
"""

import base64
import json
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from urllib.parse import unquote, unquote_plus

Readings = dict[str, set[object]]

_HOST = re.compile(r"https?://[^/?#]+")
_SUFFIX = re.compile(r"\.[^/]*$")
_NUMBER = re.compile(r"\s*([+-]?[0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)")


def path_of(url: str) -> str:
    """Return the path of an absolute URL, as it stands there."""
    return re.split(r"[?#]", _HOST.sub("", url, count=1), maxsplit=1)[0]


def query_of(url: str) -> str:
    """Return what stands behind the first '?' of a URL."""
    return url.partition("?")[2]


def paths(path: str) -> set[str]:
    """Return every path that some server may take this for."""
    found: set[str] = set()
    waiting = [path]
    while waiting:
        each = waiting.pop()
        if each in found:
            continue
        found.add(each)
        waiting += [
            unquote(each),
            each.lower(),
            unicodedata.normalize("NFKC", each),
            each.replace("\\", "/"),
            re.sub(r"/{2,}", "/", each),
            re.sub(r";[^/]*", "", each),
            re.sub(r"[?#\0].*", "", each, flags=re.DOTALL),
            _SUFFIX.sub("", each),
            each.rstrip("/. \t\r\n") or "/",
            re.sub(r"/\s*([^/]*?)\s*(?=/|$)", r"/\1", each),
            _without_dots(each),
        ]
    return found


def _without_dots(path: str) -> str:
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            kept = kept[:-1] or [""]
        elif segment != ".":
            kept.append(segment)
    return "/".join(kept)


def folded(name: str) -> str:
    """Return a parameter's name as the most careless server has it."""
    name = unicodedata.normalize("NFKC", name).casefold()
    return re.sub(r"\[.*|[\s\0_!.-]", "", name, flags=re.DOTALL)


def form_readings(*texts: str) -> Readings:
    """Return all values of each folded name in queries and forms, however they are parted."""
    found: Readings = defaultdict(set)
    for text in texts:
        for part in re.split("[&;]", text):
            name, _, value = part.partition("=")
            for decode in (unquote_plus, unquote):
                found[folded(decode(name))].add(decode(value))
                found[folded(decode(decode(name)))].add(decode(value))
    found.pop("", None)
    return found


def json_readings(body: bytes) -> list[object]:
    """Return a JSON text as servers of all kinds read it: one value for each way."""
    text = body.decode("utf-8", "replace").lstrip("\ufeff").strip()
    found: list[object] = []
    for fold in (False, True):
        for last in (True, False):
            try:
                found.append(_load(text, fold=fold, last=last))
            except (ValueError, RecursionError):
                continue
    return found


def _load(text: str, *, fold: bool, last: bool) -> object:
    def build(pairs: list[tuple[str, object]]) -> dict[str, object]:
        built: dict[str, object] = {}
        for name, value in pairs:
            key = folded(name) if fold else name
            if last or key not in built:
                built[key] = value
        return built

    decoder = json.JSONDecoder(strict=False, object_pairs_hook=build, parse_float=str)
    return decoder.raw_decode(text)[0]


def names(value: object) -> Readings:
    """Return all values of each folded name of a JSON object, or of the objects of a list."""
    found: Readings = defaultdict(set)
    for each in value if isinstance(value, list) else [value]:
        if isinstance(each, Mapping):
            for name, inner in each.items():
                is_plain = not isinstance(inner, (Mapping, list))
                found[folded(name)].add(inner if is_plain else json.dumps(inner))
    return found


def merged(readings: Iterable[Readings]) -> Readings:
    """Return several readings as one: all that might be meant."""
    found: Readings = defaultdict(set)
    for each in readings:
        for name, values in each.items():
            found[name] |= values
    return found


def number_of(value: object) -> Decimal | None:
    """Return what a careless server takes for a number: what stands before the first letter."""
    if isinstance(value, bool) or value is None:
        return None
    found = _NUMBER.match(unicodedata.normalize("NFKC", str(value)))
    try:
        return Decimal(found[1]) if found else None
    except InvalidOperation:
        return None


def payload_of(headers: Mapping[str, str]) -> bytes | None:
    """Return what WhiteBIT's header says is signed."""
    payload = headers.get("X-TXC-PAYLOAD")
    return None if payload is None else base64.b64decode(payload, validate=True)
