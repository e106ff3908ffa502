import asyncio
from pathlib import Path

import pytest

from cli.program import Site, privyseal
from service import Service
from tokens import Issuer, jwt_section


def listed(client_file: Path, text: str | None = None) -> tuple[int, str]:
    """Return exit code and error of a command with this client file."""
    if text is not None:
        client_file.write_text(text)
    result = privyseal("keys", "list", "--client", str(client_file))
    assert result.stdout == ""
    return result.exit_code, result.stderr.replace("\n", " ")


def test_a_client_file_that_is_not_there(tmp_path: Path) -> None:
    """The answer says how to name one and how to get one."""
    code, words = listed(tmp_path / "nothing.toml")
    assert code == 2
    assert "nothing.toml can't be read" in words
    assert "name the file with --client or PRIVYSEAL_CLIENT" in words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("server", "is not TOML"),
        ("", "client.toml: server: Field required"),
        ('server = "a:1"\npassword = "x"', "client.toml: password: Extra inputs are not"),
        ('server = "a:1"', "set ca_file, certificate_file and private_key_file"),
        (
            'server = "a:1"\nca_file = "a"\ncertificate_file = "b"\nprivate_key_file = "c"',
            "/a: No such file or directory",
        ),
    ],
)
def test_a_client_file_that_is_wrong(tmp_path: Path, text: str, words: str) -> None:
    """Each mistake is told with the file: exit code 2."""
    code, said = listed(tmp_path / "client.toml", text)
    assert code == 2
    assert words in said


def test_a_server_that_is_away(tmp_path: Path) -> None:
    """Where nobody answers the exit code is 3, and the answer says what to look at."""
    code, words = listed(tmp_path / "client.toml", 'server = "127.0.0.1:1"\nplaintext = true\n')
    assert code == 3
    assert "the server can't be reached, or does not take this certificate" in words
    assert "check 'server' and the files in the client file" in words


def test_a_certificate_of_another_server(site: Site, tmp_path: Path) -> None:
    """A caller whom the server does not know is away as well: exit code 3."""
    privyseal("init", str(tmp_path / "other"))
    server = site.client_file.read_text().splitlines()[1]
    other = (tmp_path / "other" / "client.toml").read_text().splitlines()
    text = "\n".join([server, *(line for line in other if "_file" in line)])
    code, words = listed(tmp_path / "other" / "client.toml", text)
    assert code == 3
    assert "does not take this certificate" in words


def test_the_client_file_may_be_named_by_a_variable(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PRIVYSEAL_CLIENT stands for `--client`."""
    monkeypatch.setenv("PRIVYSEAL_CLIENT", str(site.client_file))
    assert privyseal("venues", "list").exit_code == 0


async def test_a_token_and_a_socket(tmp_path: Path) -> None:
    """Callers without a certificate: a token of the client file or of `--token-file`, and the
    Unix socket.
    """
    issuer = Issuer()
    (tmp_path / "run").mkdir(mode=0o755)
    socket = tmp_path / "run" / "privyseal.sock"
    section = jwt_section(tmp_path, issuer, listen="127.0.0.1:0")
    server = {"jwt": section, "unix_socket": {"path": socket, "caller": "unix:maker"}}
    files = {"right": issuer.token(), "wrong": "no.token.atall"}
    for name, token in files.items():
        (tmp_path / name).write_text(token)
    async with Service(tmp_path, server=server) as service:
        port = service.app.server.token_port
        over_tls = f'server = "localhost:{port}"\nca_file = "ca.pem"\n'
        for text, options, code in (
            (over_tls + 'token_file = "right"\n', (), 0),
            (over_tls + 'token_file = "wrong"\n', (), 1),
            (over_tls + 'token_file = "wrong"\n', ("--token-file", str(tmp_path / "right")), 0),
            (over_tls, ("--token-file", str(tmp_path / "right")), 0),
            (over_tls, (), 1),
            (f'server = "unix:{socket}"\nplaintext = true\n', (), 0),
            (f'server = "unix:{socket}"\nca_file = "ca.pem"\n', (), 2),
            (f'server = "unix:{socket}"\nplaintext = true\ntoken_file = "right"\n', (), 2),
        ):
            (tmp_path / "client.toml").write_text(text)
            command = (*options, "venues", "list", "--client", str(tmp_path / "client.toml"))
            result = await asyncio.to_thread(privyseal, *command)
            assert code == result.exit_code, (text, options, result.stderr)
