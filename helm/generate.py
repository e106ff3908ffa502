"""Makes values.schema.json and the README's table of values.yaml, or checks that they are of it.

values.yaml is read as text, for its comments, and as YAML, for its defaults. The schema of
`config` is the service's own, without what the chart sets itself.
"""

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from privyseald.config import Config

CHART = Path(__file__).parent / "privyseal"
# What follows from other values, and is theirs to set.
OWN_SETTINGS = (
    "server.listen",
    "server.ops_listen",
    "server.http_ops_listen",
    "server.tls",
    "server.jwt.listen",
    "server.jwt.issuers",
    "server.unix_socket",
    "server.allow_plaintext_on_loopback",
    "store.url",
    "store.key_file",
    "store.passphrase_file",
    "state.url",
    "state.path",
    "state.prefix",
    "state.username",
    "state.password_file",
    "state.sentinel_password_file",
    "state.ca_file",
    "state.certificate_file",
    "state.private_key_file",
    "state.allow_plaintext",
    "vault.address",
    "vault.ca_file",
    "vault.namespace",
    "vault.auth",
    "vault.auth_mount",
    "vault.token_file",
    "vault.role_id_file",
    "vault.secret_id_file",
    "vault.role",
    "vault.jwt_file",
    "vault.client_certificate_file",
    "vault.client_private_key_file",
    "vault.allow_plaintext",
    "escrow.path",
    "holds.path",
    "policy",
    "audit.file",
    "log.format",
)
_MARKS = ("<!-- values: made by helm/generate.py -->\n", "<!-- end of values -->\n")
_KEY = re.compile(r"^(?P<indent> *)(?P<name>[A-Za-z][A-Za-z0-9]*):")
_SHARED_STATE = "state.url of a Valkey, such as valkeys://valkey.example.com:6379/0"

Schema = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Value:
    """A value with its comment, or a section's heading, which has no path."""

    path: tuple[str, ...]
    text: str
    narrowed: Schema = field(default_factory=dict)
    default: object = None


class Mistake(Exception):
    """values.yaml lacks something."""


def read_values(text: str) -> Iterator[Value]:
    """Return headings and values in the file's order. Raises Mistake."""
    defaults = YAML(typ="safe", pure=True).load(text)
    open_maps: list[str] = []
    comment: list[str] = []
    narrowed: Schema = {}
    for line in text.splitlines():
        stripped = line.strip()
        key = _KEY.match(line)
        if stripped.startswith("## "):
            yield Value((), stripped.removeprefix("## "))
        elif stripped.startswith("# @schema "):
            narrowed = json.loads(stripped.removeprefix("# @schema "))
        elif stripped.startswith("# "):
            comment.append(stripped.removeprefix("# "))
        elif not stripped:
            comment, narrowed = [], {}
        elif key and len(key["indent"]) <= 2 * len(open_maps):
            del open_maps[len(key["indent"]) // 2 :]
            path = (*open_maps, key["name"])
            default = _at(defaults, path)
            if isinstance(default, dict) and default and not narrowed:
                open_maps.append(key["name"])
            else:
                if not comment:
                    raise Mistake(f"{'.'.join(path)} has no comment")
                yield Value(path, " ".join(comment), narrowed, default)
            comment, narrowed = [], {}


def make_schema(values: list[Value]) -> Schema:
    """Return the schema of the values, closed to what is not there. Raises Mistake."""
    root: Schema = _closed()
    for value in values:
        place = root
        for name in value.path[:-1]:
            place = place["properties"].setdefault(name, _closed())
        if value.path:
            place["properties"][value.path[-1]] = _schema_of(value)
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Values of the chart privyseal",
        **root,
        "allOf": _shared_by_all(),
    }


def make_table(values: list[Value]) -> str:
    """Return the README's tables, one a section."""
    lines: list[str] = []
    for value in values:
        if not value.path:
            lines += ["", f"### {value.text}", "", "| value | default | |", "|---|---|---|"]
            continue
        shown = json.dumps(value.default, ensure_ascii=False)
        if "\\n" in shown or len(shown) > 60:
            shown = "see values.yaml"
        text = value.text.replace("|", "\\|")
        lines.append(f"| `{'.'.join(value.path)}` | `{shown}` | {text} |")
    return "\n".join(lines).strip() + "\n"


def _closed() -> Schema:
    return {"type": "object", "additionalProperties": False, "properties": {}}


