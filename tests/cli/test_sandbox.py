import json
import signal
import socket
import urllib.request
from pathlib import Path

import pytest

from cli.program import privyseal, running


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_sandbox_serves_until_a_signal(tmp_path: Path, number: int) -> None:
    """`--json` tells the URLs; a signal ends it with exit code 0, and its ports are free."""
    with running(tmp_path, "sandbox", "--json", "--port", "0") as sandbox:
        urls = sandbox.wait_for_json()
        with urllib.request.urlopen(urls["control"] + "/", timeout=5) as answer:  # noqa: S310  # ours
            status = answer.status
        exit_code = sandbox.stop(number)
    assert (status, exit_code) == (200, 0)
    assert sorted(urls["venues"]) == ["aster", "aster-v3", "kiiex", "nebulaex", "whitebit"]
    port = int(urls["control"].rpartition(":")[2])
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_the_sandbox_tells_what_to_configure(tmp_path: Path) -> None:
    """For people it prints the sections to paste into privyseal.toml."""
    with running(tmp_path, "sandbox", "--port", "0", environment={"PYTHONUNBUFFERED": "1"}) as it:
        text = ""
        while "[venues.whitebit]" not in text:
            text = it.stdout_file.read_text()
        assert it.stop() == 0
    text = it.stdout_file.read_text()
    assert "(control)" in text
    assert "kiiex     --field api_key=test-key --field user_id=149, secret test-secret" in text
    assert text.count('base_urls = { production = "http://127.0.0.1:') == 5


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--host", "0.0.0.0"), "0.0.0.0 is not loopback; --allow-remote"),
        (("--host", "somewhere"), "'somewhere' does not appear to be an IPv4 or IPv6 address"),
        (("--port", "65535"), "port must leave room for four more, up to 65531"),
        (("--port", "-1"), "Invalid value for '--port'"),
    ],
)
def test_the_sandbox_refuses_a_wrong_address(arguments: tuple[str, ...], words: str) -> None:
    """An address that is open to others, or none, ends with exit code 2."""
    result = privyseal("sandbox", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert words in result.stderr


def test_the_sandbox_needs_its_ports() -> None:
    """A port in use is named with what to do."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = min(other.getsockname()[1], 65_531)
        result = privyseal("sandbox", "--port", str(port))
    assert result.exit_code == 2
    assert f"port {port} and the next four can't be used" in result.stderr


def test_the_control_server_answers_json(tmp_path: Path) -> None:
    """What is at the control URL can be asked by a script."""
    with running(tmp_path, "sandbox", "--json", "--port", "0") as sandbox:
        control = sandbox.wait_for_json()["control"]
        with urllib.request.urlopen(control + "/clock", timeout=5) as answer:  # noqa: S310  # ours
            assert json.loads(answer.read()) is not None
