import json
from pathlib import Path

import pytest

from cli.program import Site

_API_KEY = ("--field", "api_key=test-key")
_ANVIL_0 = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"


def test_a_secret_from_a_file(site: Site, tmp_path: Path) -> None:
    """`keys import --secret-file` writes the key; an editor's line break does not count."""
    secret_file = tmp_path / "secret"
    secret_file.write_text("test-secret\r\n")
    result = site.privyseal(
        "keys", "import", "file-1", "--venue", "whitebit", *_API_KEY,
        "--secret-file", str(secret_file), "--label", "desk=one", "--label", "team=a",
    )  # fmt: skip
    shown = dict(line.split(None, 1) for line in result.stdout.splitlines())
    assert (result.exit_code, result.stderr) == (0, "")
    assert shown.pop("created")
    assert shown == {
        "key": "keys/file-1",
        "venue": "whitebit production",
        "algorithm": "hmac-sha512",
        "public": "id  test-key",
        "state": "ENABLED",
        "version": "1",
        "labels": "desk=one, team=a",
    }


def test_a_secret_from_standard_input(site: Site) -> None:
    """`--secret-file -` reads the secret from a pipe, and `--json` prints the key."""
    result = site.privyseal(
        "keys", "import", "stdin-1", "--venue", "aster", "--algorithm", "secp256k1",
        "--secret-file", "-", "--json", text=f"0x{_ANVIL_0}\n",
    )  # fmt: skip
    key = json.loads(result.stdout)
    assert result.exit_code == 0
    assert (key["name"], key["public_id"], key["state"]) == (
        "keys/stdin-1",
        "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266",
        "KEY_STATE_ENABLED",
    )


def test_a_secret_from_a_prompt(site: Site) -> None:
    """Without a file the secret is asked for, and not shown."""
    result = site.privyseal(
        "keys", "import", "prompt-1", "--venue", "whitebit", *_API_KEY, text="test-secret\n"
    )
    assert result.exit_code == 0
    assert "Secret:" in result.stderr
    assert "keys/prompt-1" in result.stdout
    assert "test-secret" not in result.output


@pytest.mark.parametrize("name", ["api_secret", "private_key", "secret"])
def test_a_secret_is_never_an_argument(site: Site, name: str) -> None:
    """A secret on the command line is refused before anything is sent, and not repeated."""
    result = site.privyseal(
        "keys", "import", "arg-1", "--venue", "whitebit", "--field", f"{name}=canary", text="x\n"
    )
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"--field {name}: a secret is never an argument" in result.stderr
    assert "use --secret-file" in result.stderr
    assert "canary" not in result.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--field", "api_key"), "--field takes NAME=VALUE"),
        (("--field", "=x"), "--field takes NAME=VALUE"),
        ((*_API_KEY, *_API_KEY), "--field api_key is given twice"),
        (("--label", "desk"), "--label takes NAME=VALUE"),
        (("--secret-file", "/nothing/here"), "/nothing/here can't be read: No such file or dir"),
        (("--secret", "x"), "No such option"),
    ],
)
def test_a_wrong_argument_is_usage(site: Site, arguments: tuple[str, ...], words: str) -> None:
    """What can't be meant ends with exit code 2, and nothing is written."""
    result = site.privyseal("keys", "import", "usage-1", "--venue", "whitebit", *arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert site.privyseal("keys", "get", "usage-1").exit_code == 1


def test_what_the_server_refuses_is_exit_code_1(site: Site) -> None:
    """A refusal is printed with code and reason, to standard error."""
    result = site.privyseal("keys", "get", "nothing-1")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "error: NOT_FOUND (KEY_UNKNOWN): there is no key 'nothing-1'; list the keys, or create it\n"
    )


def test_keys_are_listed_as_a_table_and_as_json(site: Site) -> None:
    """Both lists hold the keys in the order of their ids, with state and public id."""
    for key_id in ("list-b", "list-a"):
        site.privyseal(
            "keys", "import", key_id, "--venue", "whitebit", *_API_KEY,
            "--secret-file", "-", text="test-secret",
        )  # fmt: skip
    table = site.privyseal("keys", "list").stdout
    listed = json.loads(site.privyseal("keys", "list", "--json").stdout)
    rows = [line.split() for line in table.splitlines() if line.strip().startswith("list-")]
    assert rows == [
        [key_id, "whitebit", "production", "hmac-sha512", "test-key", "ENABLED", "1"]
        for key_id in ("list-a", "list-b")
    ]
    names = [key["name"] for key in listed]
    assert names == sorted(names)
    assert {"keys/list-a", "keys/list-b"} <= set(names)


