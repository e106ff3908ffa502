"""How a command brings a secret to the server. It is never an argument."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from privyseal import Client
from privyseal.v1 import key_service_pb2 as pb
from privyseald.cli.output import USAGE, fail
from privyseald.cli.sealing import fetch_sealing_key, read_sealed_file, read_sealing_key, seal
from privyseald.signing.secret import SecretBytes

SecretFile = Annotated[
    str,
    typer.Option(
        "--secret-file",
        help="The file that holds the API secret or private key; '-' for standard input. "
        "Without it you are asked.",
    ),
]
SealedSecretFile = Annotated[
    Path | None, typer.Option("--sealed-file", help="A file from 'privyseal keys seal'.")
]
WrappingTokenFile = Annotated[
    str,
    typer.Option(
        "--wrapping-token-file",
        help="The file that holds a Vault response-wrapping token; '-' for standard input.",
    ),
]
Plain = Annotated[
    bool, typer.Option("--plain", help="Send the secret as it is, under TLS alone; do not seal it.")
]


@dataclass(frozen=True, slots=True)
class Delivery:
    """Which of the ways was chosen; a secret that is read here is sealed unless it is plain."""

    secret_file: str = ""
    sealed_file: Path | None = None
    wrapping_token_file: str = ""
    sealing_key: Path | None = None
    plain: bool = False

    @property
    def seals(self) -> bool:
        """Whether a secret that is read here is sealed here."""
        return not (self.plain or self.sealed_file or self.wrapping_token_file)

    def check(self) -> None:
        """End the program where more than one way was chosen."""
        ways = (
            ("--secret-file", self.secret_file),
            ("--sealed-file", self.sealed_file),
            ("--wrapping-token-file", self.wrapping_token_file),
        )
        chosen = [option for option, value in ways if value]
        if len(chosen) > 1:
            fail(f"give one of {' and '.join(chosen)}", USAGE)
        if self.plain and self.sealing_key:
            fail("give one of --plain and --sealing-key", USAGE)

    def venue(self, key_id: str, venue: str) -> str:
        """Return the venue, which a sealed file tells too."""
        if self.sealed_file is not None:
            return read_sealed_file(self.sealed_file, key_id, venue).venue
        return venue or fail("give the venue with --venue", USAGE)

    def fill(
        self,
        request: pb.ImportKeyRequest | pb.RotateKeyRequest,
        server: Client,
        key_id: str,
        venue: str,
    ) -> None:
        """Put the secret into the request, in the way that was chosen."""
        if self.sealed_file is not None:
            request.sealed = read_sealed_file(self.sealed_file, key_id, venue).content
        elif self.wrapping_token_file:
            token = read_secret(self.wrapping_token_file).reveal()
            request.wrapping_token = token.decode("ascii", "replace")
        elif self.plain:
            request.plaintext = read_secret(self.secret_file).reveal()
        else:
            material = read_secret(self.secret_file)
            given = self.sealing_key
            key = read_sealing_key(given) if given else fetch_sealing_key(server)
            request.sealed = seal(key, material, key_id, venue).content


def read_secret(secret_file: str) -> SecretBytes:
    """Return the secret without the line break that editors put at the end of a file."""
    if not secret_file:
        return SecretBytes(str(typer.prompt("Secret", hide_input=True, err=True)))
    if secret_file == "-":  # noqa: S105 - the name of standard input
        return SecretBytes(sys.stdin.buffer.read().rstrip(b"\r\n"))
    try:
        return SecretBytes(Path(secret_file).read_bytes().rstrip(b"\r\n"))
    except OSError as error:
        fail(f"{secret_file} can't be read: {error.strerror}", USAGE)
