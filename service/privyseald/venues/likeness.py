"""Names that some server takes for one: what stands twice in another spelling is refused.

Go's and .NET's JSON readers take keys in any case, Java's fastjson leaves '_' and '-' out, PHP
and Spring read `side[]` and `!side` as `side`: which of two values counts would be a guess.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from functools import lru_cache
from urllib.parse import unquote

from privyseald.errors import BodyInvalid, FieldInvalid
from privyseald.strict_json import JsonValue

_INDEX = re.compile(r"\[[0-9]*\]")
_NO_LETTER = re.compile(r"[\W_]+")
_USUAL = 64
# What says which order is meant, and how large it is.
_OF_ONE_ORDER = frozenset({"market", "symbol", "side", "amount", "quantity", "price"})
_BUNDLES = frozenset({"orders", "batchorders", "suborderlist"})


def likeness(name: str) -> str:
    """Return what is left of a name where case, marks and look-alike letters do not count; the
    name itself where it is of marks alone.
    """
    return _known(name) if len(name) <= _USUAL else _likeness(name)


def _likeness(name: str) -> str:
    if "%" in name:
        name = unquote(name)
    folded = _INDEX.sub("", unicodedata.normalize("NFKC", name).casefold())
    return _NO_LETTER.sub("", folded) or name


_known = lru_cache(4_096)(_likeness)


def check_keys(value: JsonValue, field: str) -> None:
    """Raise BodyInvalid where two keys of one JSON object are alike, at any depth."""
    if isinstance(value, Mapping):
        alike = {likeness(name): name for name in value}
        if len(alike) != len(value):
            shown = next(name for name in value if alike[likeness(name)] != name)[:64]
            raise BodyInvalid(
                field, f"has a key that some servers take for {shown!r}; give each key once"
            )
        for each in value.values():
            check_keys(each, field)
    elif isinstance(value, list):
        for each in value:
            check_keys(each, field)


def check_bundle(names: Iterable[str], field: str) -> None:
    """Raise FieldInvalid where a list of orders stands beside what describes one order.

    A server looks at one of them, and a rule perhaps at the other.
    """
    alike = {likeness(name) for name in names}
    if not _BUNDLES.isdisjoint(alike) and not _OF_ONE_ORDER.isdisjoint(alike):
        raise FieldInvalid(
            field,
            "has a list of orders beside the market, side, size or price of a single one; give "
            "the list alone",
        )