def test_a_key_is_generated(site: Site) -> None:
    """`keys create --generate` shows address and public key."""
    result = site.privyseal(
        "keys", "create", "gen-1", "--venue", "aster-v3", "--generate", "secp256k1", "--field",
        "user=0x63DD5aCC6b1aa0f563956C0e534DD30B6dcF7C4e", "--json",
    )  # fmt: skip
    key = json.loads(result.stdout)
    assert (key["name"], key["algorithm"]) == ("keys/gen-1", "secp256k1")
    assert key["public_key_pem"].startswith("-----BEGIN PUBLIC KEY-----")


def test_a_key_is_issued_by_the_venue(site: Site) -> None:
    """`keys create --using` has the venue issue one, and prints its public id alone."""
    site.privyseal(
        "keys", "import", "issue-wallet", "--venue", "aster", "--algorithm", "secp256k1",
        "--secret-file", "-", text=_ANVIL_0,
    )  # fmt: skip
    result = site.privyseal(
        "keys", "create", "issue-1", "--venue", "aster", "--using", "issue-wallet",
        "--description", "cli test", "--allow-ip", "203.0.113.7", "--option", "client_type=web",
    )  # fmt: skip
    assert (result.exit_code, result.stderr) == (0, "")
    assert "hmac-sha256" in result.stdout
    again = site.privyseal(
        "keys", "create", "issue-2", "--venue", "aster", "--using", "issue-wallet",
        "--description", "cli test",
    )  # fmt: skip
    assert again.exit_code == 1
    assert "FAILED_PRECONDITION (VENUE_DESCRIPTION_TAKEN)" in again.stderr


@pytest.mark.parametrize("arguments", [(), ("--generate", "secp256k1", "--using", "wallet")])
def test_a_key_comes_from_one_place(site: Site, arguments: tuple[str, ...]) -> None:
    """Neither or both of the two sources is wrong usage."""
    result = site.privyseal("keys", "create", "both-1", "--venue", "aster", *arguments)
    assert result.exit_code == 2
    assert result.stderr == "error: give one of --generate and --using\n"


def test_a_key_is_disabled_enabled_and_deleted(site: Site) -> None:
    """The custodian's verbs work by hand, and each shows what came of it."""
    site.privyseal(
        "keys", "import", "life-1", "--venue", "whitebit", *_API_KEY,
        "--secret-file", "-", text="test-secret",
    )  # fmt: skip
    sign = ("sign", "life-1", "POST", "/api/v4/orders")
    assert "DISABLED" in site.privyseal("keys", "disable", "life-1").stdout
    assert "KEY_DISABLED" in site.privyseal(*sign).stderr
    enabled = site.privyseal("keys", "enable", "life-1", "--json")
    assert json.loads(enabled.stdout)["state"] == "KEY_STATE_ENABLED"
    assert site.privyseal(*sign).exit_code == 0
    assert site.privyseal("keys", "delete", "life-1", "--yes").stdout == "life-1 is gone\n"
    for command in ("get", "disable", "enable"):
        assert site.privyseal("keys", command, "life-1").exit_code == 1
    assert site.privyseal("keys", "delete", "life-1", "--yes").exit_code == 1


def test_deleting_asks_first(site: Site) -> None:
    """Without `--yes` nothing is deleted unless the user says so."""
    site.privyseal(
        "keys", "import", "ask-1", "--venue", "whitebit", *_API_KEY,
        "--secret-file", "-", text="test-secret",
    )  # fmt: skip
    no = site.privyseal("keys", "delete", "ask-1", text="n\n")
    assert (no.exit_code, site.privyseal("keys", "get", "ask-1").exit_code) == (1, 0)
    assert "Nothing can bring it back" in no.output
    yes = site.privyseal("keys", "delete", "ask-1", text="y\n")
    assert (yes.exit_code, site.privyseal("keys", "get", "ask-1").exit_code) == (0, 1)
