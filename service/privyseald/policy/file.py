"""The policy file: YAML, read strictly, refused whole when any part of it is wrong."""

import re
from collections import Counter
from decimal import Decimal
from io import StringIO
from pathlib import Path

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError

from privyseald.config_error import ConfigInvalid
from privyseald.policy.action import Action
from privyseald.policy.condition import Condition, ConditionInvalid
from privyseald.policy.model import FileModel, LimitModel, RuleModel
from privyseald.policy.rule import Effect, Limit, Rule, patterns
from privyseald.policy.selectors import SelectorInvalid, Selectors, parse_selectors
from privyseald.venues.registry import Venues
from privyseald.venues.venue import Coverage

_MAX_BYTES = 4 * 1_048_576
_OPEN_HOST = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/]*\*")
_PER_COIN = 10**8
_SIGNING = (Action.SIGN, Action.SIGN_MESSAGE, Action.SIGN_TYPED_DATA)

Place = tuple[str | int, ...]


def load_policy(path: Path, venues: Venues) -> tuple[Rule, ...]:
    """Return the rules of a file. Raises ConfigInvalid naming file, line, place and remedy."""
    return parse_policy(read_policy(path), str(path), venues)


def read_policy(path: Path) -> str:
    """Return the text of a file. Raises ConfigInvalid."""
    try:
        if not path.is_file():
            raise FileNotFoundError(path)
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            raise ConfigInvalid(f"policy.file: {path} is longer than {_MAX_BYTES} bytes")
        return content.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigInvalid(
            f"policy.file: {path} can't be read; give a YAML file that this user may read"
        ) from error


