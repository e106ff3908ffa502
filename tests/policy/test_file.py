from pathlib import Path

import pytest

from fakes import FakeClock
from privyseald.caller import Caller
from privyseald.config_error import ConfigInvalid
from privyseald.policy.action import Action
from privyseald.policy.file import load_policy, parse_policy
from privyseald.policy.policy import Policy
from privyseald.venues.registry import Venues

GOOD = """\
version: 1
rules:
  - name: desk
    callers: ["spiffe://desk.example/*", local]
    keys: ["desk-*"]
    allow: [sign, login]   # no create-key
"""


def rule(**changes: str) -> str:
    """Return a file with one rule, some of its lines changed; None drops one."""
    lines = {"name": "desk", "callers": "[local]", "keys": '["*"]', "allow": "[sign]", **changes}
    body = "\n    ".join(f"{name}: {value}" for name, value in lines.items() if value)
    return f"version: 1\nrules:\n  - {body}\n"


def test_a_file_becomes_a_policy(tmp_path: Path) -> None:
    """What the file says is what is allowed."""
    (tmp_path / "policy.yaml").write_text(GOOD)

    policy = Policy(load_policy(tmp_path / "policy.yaml", Venues()), FakeClock())

    assert "desk" == policy.check(Caller("local", ""), Action.LOGIN, "desk-1")
    assert not policy.allows(Caller("local", ""), Action.CREATE_KEY, "desk-1")


def test_a_file_that_can_not_be_read_is_named(tmp_path: Path) -> None:
    """A missing file, a directory and bytes that are no text are the operator's to correct."""
    (tmp_path / "bytes").write_bytes(b"version: \xff")
    for name in ("missing", "bytes", ""):
        with pytest.raises(ConfigInvalid, match=rf"^policy.file: {tmp_path / name} can't be read"):
            load_policy(tmp_path / name, Venues())


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("version: [1", r"p\.yaml, line 1: is not YAML: "),
        ("version: 1\nrules: {", r"p\.yaml, line 2: is not YAML: "),
        ("version: 1\nversion: 1\n", r"p\.yaml, line 2: is not YAML: found duplicate key"),
        ("- " * 50_000, r"p\.yaml: is nested deeper than any policy"),
        ("a: b\n---\nc: d\n", r"p\.yaml, line \d: is not YAML: "),
        ("a: \x01", r"p\.yaml: is not YAML: "),
        ("a: !!python/object:os.system x", r"p\.yaml, line 1: version: "),
        ("version: 2024-99-99\n", r"p\.yaml: is not YAML: "),
        ("", r"p\.yaml: the file: must hold 'version' and 'rules'"),
        ("- a\n", r"p\.yaml: the file: must hold 'version' and 'rules'"),
        ("rules: []\n", r"p\.yaml, line \d+: version: "),
        ("version: 2\nrules: []\n", r"p\.yaml, line \d+: version: "),
        ("version: 1\n", r"p\.yaml, line \d+: rules: "),
        ("version: 1\nrules: []\n", r"p\.yaml, line \d+: rules: "),
        ("version: 1\nrules: {}\n", r"p\.yaml, line \d+: rules: "),
        (GOOD + "deny: []\n", r"p\.yaml, line \d+: deny: "),
        (rule(when="x"), r"p\.yaml, line 7: rules\[0\]\.when: uses a name that does not exist"),
        (rule(name="Desk"), r"p\.yaml, line \d+: rules\[0\]\.name: "),
        (rule(name='"desk\\n"'), r"p\.yaml, line \d+: rules\[0\]\.name: "),
        (rule(name="a" * 64), r"p\.yaml, line \d+: rules\[0\]\.name: "),
        (rule(callers=""), r"p\.yaml, line \d+: rules\[0\]\.callers: "),
        (rule(callers="[]"), r"p\.yaml, line \d+: rules\[0\]\.callers: "),
        (rule(callers="local"), r"p\.yaml, line \d+: rules\[0\]\.callers: "),
        (rule(callers="[1]"), r"p\.yaml, line \d+: rules\[0\]\.callers\[0\]: "),
        (rule(callers='[local, "a b"]'), r"p\.yaml, line \d+: rules\[0\]\.callers\[1\]: "),
        (rule(callers='["local\\n"]'), r"p\.yaml, line \d+: rules\[0\]\.callers\[0\]: "),
        (rule(callers='["ö"]'), r"p\.yaml, line \d+: rules\[0\]\.callers\[0\]: "),
        (rule(keys='[""]'), r"p\.yaml, line \d+: rules\[0\]\.keys\[0\]: "),
        (rule(keys=f"[{'a' * 257}]"), r"p\.yaml, line \d+: rules\[0\]\.keys\[0\]: "),
        (rule(allow='["*"]'), r"p\.yaml, line \d+: rules\[0\]\.allow\[0\]: "),
        (rule(allow="[]"), r"p\.yaml, line 3: rules\[0\]: a rule has one of 'allow' and 'deny'"),
    ],
)
def test_a_file_with_a_mistake_is_refused_whole(text: str, place: str) -> None:
    """The message says where the mistake is, in the file's own terms."""
    with pytest.raises(ConfigInvalid, match="^" + place):
        parse_policy(text, "p.yaml", Venues())


def test_two_rules_of_one_name_are_refused() -> None:
    """The audit line names a rule, so a name must mean one."""
    text = GOOD + GOOD.partition("rules:\n")[2]

    with pytest.raises(
        ConfigInvalid, match=r"^p\.yaml, line 7: rules\[1\]\.name: two rules are named 'desk'"
    ):
        parse_policy(text, "p.yaml", Venues())


def test_a_mistake_shows_nothing_of_our_code() -> None:
    """The operator reads of the file, not of classes."""
    for text in ("", "[]", rule(callers="{}"), "version: 1\nrules: [1]\n"):
        with pytest.raises(ConfigInvalid) as caught:
            parse_policy(text, "p.yaml", Venues())

        assert "Model" not in str(caught.value)


def test_a_thousand_rules_load() -> None:
    """A large file is read in a moment, and its last rule counts."""
    body = "".join(
        f"  - {{name: r{index}, callers: [c{index}], keys: ['*'], allow: [sign-message]}}\n"
        for index in range(1_000)
    )

    policy = Policy(parse_policy("version: 1\nrules:\n" + body, "p.yaml", Venues()), FakeClock())

    assert "r999" == policy.check(Caller("c999", ""), Action.SIGN_MESSAGE, "k")
