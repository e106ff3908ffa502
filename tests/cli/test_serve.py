import os
import signal
import socket
import threading
from pathlib import Path

import pytest
from typer.testing import Result

from cli.program import Site, prepare, privyseal, running


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """What `privyseal init` writes, with free ports."""
    prepare(tmp_path / "new", {})
    return tmp_path / "new"


def config_of(directory: Path) -> str:
    """Return the path of the configuration."""
    return str(directory / "privyseal.toml")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_in_order(directory: Path, number: int) -> None:
    """On SIGTERM or Ctrl-C the server drains, stops, and exits with 0."""
    with running(directory, "serve", "--config", config_of(directory)) as server:
        serving = server.wait_for_event("serving")
        server.wait_for_event("ready")
        exit_code = server.stop(number)
    assert exit_code == 0
    assert [event["event"] for event in server.events()] == [
        "certificate in force",
        "serving",
        "ready",
        "draining",
        "audit checkpoint",
        "stopped",
    ]
    assert serving["tls"] is True
    assert serving["store"] == f"embedded://{directory.resolve()}/store.db"
    assert server.stdout_file.read_text() == ""


def serve_shortly(directory: Path) -> Result:
    """Serve in this process. A server that starts against expectation is ended after a while."""

    def end() -> None:
        if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
            os.kill(os.getpid(), signal.SIGTERM)

    timer = threading.Timer(5.0, end)
    timer.start()
    try:
        return privyseal("serve", "--config", config_of(directory))
    finally:
        timer.cancel()


def test_a_store_in_use_is_not_shared(site: Site) -> None:
    """A second server on the same files does not start, and says why."""
    result = serve_shortly(site.directory)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "is in use by another process" in result.stderr
    assert "keep keys in Vault when more than one process must sign" in result.stderr


def refused(directory: Path) -> str:
    """Return what `serve` says when it does not start."""
    result = serve_shortly(directory)
    assert (result.exit_code, result.stdout) == (2, "")
    # A server that fails late has begun its audit log, and may log the last checkpoint.
    assert [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert "Traceback" not in result.stderr
    return str(result.stderr)


def edit(directory: Path, old: str, new: str, name: str = "privyseal.toml") -> None:
    """Change a file of the directory."""
    file = directory / name
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_a_port_in_use_is_named(directory: Path) -> None:
    """Another program on the port: exit code 2, with setting, address and remedy."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        edit(directory, 'listen = "127.0.0.1:0"\nops', f'listen = "127.0.0.1:{port}"\nops')
        words = refused(directory).splitlines()[-1]
    assert words == (
        f"error: server.listen: 127.0.0.1:{port} can't be listened on; is another program using "
        "the port? Give a free one, or port 0 for any"
    )


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("[store]", "[store]\nhard_tll_ms = 1", "store.hard_tll_ms is no setting"),
        ("[state]", "[stat]\n[state]", "stat is no setting"),
        ('path = "nonces.high-water"', "", "state.path is missing"),
        ("drain_delay_ms = 0", "drain_delay_ms = -1", "server.drain_delay_ms: Input should be"),
        ("[audit]", "[outbound]\ntimeout_ms = 0\n\n[audit]", "outbound.timeout_ms: Input"),
        ("drain_delay_ms = 0", 'drain_delay_ms = "soon"', "server.drain_delay_ms: Input should"),
        ('"127.0.0.1:0"\nops', '"127.0.0.1"\nops', "server.listen: must be a host and a port"),
        ('"127.0.0.1:0"\nops', '"127.0.0.1:99999"\nops', "server.listen: must be a host and a"),
        ('"store.key"', '"nothing.key"', "store.key_file: can't read"),
        ("[store]", "[store", "is not TOML"),
        ('"tls/ca.pem"', '"tls/nothing.pem"', "server.tls.client_ca_file: "),
        ('"tls/ca.pem"', '"store.key"', "store.key holds no PEM certificate"),
        ('"tls/server-key.pem"', '"tls/client-key.pem"', "is not the key of the first"),
        ('"tls/server-key.pem"', '"tls/server.pem"', "server.tls.private_key_file: "),
        ('"policy.yaml"', '"nothing.yaml"', "can't be read; give a YAML file"),
        ('"audit.jsonl"', '"tls"', "can't be opened for appending (Is a directory)"),
        ('"nonces.high-water"', '"tls"', "state.path: "),
        ("[state]", "[venues.mtgox]\nbase_urls = {}\n\n[state]", "error: venues.mtgox: is no"),
        (
            "[state]",
            '[venues.kiiex.base_urls]\nmoon = "https://moon.test"\n\n[state]',
            "error: venues.kiiex.base_urls.moon: is no environment of kiiex",
        ),
    ],
)  # fmt: skip
def test_a_wrong_configuration_is_told_by_setting(
    directory: Path, old: str, new: str, words: str
) -> None:
    """What is wrong is named with its setting, without a trace of the program."""
    edit(directory, old, new)
    assert words in refused(directory)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("version: 1", "version: 2", "version: Input should be"),
        ("      - sign\n", "      - fly\n", "rules[0].allow[0]: 'fly' names nothing"),
        ('keys: ["*"]', "keys: []", "rules[0].keys: List should have at least 1 item"),
        ("rules:", "rules", "is not YAML"),
    ],
)
def test_a_wrong_policy_does_not_start(directory: Path, old: str, new: str, words: str) -> None:
    """A policy that does not load stops the start, with the place in the file."""
    edit(directory, old, new, "policy.yaml")
    assert words in refused(directory)


def test_a_secret_that_others_can_read_is_refused(directory: Path) -> None:
    """A private key or store key with loose permissions stops the start, with the command."""
    (directory / "store.key").chmod(0o644)
    assert f"run: chmod 600 {directory.resolve()}/store.key" in refused(directory).replace("\n", "")


def test_a_configuration_that_is_not_there(tmp_path: Path) -> None:
    """The answer says how to get one."""
    words = refused(tmp_path)
    assert "can't be read; 'privyseal init DIRECTORY' writes a configuration" in words


def test_a_failed_start_leaves_nothing_locked(directory: Path) -> None:
    """After a start that failed late, the next one finds its files free."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        edit(directory, 'listen = "127.0.0.1:0"\nops', f'listen = "127.0.0.1:{port}"\nops')
        assert [f":{port} can't be listened on" in refused(directory) for _ in "ab"] == [True] * 2


def test_the_help_shows_what_is_for_people() -> None:
    """`--worker` is between a supervisor and its workers, and in no help."""
    result = privyseal("serve", "--help")
    assert result.exit_code == 0
    assert "--config" in result.stdout
    assert "--worker" not in result.stdout