def parse_policy(text: str, source: str, venues: Venues) -> tuple[Rule, ...]:
    """Return the rules of a YAML text. Raises ConfigInvalid as `load_policy` does."""
    try:
        content = YAML(typ="rt", pure=True).load(StringIO(text))
    except (YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark else ""
        raise ConfigInvalid(f"{source}{place}: is not YAML: {_problem(error)}") from error
    except RecursionError as error:
        raise ConfigInvalid(f"{source}: is nested deeper than any policy") from error
    if not isinstance(content, CommentedMap):
        raise ConfigInvalid(f"{source}: the file: must hold 'version' and 'rules'")
    return _Reader(source, content, venues).rules()


class _Reader:
    """One file on its way to rules; knows the line of each mistake."""

    def __init__(self, source: str, content: CommentedMap, venues: Venues) -> None:
        self._source = source
        self._content = content
        self._venues = venues

    def rules(self) -> tuple[Rule, ...]:
        """Return the rules. Raises ConfigInvalid."""
        try:
            model = FileModel.model_validate(self._content)
        except ValidationError as error:
            mistake = error.errors(include_url=False, include_input=False)[0]
            message = mistake["msg"].partition(" or instance of ")[0]
            raise self._wrong(mistake["loc"], message.removeprefix("Value error, ")) from error
        for name, count in Counter(rule.name for rule in model.rules).items():
            if count > 1:
                again = [place for place, rule in enumerate(model.rules) if rule.name == name][1]
                raise self._wrong(
                    ("rules", again, "name"),
                    f"two rules are named '{name}'; give each its own name",
                )
        return tuple(self._rule(number, rule) for number, rule in enumerate(model.rules))

    def _rule(self, number: int, rule: RuleModel) -> Rule:
        place: Place = ("rules", number)
        effect = Effect.ALLOW if rule.allow else Effect.DENY
        selectors = self._selectors((*place, effect.value), rule.allow or rule.deny)
        self._check_venues(place, rule, selectors)
        self._check_limits((*place, "limits"), rule, selectors)
        self._check_callers((*place, "callers"), rule)
        return Rule(
            name=rule.name,
            effect=effect,
            callers=patterns(rule.callers),
            keys=patterns(rule.keys),
            selectors=selectors,
            venues=frozenset(rule.venues),
            condition=self._condition(place, rule),
            accept_bearer=rule.accept_bearer,
            shadow=rule.mode == "shadow",
            limits=tuple(_limit(each) for each in rule.limits),
        )

    def _selectors(self, place: Place, texts: list[str]) -> Selectors:
        try:
            selectors = parse_selectors(texts)
        except SelectorInvalid as error:
            at = next((index for index, text in enumerate(texts) if not _is_one(text)), 0)
            raise self._wrong((*place, at), str(error)) from error
        tables = [self._venues.operation_table(venue) for venue in self._venues]
        known_tags = {tag for table in tables for tag in table.tags}
        known_names = {name for table in tables for name in table.names}
        for index, text in enumerate(texts):
            kind, _, name = text.partition(":")
            if kind == "tag" and name not in known_tags:
                tags = ", ".join(sorted(known_tags))
                raise self._wrong((*place, index), f"no operation has the tag; there are {tags}")
            if kind == "op" and name not in known_names:
                raise self._wrong(
                    (*place, index),
                    "no venue has an operation of this name; 'privyseal venues NAME' lists them",
                )
        return selectors

    def _check_venues(self, place: Place, rule: RuleModel, selectors: Selectors) -> None:
        signs = selectors.listed or selectors.looks_at_requests
        for index, name in enumerate(rule.venues):
            known = {venue.name: venue for venue in self._venues}
            if name not in known:
                raise self._wrong(
                    (*place, "venues", index),
                    f"there is no such venue; this server has {', '.join(known)}",
                )
            binds_nothing = known[name].coverage is Coverage.NOTHING
            if rule.allow and signs and binds_nothing and not rule.accept_bearer:
                raise self._wrong(
                    (*place, "venues", index),
                    f"a signature of {name} does not cover the request: whoever holds one may "
                    "send any request with it, a withdrawal too, so that this rule could not "
                    "hold; add 'accept_bearer: true' if that is accepted",
                )

    def _check_callers(self, place: Place, rule: RuleModel) -> None:
        for index, name in enumerate(rule.callers):
            if rule.allow and _OPEN_HOST.match(name):
                raise self._wrong(
                    (*place, index),
                    "has '*' in the trust domain or host, and '*' stands for '/' too, so that "
                    "callers of any other would match; write that part out, as in "
                    "'spiffe://desk.example/*', or '*' for every caller",
                )

    def _check_limits(self, place: Place, rule: RuleModel, selectors: Selectors) -> None:
        if rule.limits and not any(map(selectors.speaks_of, _SIGNING)):
            raise self._wrong(
                place,
                "limits count signatures, and this rule allows none; leave them out, or give them "
                "to a rule that allows 'sign'",
            )

    def _condition(self, place: Place, rule: RuleModel) -> Condition | None:
        if rule.when is None:
            return None
        try:
            return Condition(str(rule.when))
        except ConditionInvalid as error:
            raise self._wrong((*place, "when"), str(error)) from error

    def _wrong(self, place: Place, message: str) -> ConfigInvalid:
        shown = ""
        for part in place:
            shown += f"[{part}]" if isinstance(part, int) else f".{part}"
        return ConfigInvalid(
            f"{self._source}, line {self._line(place)}: {shown.lstrip('.')}: {message}"
        )

    def _line(self, place: Place) -> int:
        node: object = self._content
        line = 0
        for part in place:
            if isinstance(node, CommentedMap) and part in node:
                line = node.lc.key(part)[0]
            elif isinstance(node, CommentedSeq) and isinstance(part, int) and part < len(node):
                line = node.lc.item(part)[0]
            else:
                break
            node = node[part]
        return int(line) + 1


def _is_one(text: str) -> bool:
    try:
        parse_selectors([text])
    except SelectorInvalid:
        return False
    return True


def _limit(model: LimitModel) -> Limit:
    if model.rate is not None:
        return Limit(model.rate, model.window_ms, frozenset(model.per))
    amount, _, currency = str(model.notional).partition(" ")
    return Limit(int(Decimal(amount) * _PER_COIN), model.window_ms, frozenset(model.per), currency)


def _problem(error: Exception) -> str:
    return str(getattr(error, "problem", None) or "look for a wrong indent or a missing colon")
