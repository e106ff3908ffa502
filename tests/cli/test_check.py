import json
from pathlib import Path

import pytest

from cli.program import prepare, privyseal
from tokens import Issuer


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    """The configuration that `privyseal init` writes."""
    prepare(tmp_path / "new", {})
    return tmp_path / "new" / "privyseal.toml"


def test_a_good_configuration_is_printed(config_file: Path) -> None:
    """`config check` prints what is in force, one setting a line, and says ok."""
    result = privyseal("config", "check", "--config", str(config_file))
    lines = dict(line.split(None, 1) for line in result.stdout.splitlines()[:-1])
    assert (result.exit_code, result.stderr) == (0, "")
    assert (lines["server.listen"], lines["server.grace_ms"]) == ("127.0.0.1:0", "20000")
    assert lines["store.key_file"].endswith("/new/store.key")
    assert result.stdout.splitlines()[-1] == "ok: configuration and policy can be served"


def test_the_effective_configuration_as_json(config_file: Path) -> None:
    """`--json` prints one JSON object, and nothing else."""
    result = privyseal("config", "check", "--config", str(config_file), "--json")
    effective = json.loads(result.stdout)
    assert effective["log"] == {"level": "info", "format": "auto"}
    assert {"audit", "outbound", "policy", "server", "state", "store", "venues"} < set(effective)
    assert "vault" not in effective


def test_a_check_reads_the_keys_of_issuers(config_file: Path) -> None:
    """A JWKS that `serve` would not start with is named."""
    section = """
[server.jwt]
listen = "127.0.0.1:0"
[server.jwt.issuers.desk]
issuer = "https://issuer.desk.test"
audience = "privyseal"
jwks_file = "jwks.json"
"""
    config_file.write_text(config_file.read_text() + section)
    jwks = config_file.with_name("jwks.json")
    jwks.write_bytes(Issuer().key_set)
    assert privyseal("config", "check", "--config", str(config_file)).exit_code == 0
    jwks.write_text('{"keys":[]}')
    result = privyseal("config", "check", "--config", str(config_file))
    assert result.exit_code == 2
    assert f"server.jwt.issuers.desk.jwks_file: {jwks} has no key" in result.stderr


def test_a_check_sees_the_environment(config_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable overrides the file, as it does for `serve`."""
    monkeypatch.setenv("PRIVYSEAL__SERVER__LISTEN", "127.0.0.1:7009")
    result = privyseal("config", "check", "--config", str(config_file), "--json")
    assert json.loads(result.stdout)["server"]["listen"] == "127.0.0.1:7009"


def test_the_file_may_be_named_by_a_variable(
    config_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PRIVYSEAL_CONFIG stands for `--config`."""
    monkeypatch.setenv("PRIVYSEAL_CONFIG", str(config_file))
    assert privyseal("config", "check").exit_code == 0


def test_an_unknown_variable_is_refused(config_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable with our prefix that sets nothing is a mistake."""
    monkeypatch.setenv("PRIVYSEAL__SERVER__LISTN", "127.0.0.1:7009")
    result = privyseal("config", "check", "--config", str(config_file))
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        "error: PRIVYSEAL__SERVER__LISTN: server.listn is no setting; look for a slip of the pen\n"
    )


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("[state]", "[state]\nfile = 1", "state.file is no setting"),
        ("tls/server.pem", "tls/nothing.pem", "server.tls.certificate_file: "),
        ("policy.yaml", "store.key", "policy.file: "),
        ("[state]", "[venues.mtgox]\n[state]", "venues.mtgox: is no venue"),
    ],
)
def test_what_serve_would_refuse_is_refused(
    config_file: Path, old: str, new: str, words: str
) -> None:
    """`config check` finds what would stop a start: exit code 2."""
    text = config_file.read_text()
    assert old in text
    config_file.write_text(text.replace(old, new))
    result = privyseal("config", "check", "--config", str(config_file))
    assert (result.exit_code, result.stdout) == (2, "")
    assert words in result.stderr


@pytest.mark.parametrize("arguments", [(), ("keys",), ("config",), ("policy",), ("venues",)])
def test_without_a_command_there_is_help(arguments: tuple[str, ...]) -> None:
    """A bare group prints what it has, and counts as wrong usage."""
    result = privyseal(*arguments)
    assert result.exit_code == 2
    assert "Usage: " in result.output


def test_the_version_is_told() -> None:
    """`--version` prints name and version."""
    result = privyseal("--version")
    assert (result.exit_code, result.stdout) == (0, "privyseal 0.1.0\n")
