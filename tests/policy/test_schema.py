import json
from importlib.resources import files
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

from privyseald.config_error import ConfigInvalid
from privyseald.policy.file import parse_policy
from privyseald.policy.schema import policy_schema
from privyseald.venues.registry import Venues

SCHEMA = json.loads(policy_schema())
RULE = {"name": "r", "callers": ["x"], "keys": ["*"], "allow": ["sign"]}


def fits(rule: dict[str, Any]) -> bool:
    """Whether the schema takes a file with this rule."""
    file = {"version": 1, "rules": [rule]}
    return jsonschema.Draft202012Validator(SCHEMA).is_valid(file)


def loads(rule: dict[str, Any]) -> bool:
    """Whether the loader does."""
    try:
        parse_policy(json.dumps({"version": 1, "rules": [rule]}), "p", Venues())
    except ConfigInvalid:
        return False
    return True


def test_the_shipped_schema_is_that_of_the_loader() -> None:
    """When this fails: `privyseal policy schema` prints what policy.schema.json must hold."""
    shipped = files("privyseald.policy").joinpath("policy.schema.json").read_text()

    assert policy_schema() == shipped
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize(
    "change",
    [
        {"allow": ["login", "tag:trade", "op:order/new", "POST /api/**", "* /a", "@trading"]},
        {"allow": ["sign-unlisted"], "venues": ["kiiex"], "accept_bearer": True},
        {"when": "request.body.market == 'BTC_USDT'", "mode": "shadow"},
        {"limits": [{"rate": 5, "window": "1s", "per": ["caller", "key"]}]},
        {"limits": [{"notional": "250000.5 USDT", "window": "24h"}]},
    ],
)
def test_what_loads_fits(change: dict[str, Any]) -> None:
    """An editor marks nothing that is right."""
    rule = {**RULE, **change}

    assert (True, True) == (fits(rule), loads(rule))


@pytest.mark.parametrize(
    "change",
    [
        {"allow": ["sing"]},
        {"allow": ["@all"]},
        {"allow": []},
        {"deny": ["sign"]},
        {"name": "R"},
        {"callers": []},
        {"callers": "x"},
        {"mode": "off"},
        {"accept_bearer": "yes"},
        {"accept_bearer": 1},
        {"limits": [{"window": "1s"}]},
        {"limits": [{"rate": "5", "window": "1s"}]},
        {"limits": [{"rate": True, "window": "1s"}]},
        {"limits": [{"rate": 5, "window": "1 s"}]},
        {"limits": [{"rate": 5, "notional": "5 USDT", "window": "1s"}]},
        {"unless": "true"},
    ],
)
def test_what_does_not_fit_does_not_load(change: dict[str, Any]) -> None:
    """An editor marks nothing as right that the loader refuses for its form."""
    rule = {**RULE, **change}

    assert (False, False) == (fits(rule), loads(rule))


def test_yaml_knows_one_yes_alone() -> None:
    """In YAML 1.2, `yes` is a text, and no text is taken for a consent."""
    text = "version: 1\nrules:\n  - {name: r, callers: [x], keys: [y], allow: [sign]"

    assert YAML(typ="safe", pure=True).load("yes") == "yes"
    with pytest.raises(ConfigInvalid, match="accept_bearer"):
        parse_policy(f"{text}, accept_bearer: yes}}\n", "p", Venues())
    assert parse_policy(f"{text}, accept_bearer: true}}\n", "p", Venues())[0].accept_bearer
