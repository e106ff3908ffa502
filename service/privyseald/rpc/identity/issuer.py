"""One issuer of tokens: what a token of it must say, and whom it then names."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation

from privyseald.caller import Caller
from privyseald.errors import CallerUnproved
from privyseald.rpc.identity.jws import Unverified
from privyseald.rpc.identity.key_set import KeySet
from privyseald.rpc.identity.key_source import KeySource
from privyseald.rpc.identity.name import is_name
from privyseald.strict_json import JsonValue, is_number

METHOD = "jwt"
_LONGEST_CLAIM = 256
# Seconds until the year 5138: beyond are no times, but mistakes.
_LATEST_S = Decimal(100_000_000_000)


@dataclass(frozen=True, slots=True)
class IssuerRule:
    """What is asked of an issuer's tokens. `alias` is what it is called in callers' names.

    `claims` are those that conditions may see: by name, where they stand.
    """

    alias: str
    issuer: str
    audience: str
    algorithms: frozenset[str]
    caller_claim: str = "sub"
    claims: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TokenTimes:
    """By how much clocks may differ, and how long a token may live at most."""

    leeway_ms: int
    max_lifetime_ms: int


class Issuer:
    """Verifies the tokens of one issuer."""

    def __init__(self, rule: IssuerRule, source: KeySource, times: TokenTimes) -> None:
        self.rule = rule
        self.source = source
        self._times = times

    def prove(self, token: Unverified, now_us: int) -> tuple[Caller, KeySet]:
        """Return whom the token names, and the keys under which that is so.

        What it says is looked at behind its signature, so that only its issuer's own tokens
        are told what is wrong with them. Raises CallerUnproved.
        """
        if token.algorithm not in self.rule.algorithms:
            raise CallerUnproved(
                "the token is signed in a way that this server does not take from its issuer"
            )
        key_set = self.source.current
        if key_set is None:
            raise CallerUnproved(
                "this server does not know the keys of the token's issuer yet; try again in a "
                "moment, and if that stays so, tell its operator"
            )
        key = key_set.keys.get(token.key_id)
        if key is None or token.algorithm not in key.algorithms:
            raise CallerUnproved(
                "the token is signed with a key that its issuer does not publish; get a fresh one"
            )
        token.verify(key)
        return self._caller(token.claims, now_us), key_set

    def _caller(self, claims: Mapping[str, JsonValue], now_us: int) -> Caller:
        audience = claims.get("aud")
        if self.rule.audience not in (audience if isinstance(audience, list) else [audience]):
            raise CallerUnproved(
                "the token is for another audience; get one that is for this server"
            )
        expire_us = self._expiry(claims, now_us)
        name = claims.get(self.rule.caller_claim)
        caller = f"jwt:{self.rule.alias}/{name}"
        if not isinstance(name, str) or is_number(name) or not name or not is_name(caller):
            raise CallerUnproved(
                f"the token's claim '{self.rule.caller_claim}' names no caller: it must be a text "
                "without blanks, of at most some 200 ASCII characters"
            )
        return Caller(caller, METHOD, self._chosen(claims), expire_us)

    def _expiry(self, claims: Mapping[str, JsonValue], now_us: int) -> int:
        """Return from when on the token is not taken any more. Raises CallerUnproved."""
        leeway_us = self._times.leeway_ms * 1_000
        expire_us, issued_us = _time_us(claims, "exp"), _time_us(claims, "iat")
        if now_us >= expire_us + leeway_us:
            raise CallerUnproved("the token has expired; get a fresh one")
        begin_us = max(issued_us, _time_us(claims, "nbf") if "nbf" in claims else issued_us)
        if begin_us > now_us + leeway_us:
            raise CallerUnproved(
                "the token is not valid yet; wait, or set the issuer's clock or this server's right"
            )
        if expire_us - issued_us > self._times.max_lifetime_ms * 1_000:
            raise CallerUnproved(
                "the token lives longer than this server takes; ask its issuer for one that lives "
                f"at most {self._times.max_lifetime_ms // 1_000} s"
            )
        return expire_us + leeway_us

    def _chosen(self, claims: Mapping[str, JsonValue]) -> dict[str, str]:
        chosen: dict[str, str] = {}
        for name, place in self.rule.claims.items():
            value = _at(claims, place)
            if not isinstance(value, str) or is_number(value):
                continue
            if len(value) > _LONGEST_CLAIM:
                raise CallerUnproved(
                    f"the token's claim '{name}' is longer than {_LONGEST_CLAIM} characters"
                )
            chosen[name] = str(value)
        return chosen


def _time_us(claims: Mapping[str, JsonValue], name: str) -> int:
    """Return a NumericDate (RFC 7519 section 2), in microseconds. Raises CallerUnproved."""
    value = claims.get(name)
    try:
        seconds = Decimal(value) if isinstance(value, str) and is_number(value) else None
    except InvalidOperation:
        # An exponent beyond what Python counts.
        seconds = None
    if seconds is None or not 0 <= seconds <= _LATEST_S:
        raise CallerUnproved(
            f"the token lacks the time '{name}' in seconds; have its issuer add that"
        )
    return int(seconds * 1_000_000)


def _at(claims: Mapping[str, JsonValue], place: str) -> JsonValue:
    """Return the claim at a JSON pointer (RFC 6901) or of a name; None where there is none."""
    if not place.startswith("/"):
        return claims.get(place)
    value: JsonValue = dict(claims)
    for step in place[1:].split("/"):
        if not isinstance(value, dict):
            return None
        value = value.get(step.replace("~1", "/").replace("~0", "~"))
    return value
