"""The policy file's form, as it is read and as its JSON Schema tells it."""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from privyseald.policy.action import Action
from privyseald.policy.rule import Per
from privyseald.policy.selectors import PACKS, UNLISTED
from privyseald.venues.http_request import METHODS

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
Pattern = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[\x21-\x7e]+$")]
_KEY_PATTERN = r"[a-z0-9*][a-z0-9._*-]*"


def _matches_key_ids(pattern: str) -> str:
    if not re.fullmatch(_KEY_PATTERN, pattern):
        raise ValueError(
            "no key's id can match: ids are of a-z, 0-9, '-', '_' and '.', and stand here without "
            "'keys/'"
        )
    return pattern


KeyPattern = Annotated[
    str,
    Field(min_length=1, max_length=256, json_schema_extra={"pattern": f"^{_KEY_PATTERN}$"}),
    AfterValidator(_matches_key_ids),
]
Selector = Annotated[
    str,
    Field(
        min_length=1,
        max_length=256,
        # What editors offer. What a selector means is decided by `parse_selectors`.
        json_schema_extra={
            "anyOf": [
                {"enum": [*(each.value for each in Action), UNLISTED, *PACKS]},
                {"pattern": "^(tag|op):."},
                {"pattern": rf"^(\*|{'|'.join(sorted(METHODS))}) /"},
            ]
        },
    ),
]
Window = Annotated[
    str,
    Field(
        pattern=r"^[1-9][0-9]{0,5}(ms|s|m|h|d)$",
        description="How long what was taken counts; at most 31 days.",
        examples=["1s", "24h"],
    ),
]
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

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["rate"]}, {"required": ["notional"]}]}
    )

    rate: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] | None = Field(
        None, description="How many requests."
    )
    notional: Notional | None = None
    window: Window
    per: list[Per] = Field(
        default_factory=list,
        max_length=2,
        description="Whether each caller and each key has a limit of its own.",
    )

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

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"required": ["allow"], "properties": {"allow": {"minItems": 1}}},
                {"required": ["deny"], "properties": {"deny": {"minItems": 1}}},
            ]
        }
    )

    name: Name = Field(description="Names the rule in errors and in the audit log; unique.")
    callers: list[Pattern] = Field(
        min_length=1, description="Whom it speaks of; '*' stands for any characters."
    )
    keys: list[KeyPattern] = Field(
        min_length=1, description="Ids of the keys it speaks of; '*' stands for any characters."
    )
    venues: list[Name] = Field(
        default_factory=list, description="Of which venues these keys are; any, if left out."
    )
    allow: list[Selector] = Field(default_factory=list, description="What it allows.")
    deny: list[Selector] = Field(
        default_factory=list, description="What it denies, whatever other rules allow."
    )
    when: Annotated[str, Field(min_length=1)] | None = Field(
        None,
        description="A condition in CEL. Where it can't be decided, the rule does not allow, and "
        "does deny.",
    )
    accept_bearer: bool = Field(
        default=False,
        strict=True,
        description="That signatures of nebulaex and kiiex, which cover no request, may be given "
        "out by this rule.",
    )
    mode: Literal["enforce", "shadow"] = Field(
        "enforce", description="In shadow, the rule decides nothing, and is told in the audit log."
    )
    limits: list[LimitModel] = Field(
        default_factory=list, max_length=8, description="How much of what it allows."
    )

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

    version: Literal[1] = Field(description="The version of this form.")
    rules: list[RuleModel] = Field(
        min_length=1, description="What no rule allows is denied; deny beats allow."
    )
