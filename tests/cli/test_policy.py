import json
from importlib.resources import files
from pathlib import Path

import pytest

from cli.program import prepare, privyseal

MANY = """\
version: 1
rules:
  - {name: nobody, callers: ["*"], keys: ["*"], deny: ["@withdrawals", "@transfers"]}
  - {name: desk, callers: [desk], keys: ["desk-*"], allow: [sign, login]}
  - {name: capped, callers: [desk], keys: ["desk-*"], allow: [sign],
     limits: [{rate: 5, window: 1s}]}
  - {name: payer, callers: [desk], keys: ["desk-*"], allow: ["@withdrawals"]}
  - {name: try-out, callers: ["*"], keys: ["*"], deny: [tag:trade], mode: shadow}
"""


def test_the_policy_of_a_new_directory_can_be_enforced(tmp_path: Path) -> None:
    """`policy check` says ok, names the file and counts."""
    prepare(tmp_path / "new", {})
    policy_file = tmp_path / "new" / "policy.yaml"
    result = privyseal("policy", "check", str(policy_file))
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (f"ok: {policy_file} can be enforced: 1 rule, 1 allow and 0 deny\n")


def test_rules_that_change_nothing_are_told(tmp_path: Path) -> None:
    """It can be enforced all the same: warnings on standard error, exit code 0."""
    file = tmp_path / "policy.yaml"
    file.write_text(MANY)
    result = privyseal("policy", "check", str(file))
    assert result.exit_code == 0
    assert result.stdout == (
        f"ok: {file} can be enforced: 5 rules, 3 allow and 2 deny; in shadow: try-out\n"
    )
    capped, payer = result.stderr.splitlines()
    assert capped == (
        "warning: rule 'capped' never decides: rule 'desk' before it decides all that it selects, "
        "so that its limits never hold"
    )
    assert payer == (
        "warning: rule 'payer' allows nothing: rule 'nobody' denies all that it selects"
    )


def test_a_check_as_json(tmp_path: Path) -> None:
    """The same for programs."""
    file = tmp_path / "policy.yaml"
    file.write_text(MANY)
    result = privyseal("policy", "check", str(file), "--json")
    checked = json.loads(result.stdout)
    assert (result.exit_code, result.stderr) == (0, "")
    assert (checked["rules"], checked["allow"], checked["deny"]) == (5, 3, 2)
    assert checked["shadow"] == ["try-out"]
    assert [each["rule"] for each in checked["remarks"]] == ["capped", "payer"]


def test_the_schema_is_printed_as_it_is_shipped() -> None:
    """For an editor that checks while one writes."""
    result = privyseal("policy", "schema")
    assert result.exit_code == 0
    assert result.stdout == files("privyseald.policy").joinpath("policy.schema.json").read_text()


_RULE = "  - {name: a, callers: [x], keys: [y], allow: [sign]}\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("version: 1\nrules:\n  - name: a\n callers: []", "is not YAML"),
        ("version: 1\nrules: []\n", "rules: "),
        ("version: 2\nrules:\n" + _RULE, "version: "),
        ("version: 1\nrules:\n" + _RULE + _RULE, "two rules are named 'a'"),
        ("version: 1\nrules:\n" + _RULE.replace("sign", "fly"), "rules[0].allow[0]: "),
        ("version: 1\nrules:\n" + _RULE.replace("allow", "forbid"), "rules[0]."),
        ("version: 1\nversion: 1\nrules:\n" + _RULE, "is not YAML"),
        ("", "the file: "),
        ("- 1", "the file: "),
    ],
)
def test_a_wrong_policy_is_told_with_its_place(tmp_path: Path, text: str, words: str) -> None:
    """Exit code 2, with file and place, and no trace of the program."""
    file = tmp_path / "policy.yaml"
    file.write_text(text)
    result = privyseal("policy", "check", str(file))
    assert (result.exit_code, result.stdout) == (2, "")
    assert str(file) in result.stderr.replace("\n", "")
    assert words in result.stderr
    assert "Traceback" not in result.stderr


def test_a_policy_that_is_not_there(tmp_path: Path) -> None:
    """A file that can't be read is named."""
    result = privyseal("policy", "check", str(tmp_path / "nothing.yaml"))
    assert result.exit_code == 2
    assert "nothing.yaml can't be read; give a YAML file" in result.stderr
