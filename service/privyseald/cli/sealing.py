"""Sealing a secret to a server, which needs the server's public key and nothing else."""

import base64
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from pydantic import BaseModel, ConfigDict, ValidationError

from privyseal import Client
from privyseal.v1 import key_service_pb2 as pb
from privyseald.cli.output import USAGE, fail
from privyseald.errors import FieldInvalid, VenueUnknown
from privyseald.key import check_key_id
from privyseald.signing.sealed_box import SUITE, SealingKey
from privyseald.signing.sealed_secret import seal_secret
from privyseald.signing.secret import SecretBytes
from privyseald.venues.registry import Venues

_T = TypeVar("_T", bound=BaseModel)
_AGAIN = "fetch it with 'privyseal keys sealing-key'"

SealingKeyFile = Annotated[
    Path | None,
    typer.Option(
        "--sealing-key",
        help="The server's public key, from 'privyseal keys sealing-key'; asked of the server if "
        "left out.",
    ),
]


class PublicKey(BaseModel):
    """A server's public key, as a file holds it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key_id: str
    public_key: str
    suite: str


class SealedFile(BaseModel):
    """A sealed secret, and what it is for, as a file holds it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key_id: str
    venue: str
    sealing_key_id: str
    sealed: str

    @property
    def content(self) -> bytes:
        """The bytes to send. Raises ValueError."""
        return base64.b64decode(self.sealed, validate=True)


def fetch_sealing_key(server: Client) -> SealingKey:
    """Return the server's key. What ends TLS between could give another: see --sealing-key."""
    answer = server.get_sealing_key(pb.GetSealingKeyRequest())
    return SealingKey.from_raw(answer.public_key)


def public_key_of(key: SealingKey) -> PublicKey:
    """Return what a file shall hold of a key."""
    text = base64.b64encode(key.raw).decode()
    return PublicKey(key_id=key.fingerprint, public_key=text, suite=SUITE)


def read_sealing_key(path: Path) -> SealingKey:
    """Return the key in a file. Ends the program where there is none."""
    told = _read(path, PublicKey, _AGAIN)
    try:
        key = SealingKey.from_raw(base64.b64decode(told.public_key, validate=True))
    except ValueError:
        fail(f"{path} holds no public key", USAGE, _AGAIN)
    if (told.suite, told.key_id) != (SUITE, key.fingerprint):
        fail(f"{path}: key_id or suite does not belong to the public key", USAGE, _AGAIN)
    return key


def read_sealed_file(path: Path, key_id: str, venue: str) -> SealedFile:
    """Return what a file holds, which must be for this key id, and venue if one is given."""
    advice = "make one with 'privyseal keys seal'"
    found = _read(path, SealedFile, advice)
    if found.key_id != key_id or venue not in ("", found.venue):
        fail(f"{path} is sealed for key '{found.key_id}' at '{found.venue}'", USAGE, advice)
    try:
        return found if found.content else fail(f"{path}: 'sealed' is empty", USAGE, advice)
    except ValueError:
        fail(f"{path}: 'sealed' is not base64", USAGE, advice)


def seal(key: SealingKey, material: SecretBytes, key_id: str, venue: str) -> SealedFile:
    """Return the sealed secret. Ends the program where key id or venue can't be meant."""
    try:
        check_key_id(key_id)
        Venues().get(venue)
    except (FieldInvalid, VenueUnknown) as error:
        fail(error.message, USAGE)
    sealed = base64.b64encode(seal_secret(key, material, key_id, venue)).decode()
    return SealedFile(key_id=key_id, venue=venue, sealing_key_id=key.fingerprint, sealed=sealed)


def _read(path: Path, kind: type[_T], advice: str) -> _T:
    try:
        return kind.model_validate_json(path.read_bytes())
    except OSError as error:
        fail(f"{path} can't be read: {error.strerror}", USAGE, advice)
    except ValidationError:
        fail(f"{path} is not what it should be", USAGE, advice)
