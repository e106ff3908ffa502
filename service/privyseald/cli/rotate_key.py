"""`privyseal keys rotate`: a new credential in place of the old one."""

import re
import time
from typing import Annotated

import typer

from privyseal import Client
from privyseal.v1 import key_service_pb2 as pb
from privyseald.cli.connect import ClientFile, Json, connect
from privyseald.cli.delivery import (
    Delivery,
    Plain,
    SealedSecretFile,
    SecretFile,
    WrappingTokenFile,
)
from privyseald.cli.key_options import CLIENT, KeyId, RequestId
from privyseald.cli.output import USAGE, fail
from privyseald.cli.pairs import Fields, pairs
from privyseald.cli.sealing import SealingKeyFile
from privyseald.cli.shown_key import show_key

_SPAN = re.compile(r"([1-9][0-9]{0,5})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def rotate_key(
    key_id: KeyId,
    accept_previous_for: Annotated[
        str,
        typer.Option(
            "--accept-previous-for",
            help="How long the old credential is accepted by its version, such as 15m, 24h or "
            "7d. Without it the old one is refused at once.",
        ),
    ] = "",
    generate: Annotated[
        bool,
        typer.Option("--generate", help="Generate a new secp256k1, ed25519 or ecdsa-p256 key."),
    ] = False,
    secret_file: SecretFile = "",
    sealed_file: SealedSecretFile = None,
    wrapping_token_file: WrappingTokenFile = "",
    sealing_key: SealingKeyFile = None,
    plain: Plain = False,
    venue: Annotated[
        str,
        typer.Option(
            "--venue", help="The key's venue, to seal for; asked of the server if left out."
        ),
    ] = "",
    field: Fields = None,
    request_id: RequestId = "",
    client: ClientFile = CLIENT,
    as_json: Json = False,
) -> None:
    """Put a new credential in place of the old one. The new version signs at once."""
    delivery = Delivery(secret_file, sealed_file, wrapping_token_file, sealing_key, plain)
    delivery.check()
    if generate and delivery != Delivery():
        fail("--generate makes the secret; give no other", USAGE)
    request = pb.RotateKeyRequest(
        name=f"keys/{key_id}", fields=pairs(field, "--field"), request_id=request_id
    )
    if accept_previous_for:
        end_s = int(time.time()) + _seconds(accept_previous_for)
        request.accept_previous_until_time.FromSeconds(end_s)
    with connect(client) as server:
        if generate:
            request.generate = True
        else:
            delivery.fill(request, server, key_id, venue or _venue(server, key_id, delivery))
        key = server.rotate_key(request).key
    show_key(key, as_json=as_json)


def _seconds(span: str) -> int:
    match = _SPAN.fullmatch(span)
    if match is None:
        fail("--accept-previous-for takes a span such as 90s, 15m, 24h or 7d", USAGE)
    return int(match[1]) * _SECONDS[match[2]]


def _venue(server: Client, key_id: str, delivery: Delivery) -> str:
    """Return the venue for which to seal; what is not sealed here needs none."""
    if not delivery.seals:
        return ""
    found = server.get_key(pb.GetKeyRequest(name=f"keys/{key_id}")).key.venue
    return found or fail("the server does not tell the key's venue", USAGE, "give it with --venue")
