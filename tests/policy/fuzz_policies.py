"""The policies that generated requests meet, each beside what it means in plain Python.

The meaning is written twice on purpose: the oracle must not learn it from the code under test.
"""

from collections.abc import Mapping
from dataclasses import dataclass

MARKETS = {
    "whitebit": "BTC_USDT",
    "aster": "BTCUSDT",
    "aster-v3": "BTCUSDT",
    "nebulaex": "btcusdt",
    "kiiex": "1",
}
LARGEST = "2"
BEARERS = ("nebulaex", "kiiex")
CALLER = "spiffe://desk.example/trader"

_DENY = """
  - name: nobody-moves-funds
    callers: ["*"]
    keys: ["*"]
    deny: ["@withdrawals", "@transfers", "@key-management"]
"""
_WHO = f'callers: ["{CALLER}"], keys: ["*"]'
_CONDITIONS = {
    "whitebit": 'request.body.market == "BTC_USDT" && cmp(request.body.amount, "2") <= 0',
    "query": 'request.query.symbol == "BTCUSDT" && cmp(request.query.quantity, "2") <= 0',
    "form": 'request.body.symbol == "BTCUSDT" && cmp(request.body.quantity, "2") <= 0',
    "nebulaex": 'request.body.market == "btcusdt" && cmp(request.body.volume, "2") <= 0',
    "kiiex": "request.body.InstrumentId == 1 && cmp(request.body.Quantity, '2') <= 0",
}
_ORDERS = {
    "whitebit": '"POST /api/v4/order/new", op:order/market, op:order/stop_limit, op:order/bulk',
    "query": "tag:trade",
    "form": "tag:trade",
    "nebulaex": "op:order/new",
    "kiiex": "op:SendOrder",
}
_VENUES = {"query": "aster, aster-v3", "form": "aster, aster-v3"}


def _bounded(accept_bearer: str) -> str:
    rules = ""
    for name, condition in _CONDITIONS.items():
        quoted = condition.replace("'", "''")
        bearer = accept_bearer if name in BEARERS else ""
        if name in BEARERS and not bearer:
            continue
        rules += (
            f"  - {{name: bounded-{name}, {_WHO}, venues: [{_VENUES.get(name, name)}], "
            f"allow: [{_ORDERS[name]}], when: '{quoted}'{bearer}}}\n"
        )
    return rules


_BEARER = ", accept_bearer: true"
_HARMLESS = 'request.tags.all(tag, !(tag in ["withdrawal", "transfer", "key-management"]))'
# What is only tried out must change nothing.
_SHADOW = (
    f"  - {{name: shadow, {_WHO}, mode: shadow, allow: [sign, sign-unlisted, '* /**', "
    f"'@withdrawals', '@transfers']{_BEARER}}}\n"
)
_READS = f"  - {{name: reads, {_WHO}, allow: [tag:read, tag:cancel]{_BEARER}}}\n"


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a policy allows: operations by tag, and for trades a market and a size.

    `anything_else` is for a policy that allows all that it does not deny by pack.
    """

    tags: frozenset[str]
    bounded: bool = False
    unlisted: bool = False
    bearers: bool = True
    anything_else: bool = False


@dataclass(frozen=True, slots=True)
class Tried:
    """A policy file and its meaning."""

    text: str
    meaning: Meaning


def _file(*rules: str) -> str:
    return "version: 1\nrules:\n" + "".join(rules)


_FORBIDDEN = frozenset({"withdrawal", "transfer", "key-management"})

POLICIES: Mapping[str, Tried] = {
    # What a careful desk writes.
    "bounded": Tried(
        _file(_DENY, _READS, _bounded(_BEARER), _SHADOW),
        Meaning(frozenset({"trade", "cancel", "read"}), bounded=True),
    ),
    # No deny rule at all, and nobody accepted that a signature binds nothing.
    "implicit": Tried(
        _file(_bounded(""), f"  - {{name: reads, {_WHO}, allow: [tag:read, tag:cancel]}}\n"),
        Meaning(frozenset({"trade", "cancel", "read"}), bounded=True, bearers=False),
    ),
    # The widest allow rule that can be written; the deny packs alone stand in the way.
    "wide": Tried(
        _file(
            f"  - {{name: wide, {_WHO}, allow: [sign, sign-unlisted, '* /**', tag:trade, "
            f"tag:read, '@withdrawals', '@transfers', '@key-management']{_BEARER}}}\n",
            _DENY,
        ),
        Meaning(frozenset(), unlisted=True, anything_else=True),
    ),
    # `sign` with a rule that denies by condition: what it can't decide must not pass.
    "denying": Tried(
        _file(
            f"  - {{name: all, {_WHO}, allow: [sign]{_BEARER}}}\n",
            *(
                f"  - {{name: only-{name}, {_WHO}, venues: [{_VENUES.get(name, name)}], "
                f"deny: [tag:trade], when: '!({condition.replace(chr(39), chr(39) * 2)})'}}\n"
                for name, condition in _CONDITIONS.items()
                if name != "form"
            ),
        ),
        Meaning(frozenset({"trade", "cancel", "read", "deposit", "session"}), bounded=True),
    ),
    # What a condition says of the operation holds for all that the signature could be used for.
    "named": Tried(
        _file(
            f"  - {{name: named, {_WHO}, allow: [sign, '@withdrawals', '@transfers', "
            f"'@key-management'], when: '{_HARMLESS}'{_BEARER}}}\n"
        ),
        Meaning(frozenset({"trade", "cancel", "read", "deposit", "session"})),
    ),
    # Somebody who may get out of positions, and not into them.
    "cancels": Tried(
        _file(f"  - {{name: cancels, {_WHO}, allow: [tag:cancel, tag:read]{_BEARER}}}\n"),
        Meaning(frozenset({"cancel", "read"})),
    ),
}


def of_callers() -> str:
    """Return one policy file with all of these, each for a caller of its own: see `caller_of`."""
    rules = ""
    for name, tried in POLICIES.items():
        text = tried.text.removeprefix("version: 1\nrules:\n").replace("name: ", f"name: {name}-")
        text = text.replace(f'callers: ["{CALLER}"]', 'callers: ["*"]')
        rules += text.replace('callers: ["*"]', f'callers: ["{caller_of(name)}"]')
    return rules


def caller_of(policy: str) -> str:
    """Return the caller to whom a policy is put, where all are in one file."""
    return f"{CALLER}/{policy}"


def forbidden(meaning: Meaning, tags: tuple[str, ...]) -> bool:
    """Whether an operation of these tags is not for the caller, whatever its parameters."""
    if not _FORBIDDEN.isdisjoint(tags):
        return True
    if meaning.anything_else:
        return False
    return meaning.tags.isdisjoint(tags)
