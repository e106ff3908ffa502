"""`privyseal keys`: a custodian's verbs."""

from typing import Annotated

import typer

from privyseal import to_plain
from privyseal.v1 import key_pb2, signing_service_pb2
from privyseal.v1 import key_service_pb2 as pb
from privyseald.cli import import_key, resync_nonce, rotate_key
from privyseald.cli.connect import ClientFile, Json, connect
from privyseald.cli.key_options import CLIENT, Environment, KeyId, RequestId, Venue
from privyseald.cli.output import USAGE, console, fail, print_json, print_table
from privyseald.cli.pairs import Fields, Labels, Options, pairs
from privyseald.cli.shown_key import show_key, state_name

app = typer.Typer(no_args_is_help=True, help="Look after keys.")
app.command("import")(import_key.import_key)
app.command("rotate")(rotate_key.rotate_key)
app.command("resync-nonce")(resync_nonce.resync_nonce)
app.command("sealing-key")(import_key.sealing_key)
app.command("seal")(import_key.seal)


@app.command("list")
def list_keys(client: ClientFile = CLIENT, as_json: Json = False) -> None:
    """List the keys that you may read."""
    keys: list[key_pb2.Key] = []
    request = pb.ListKeysRequest(page_size=1000)
    with connect(client) as server:
        while True:
            answer = server.list_keys(request)
            keys += answer.keys
            if not answer.next_page_token:
                break
            request.page_token = answer.next_page_token
    if as_json:
        print_json([to_plain(key) for key in keys])
        return
    print_table(
        ("key", "venue", "environment", "algorithm", "public id", "state", "version"),
        [
            (
                key.name.removeprefix("keys/"),
                key.venue,
                key.environment,
                key.algorithm,
                key.public_id,
                state_name(key),
                str(key.version),
            )
            for key in keys
        ],
    )


@app.command("get")
def get(key_id: KeyId, client: ClientFile = CLIENT, as_json: Json = False) -> None:
    """Show a key's public facts."""
    with connect(client) as server:
        key = server.get_key(pb.GetKeyRequest(name=f"keys/{key_id}")).key
    show_key(key, as_json=as_json)


@app.command("create")
def create(
    key_id: KeyId,
    venue: Venue,
    generate: Annotated[
        str, typer.Option("--generate", help="Generate a key: secp256k1, ed25519 or ecdsa-p256.")
    ] = "",
    using: Annotated[
        str, typer.Option("--using", help="Have the venue issue a key to this key's account.")
    ] = "",
    description: Annotated[
        str, typer.Option("--description", help="What the venue will call the key.")
    ] = "",
    allow_ip: Annotated[
        list[str] | None, typer.Option("--allow-ip", help="An address to accept the key from.")
    ] = None,
    environment: Environment = "",
    field: Fields = None,
    option: Options = None,
    label: Labels = None,
    request_id: RequestId = "",
    client: ClientFile = CLIENT,
    as_json: Json = False,
) -> None:
    """Make a key that goes straight into the secret store."""
    if bool(generate) == bool(using):
        fail("give one of --generate and --using", USAGE)
    request = signing_service_pb2.CreateKeyRequest(
        key_id=key_id,
        venue=venue,
        environment=environment,
        labels=pairs(label, "--label"),
        request_id=request_id,
    )
    if generate:
        request.generated.algorithm = generate
        request.generated.fields.update(pairs(field, "--field"))
    else:
        request.venue_issued.using_key = f"keys/{using}"
        request.venue_issued.description = description
        request.venue_issued.allowed_ips.extend(allow_ip or ())
        request.venue_issued.options.update(pairs(option, "--option"))
    with connect(client) as server:
        key = server.create_key(request).key
    show_key(key, as_json=as_json)


@app.command("disable")
def disable(key_id: KeyId, client: ClientFile = CLIENT, as_json: Json = False) -> None:
    """Stop a key from being used."""
    with connect(client) as server:
        request = pb.DisableKeyRequest(name=f"keys/{key_id}")
        key = server.disable_key(request).key
    show_key(key, as_json=as_json)


@app.command("enable")
def enable(key_id: KeyId, client: ClientFile = CLIENT, as_json: Json = False) -> None:
    """Let a disabled key be used again."""
    with connect(client) as server:
        request = pb.EnableKeyRequest(name=f"keys/{key_id}")
        key = server.enable_key(request).key
    show_key(key, as_json=as_json)


@app.command("delete")
def delete(
    key_id: KeyId,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    client: ClientFile = CLIENT,
) -> None:
    """Remove a key and all its versions for good."""
    if not yes:
        typer.confirm(f"Remove {key_id} for good? Nothing can bring it back", abort=True)
    with connect(client) as server:
        server.delete_key(pb.DeleteKeyRequest(name=f"keys/{key_id}"))
    console.print(f"{key_id} is gone")
