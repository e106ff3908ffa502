from pathlib import Path
from typing import Any

import pytest

from privyseal import AsyncClient, Client, ConfigurationError, Tls
from privyseald.cli.certificates import TryOutCa


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    """Files that are right."""
    folder = tmp_path_factory.mktemp("tls")
    ca = TryOutCa()
    pem = ca.caller("spiffe://privyseal.test/trader")
    (folder / "ca.pem").write_bytes(ca.certificate)
    (folder / "client.pem").write_bytes(pem.certificate)
    (folder / "key.pem").write_bytes(pem.private_key)
    return Tls(folder / "ca.pem", folder / "client.pem", folder / "key.pem")


_PLAIN = {"plaintext": True}


@pytest.mark.parametrize(
    ("target", "settings", "setting"),
    [
        ([], _PLAIN, "target"),
        ("", _PLAIN, "target"),
        ("localhost", _PLAIN, "target"),
        ("localhost:0", _PLAIN, "target"),
        ("localhost:65536", _PLAIN, "target"),
        ("https://localhost:1", _PLAIN, "target"),
        ("localhost:1/path", _PLAIN, "target"),
        ("::1:7443", _PLAIN, "target"),
        ("unix:relative", _PLAIN, "target"),
        ("unix:///run/x", _PLAIN, "target"),
        (["unix:/run/x", "localhost:1"], _PLAIN, "target"),
        ("localhost:1", {}, "tls"),
        ("signer.example:1", _PLAIN, "plaintext"),
        ("10.0.0.1:1", _PLAIN, "plaintext"),
        ("0.0.0.0:1", _PLAIN, "plaintext"),
        ("[::2]:1", _PLAIN, "plaintext"),
        ("[::ffff:127.0.0.1]:1", _PLAIN, "plaintext"),
        ("localhost.example:1", _PLAIN, "plaintext"),
        (["localhost:1", "signer.example:1"], _PLAIN, "plaintext"),
        ("localhost:1", {**_PLAIN, "token_file": "/x"}, "token_file"),
        ("localhost:1", {**_PLAIN, "token": lambda: "x"}, "token"),
        ("localhost:1", {"token": lambda: "x", "token_file": "/x"}, "token"),
        ("localhost:1", {**_PLAIN, "timeout_s": 0}, "timeout_s"),
        ("localhost:1", {**_PLAIN, "timeout_s": float("nan")}, "timeout_s"),
        ("localhost:1", {**_PLAIN, "timeout_s": float("inf")}, "timeout_s"),
        ("localhost:1", {**_PLAIN, "max_attempts": 0}, "max_attempts"),
        ("localhost:1", {"tls": Tls("/nowhere/ca.pem")}, "tls.ca"),
        ("localhost:1", {"tls": Tls("/nowhere", certificate="/x")}, "tls.private_key"),
        ("localhost:1", {"tls": Tls("/nowhere", private_key="/x")}, "tls.certificate"),
    ],
)
def test_what_can_not_be_right_is_told_with_its_name(
    target: Any, settings: dict[str, Any], setting: str
) -> None:
    """By both clients, when they are made."""
    for kind in (Client, AsyncClient):
        with pytest.raises(ConfigurationError) as raised:
            kind(target, **settings)
        assert setting == raised.value.setting


def test_tls_settings_that_contradict(tls: Tls) -> None:
    """Each is told."""
    for target, settings, setting in (
        ("unix:/run/x", {}, "tls"),
        ("localhost:1", {"plaintext": True}, "plaintext"),
        ("localhost:1", {"token_file": "/nowhere/token"}, "token_file"),
    ):
        with pytest.raises(ConfigurationError) as raised:
            Client(target, tls=tls, **settings)
        assert setting == raised.value.setting


@pytest.mark.parametrize(
    "target", ["localhost:1", "LOCALHOST:1", "127.0.0.1:1", "127.8.9.1:1", "[::1]:1", "unix:/a/b"]
)
def test_plaintext_stays_on_this_host(target: str) -> None:
    """Loopback by name, by address, and a socket."""
    with Client(target, plaintext=True) as client:
        assert f"Client('{target}', plaintext=True, timeout_s=10, max_attempts=4)" == repr(client)


def test_what_a_client_shows_of_itself(tls: Tls, tmp_path: Path) -> None:
    """Paths and figures; no token and nothing of what files hold."""
    token_file = tmp_path / "token"
    token_file.write_text("TOKEN-TEXT")
    with Client(["a:1", "b:2"], tls=tls, token_file=token_file) as client:
        shown = repr(client) + repr(vars(client)) + repr(vars(client._pool))
    with Client("a:1", tls=tls, token=lambda: "TOKEN-TEXT") as client:
        assert "token=given" in repr(client)
    assert "'a:1', 'b:2'" in shown
    assert str(token_file) in shown
    for secret in ("TOKEN-TEXT", "BEGIN", "function"):
        assert secret not in shown
