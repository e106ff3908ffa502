import asyncio
import json
import signal
from pathlib import Path

import pytest
import typer

from cli.program import prepare, privyseal
from privyseald.cli.demo_server import DemoServer
from privyseald.policy.action import Action


def test_the_demo_comes_out_as_it_should() -> None:
    """Every step of the tour is good: all five venues sign, log in, and a stranger is denied."""
    result = privyseal("demo", "--json")
    rows = json.loads(result.stdout)
    assert (result.exit_code, [row for row in rows if not row["good"]]) == (0, [])
    assert {row["venue"] for row in rows} == {
        "aster",
        "aster-v3",
        "kiiex",
        "nebulaex",
        "whitebit",
    }
    verbs = [row["rpc"].split()[0] for row in rows]
    assert (verbs.count("Login"), verbs.count("CreateKey")) == (2, 1)
    assert "PERMISSION_DENIED" in rows[-1]["cameBack"]


def test_the_demo_is_a_table_for_people() -> None:
    """Without `--json` it prints where things run, a table, and how long it took."""
    result = privyseal("demo")
    lines = result.stdout.splitlines()
    assert result.exit_code == 0
    assert lines[0].startswith("venue servers on loopback")
    assert "steps came out as they should, in" in lines[-1]
    good, _, total = lines[-1].split()[:3]
    assert good == total


def test_a_demo_with_a_bad_step_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a stranger gets a signature the demo says that a step is wrong: exit code 1."""
    policy_file = tmp_path / "policy.yaml"
    actions = [*(action.value for action in Action), "@withdrawals"]
    rule = {"name": "all", "callers": ["*"], "keys": ["*"], "allow": actions}
    policy_file.write_text(json.dumps({"version": 1, "rules": [{**rule, "accept_bearer": True}]}))
    monkeypatch.setenv("PRIVYSEAL__POLICY__FILE", str(policy_file))
    result = privyseal("demo", "--json")
    bad = [row for row in json.loads(result.stdout) if not row["good"]]
    assert (result.exit_code, result.stderr) == (1, "error: not every step came out as it should\n")
    assert [(row["venue"], row["cameBack"]) for row in bad] == [
        ("whitebit", "another caller: a signature")
    ]


def test_a_demo_server_that_does_not_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that drains for too long is ended for good, so that the demo ends by itself."""
    prepare(tmp_path / "new", {})
    monkeypatch.setenv("PRIVYSEAL__SERVER__DRAIN_DELAY_MS", "60000")
    monkeypatch.setattr("privyseald.cli.demo_server._STOP_S", 0.2)

    async def serve_shortly() -> DemoServer:
        async with DemoServer(tmp_path / "new") as server:
            assert server.port > 0
        return server

    assert asyncio.run(serve_shortly())._process.returncode == -signal.SIGKILL


def test_a_demo_server_that_does_not_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the server does not start the demo prints why, and leaves no process."""
    prepare(tmp_path / "new", {})
    (tmp_path / "new" / "policy.yaml").write_text("version: 2")
    server = DemoServer(tmp_path / "new")
    with pytest.raises(typer.Exit):
        asyncio.run(server.__aenter__())
    assert "the server did not start: error: " in capsys.readouterr().err
    assert server._process.returncode == 2