def _schema_of(value: Value) -> Schema:
    narrowed = dict(value.narrowed)
    if (of_config := narrowed.pop("config", None)) is not None:
        narrowed = _config_schema() if of_config is True else _config_schema(of_config)
    kinds = {bool: "boolean", int: "integer", str: "string", list: "array", dict: "object"}
    kind = kinds[type(value.default)]
    if kind in {"array", "object"} and not value.narrowed:
        raise Mistake(f"{'.'.join(value.path)} needs a @schema: its default says too little")
    return {"description": value.text, "type": kind, **narrowed}


def _shared_by_all() -> list[Schema]:
    """What pods can't share is refused. What is missing bears the sentence as its name, since
    that is what Helm prints.
    """
    many = {
        "anyOf": [
            {"properties": {"replicaCount": {"minimum": 2}}, "required": ["replicaCount"]},
            _on("autoscaling"),
            {
                "properties": {
                    "config": {
                        "properties": {
                            "server": {
                                "properties": {"workers": {"minimum": 2}},
                                "required": ["workers"],
                            }
                        },
                        "required": ["server"],
                    }
                },
                "required": ["config"],
            },
        ]
    }
    own_state = {
        "allOf": [
            {"properties": {"state": {"properties": {"url": {"const": "embedded"}}}}},
            {"properties": {"valkey": {"properties": {"enabled": {"const": False}}}}},
        ]
    }
    several = "because replicaCount or config.server.workers is above 1, or autoscaling.enabled"
    return [
        {
            "if": {"allOf": [many, own_state]},
            "then": {"required": [f"{_SHARED_STATE} (or valkey.enabled to try it), {several}"]},
        },
        {
            "if": {"allOf": [many, _on("embeddedStore")]},
            "then": {
                "required": [f"keys in Vault (embeddedStore.enabled=false), {several}"],
            },
        },
    ]


def _on(name: str) -> Schema:
    switch = {"properties": {"enabled": {"const": True}}, "required": ["enabled"]}
    return {"properties": {name: switch}, "required": [name]}


def _config_schema(path: str = "") -> Schema:
    """Return the schema of a section of the configuration, all of it if none is named."""
    whole = Config.model_json_schema()
    schema = _plain(whole, whole["$defs"])
    for name in path.split(".") if path else ():
        schema = schema["properties"][name]
    if not path:
        for setting in OWN_SETTINGS:
            _drop(schema, setting.split("."))
    return {
        name: part for name, part in schema.items() if name not in {"required", "minProperties"}
    }


def _plain(schema: Any, definitions: Schema) -> Any:
    """Return it without references, titles and defaults; a setting may be left out, never null."""
    if isinstance(schema, list):
        return [_plain(each, definitions) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _plain(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if any(each == {"type": "null"} for each in schema.get("anyOf", ())):
        rest = [each for each in schema["anyOf"] if each != {"type": "null"}]
        return _plain(rest[0] if len(rest) == 1 else {"anyOf": rest}, definitions)
    dropped = {"$defs", "default", "title", "description", "format"}
    plain: Schema = {}
    for name, part in schema.items():
        if name in {"properties", "patternProperties"}:
            plain[name] = {key: _plain(each, definitions) for key, each in part.items()}
        elif name not in dropped:
            plain[name] = _plain(part, definitions)
    if "patternProperties" in plain:
        plain["additionalProperties"] = False
    return plain


def _drop(schema: Schema, path: list[str]) -> None:
    *sections, name = path
    for section in sections:
        schema = schema["properties"][section]
    schema["properties"].pop(name, None)
    if "required" in schema:
        # What the chart sets is there, and what it sets is whole.
        del schema["required"]


def _at(values: Any, path: tuple[str, ...]) -> object:
    for name in path:
        values = values[name]
    return values


def make_files() -> dict[Path, str]:
    """Return what the files must hold. Raises Mistake."""
    values = list(read_values((CHART / "values.yaml").read_text()))
    readme = CHART / "README.md"
    head, _, rest = readme.read_text().partition(_MARKS[0])
    tail = rest.partition(_MARKS[1])[2]
    return {
        CHART / "values.schema.json": json.dumps(make_schema(values), indent=2) + "\n",
        readme: f"{head}{_MARKS[0]}{make_table(values)}{_MARKS[1]}{tail}",
    }


def main(arguments: list[str]) -> int:
    """Write the files; with --check, only say whether they are as they would be written."""
    try:
        files = make_files()
    except Mistake as mistake:
        sys.stderr.write(f"values.yaml: {mistake}\n")
        return 1
    old = [
        path for path, content in files.items() if not path.exists() or path.read_text() != content
    ]
    if "--check" in arguments:
        for path in old:
            sys.stderr.write(f"{path.name} is not that of values.yaml: run helm/generate.py\n")
        return 1 if old else 0
    for path in old:
        path.write_text(files[path])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
