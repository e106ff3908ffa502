"""How commands reach a server: a small TOML file beside the caller's certificate."""

import os
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from pydantic import BaseModel, ConfigDict, ValidationError

from privyseal import Connection, Credentials, PrivysealError
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


class _ClientConfig(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    server: str
    ca_file: Path | None = None
    certificate_file: Path | None = None
    private_key_file: Path | None = None
    plaintext: bool = False
    timeout_s: float = 15.0


@contextmanager
def connect(client_file: Path) -> Iterator[Connection]:
    """Give a connection as the file says. A refusal within ends the program with its advice."""
    with _open(client_file) as server:
        try:
            yield server
        except PrivysealError as error:
            _give_up(error)


def _open(client_file: Path) -> Connection:
    try:
        settings = _ClientConfig.model_validate(tomllib.loads(client_file.read_text("utf-8")))
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
    files = (settings.ca_file, settings.certificate_file, settings.private_key_file)
    if settings.plaintext:
        return Connection(settings.server, None, timeout_s=settings.timeout_s)
    ca_file, certificate_file, private_key_file = files
    if ca_file is None or certificate_file is None or private_key_file is None:
        fail(
            f"{client_file}: set ca_file, certificate_file and private_key_file",
            USAGE,
            "or plaintext = true for a server on loopback that allows it",
        )
    base = client_file.resolve().parent
    try:
        return Connection(
            settings.server,
            Credentials(base / ca_file, base / certificate_file, base / private_key_file),
            timeout_s=settings.timeout_s,
        )
    except OSError as error:
        fail(f"{error.filename}: {os.strerror(error.errno or 0)}", USAGE)


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
