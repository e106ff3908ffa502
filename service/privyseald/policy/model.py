"""The policy file's form, as it is read and as its JSON Schema tells it."""

import re
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from privyseald.policy.rule import Per

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
Pattern = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[\x21-\x7e]+$")]
Selector = Annotated[str, Field(min_length=1, max_length=256)]
Window = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,5}(ms|s|m|h|d)$", examples=["1s", "24h"])]
Notional = Annotated[
    str,
    Field(
        pattern=r"^[0-9]{1,12}(\.[0-9]{1,8})? [A-Z0-9]{2,10}$",
        description="An amount and its currency.",
        examples=["250000 USDT"],
    ),
]

_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_LONGEST_MS = 31 * 86_400_000


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LimitModel(_Model):
    """At most so many requests, or so much in worth, in any window of time."""

    rate: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    notional: Notional | None = None
    window: Window
    per: list[Per] = Field(default_factory=list, max_length=2)

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.rate is None) == (self.notional is None):
            raise ValueError("a limit has one of 'rate' and 'notional'")
        if not 1 <= self.window_ms <= _LONGEST_MS:
            raise ValueError("a window is at most 31 days long")
        return self

    @property
    def window_ms(self) -> int:
        """The window in milliseconds."""
        number, unit = re.fullmatch(r"([0-9]+)([a-z]+)", self.window).groups()  # type: ignore[union-attr]  # the pattern holds
        return int(number) * _UNITS_MS[unit]


class RuleModel(_Model):
    """Who may do what with which keys, or who may not."""

    name: Name
    callers: list[Pattern] = Field(min_length=1)
    keys: list[Pattern] = Field(min_length=1)
    venues: list[Name] = Field(default_factory=list)
    allow: list[Selector] = Field(default_factory=list)
    deny: list[Selector] = Field(default_factory=list)
    when: Annotated[str, Field(min_length=1)] | None = None
    accept_bearer: bool = False
    mode: Literal["enforce", "shadow"] = "enforce"
    limits: list[LimitModel] = Field(default_factory=list, max_length=8)

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if bool(self.allow) == bool(self.deny):
            raise ValueError("a rule has one of 'allow' and 'deny', and names something in it")
        if self.deny and self.limits:
            raise ValueError("a rule that denies has no limits")
        if self.deny and self.accept_bearer:
            raise ValueError("accept_bearer is for rules that allow")
        return self


class FileModel(_Model):
    """The whole file."""

    version: Literal[1]
    rules: list[RuleModel] = Field(min_length=1)
