"""The policy file: YAML, read strictly, refused whole when any part of it is wrong."""

from collections import Counter
from io import StringIO
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from privyseald.config_error import ConfigInvalid
from privyseald.policy.action import Action
from privyseald.policy.policy import Policy, Rule

_Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
_Pattern = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[\x21-\x7e]+$")]


class _RuleModel(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: _Name
    callers: list[_Pattern] = Field(min_length=1)
    keys: list[_Pattern] = Field(min_length=1)
    allow: list[Action] = Field(min_length=1)


class _FileModel(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int = Field(ge=1, le=1)
    rules: list[_RuleModel] = Field(min_length=1)


def load_policy(path: Path) -> Policy:
    """Return the policy of a file. Raises ConfigInvalid naming file, place and remedy."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigInvalid(
            f"policy.file: {path} can't be read; give a YAML file that this user may read"
        ) from error
    return parse_policy(text, str(path))


def parse_policy(text: str, source: str) -> Policy:
    """Return the policy of a YAML text. Raises ConfigInvalid naming source, place and remedy."""
    try:
        content = YAML(typ="safe", pure=True).load(StringIO(text))
    except (YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark else ""
        raise ConfigInvalid(f"{source}{place}: is not YAML: {_problem(error)}") from error
    if not isinstance(content, dict):
        raise ConfigInvalid(f"{source}: the file: must hold 'version' and 'rules'")
    try:
        model = _FileModel.model_validate(content)
    except ValidationError as error:
        raise ConfigInvalid(f"{source}: {_first(error)}") from error
    names = [rule.name for rule in model.rules]
    for name, count in Counter(names).items():
        if count > 1:
            raise ConfigInvalid(f"{source}: two rules are named '{name}'; give each its own name")
    return Policy(
        Rule(rule.name, tuple(rule.callers), tuple(rule.keys), frozenset(rule.allow))
        for rule in model.rules
    )


def _problem(error: Exception) -> str:
    return str(getattr(error, "problem", None) or "look for a wrong indent or a missing colon")


def _first(error: ValidationError) -> str:
    """Return place and remedy of the first mistake, in the file's own terms."""
    mistake = error.errors(include_url=False, include_input=False)[0]
    place = ""
    for part in mistake["loc"]:
        place += f"[{part}]" if isinstance(part, int) else f".{part}"
    message = mistake["msg"].partition(" or instance of ")[0]
    return f"{place.lstrip('.')}: {message}"
