"""`privyseal keys import`, and what seals a secret before it leaves the custodian's machine."""

from typing import Annotated

import typer

from privyseal.v1 import key_service_pb2 as pb
from privyseald.cli import sealing
from privyseald.cli.connect import ClientFile, Json, connect
from privyseald.cli.delivery import (
    Delivery,
    Plain,
    SealedSecretFile,
    SecretFile,
    WrappingTokenFile,
    read_secret,
)
from privyseald.cli.key_options import CLIENT, Environment, KeyId, RequestId, Venue
from privyseald.cli.output import print_json
from privyseald.cli.pairs import Fields, Labels, pairs
from privyseald.cli.sealing import SealingKeyFile
from privyseald.cli.shown_key import show_key


def import_key(
    key_id: KeyId,
    venue: Venue = "",
    secret_file: SecretFile = "",
    sealed_file: SealedSecretFile = None,
    wrapping_token_file: WrappingTokenFile = "",
    sealing_key: SealingKeyFile = None,
    plain: Plain = False,
    algorithm: Annotated[
        str, typer.Option("--algorithm", help="The venue's first if left out.")
    ] = "",
    environment: Environment = "",
    field: Fields = None,
    label: Labels = None,
    request_id: RequestId = "",
    client: ClientFile = CLIENT,
    as_json: Json = False,
) -> None:
    """Write a credential that exists already. The secret is sealed, and never an argument."""
    delivery = Delivery(secret_file, sealed_file, wrapping_token_file, sealing_key, plain)
    delivery.check()
    venue = delivery.venue(key_id, venue)
    request = pb.ImportKeyRequest(
        key_id=key_id,
        venue=venue,
        environment=environment,
        algorithm=algorithm,
        fields=pairs(field, "--field"),
        labels=pairs(label, "--label"),
        request_id=request_id,
    )
    with connect(client) as server:
        delivery.fill(request, server, key_id, venue)
        key = server.import_key(request).key
    show_key(key, as_json=as_json)


def sealing_key(client: ClientFile = CLIENT) -> None:
    """Print the server's public key, for `keys seal --sealing-key`. Compare its id once."""
    with connect(client) as server:
        key = sealing.fetch_sealing_key(server)
    print_json(sealing.public_key_of(key).model_dump())


def seal(
    key_id: KeyId,
    venue: Venue,
    secret_file: SecretFile = "",
    sealing_key: SealingKeyFile = None,
    client: ClientFile = CLIENT,
) -> None:
    """Print a secret sealed to the server, for `keys import --sealed-file`.

    With --sealing-key no server is needed.
    """
    material = read_secret(secret_file)
    if sealing_key is not None:
        key = sealing.read_sealing_key(sealing_key)
    else:
        with connect(client) as server:
            key = sealing.fetch_sealing_key(server)
    print_json(sealing.seal(key, material, key_id, venue).model_dump())
