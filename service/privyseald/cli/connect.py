"""How commands reach a server: a small TOML file beside the caller's certificate."""

import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from pydantic import BaseModel, ConfigDict, ValidationError

from privyseal import Client, ConfigurationError, PrivysealError, Tls
from privyseald.cli.output import AWAY, REFUSED, USAGE, fail

CLIENT_FILE = "client.toml"

ClientFile = Annotated[
    Path,
    typer.Option(
        "--client",
        help="Server and certificates; 'privyseal init' writes one.",
        envvar="PRIVYSEAL_CLIENT",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


_token_file: ContextVar[Path | None] = ContextVar("token_file", default=None)

# What the client calls its settings, and the file.
_IN_THE_FILE = {
    "target": "server",
    "tls.ca": "ca_file",
    "tls.certificate": "certificate_file",
    "tls.private_key": "private_key_file",
}


def use_token_file(path: Path | None) -> None:
    """Have the connections of this command bring the token of a file, whatever the client file
    says.
    """
    _token_file.set(path)


class _ClientConfig(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    server: str
    ca_file: Path | None = None
    certificate_file: Path | None = None
    private_key_file: Path | None = None
    token_file: Path | None = None
    plaintext: bool = False
    timeout_s: float = 15.0


@contextmanager
def connect(client_file: Path) -> Iterator[Client]:
    """Give a client as the file says. A refusal within ends the program with its advice."""
    with _open(client_file) as server:
        try:
            yield server
        except PrivysealError as error:
            _give_up(error)


def _open(client_file: Path) -> Client:
    settings = _read(client_file)
    base = client_file.resolve().parent
    tls = None
    if not settings.plaintext:
        if settings.ca_file is None:
            fail(
                f"{client_file}: set ca_file, certificate_file and private_key_file, or ca_file "
                "and token_file",
                USAGE,
                "or plaintext = true for a Unix socket, or a server on loopback that allows it",
            )
        certificate, private_key = settings.certificate_file, settings.private_key_file
        tls = Tls(
            base / settings.ca_file,
            base / certificate if certificate else None,
            base / private_key if private_key else None,
        )
    try:
        return Client(
            settings.server,
            tls=tls,
            # An option is relative to where the command is given, as always.
            token_file=_token_file.get() or (settings.token_file and base / settings.token_file),
            plaintext=settings.plaintext,
            timeout_s=settings.timeout_s,
        )
    except ConfigurationError as error:
        fail(
            f"{client_file}: {_IN_THE_FILE.get(error.setting, error.setting)}: {error.message}",
            USAGE,
        )


def _read(client_file: Path) -> _ClientConfig:
    try:
        return _ClientConfig.model_validate(tomllib.loads(client_file.read_text("utf-8")))
    except OSError:
        fail(
            f"{client_file} can't be read",
            USAGE,
            "name the file with --client or PRIVYSEAL_CLIENT; 'privyseal init DIRECTORY' makes one",
        )
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        fail(f"{client_file} is not TOML", USAGE)
    except ValidationError as error:
        mistake = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in mistake["loc"])
        fail(f"{client_file}: {place}: {mistake['msg']}", USAGE)


def _give_up(error: PrivysealError) -> NoReturn:
    """End the program with what the server said."""
    if error.code == "UNAVAILABLE" and not error.reason:
        fail(
            "the server can't be reached, or does not take this certificate",
            AWAY,
            "check 'server' and the files in the client file, and that 'privyseal serve' runs",
        )
    advice = f"try again in {error.retry_after_s:g} s" if error.retry_after_s else ""
    fail(str(error), AWAY if error.code == "UNAVAILABLE" else REFUSED, advice)
