"""`privyseal keys`: a custodian's verbs."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from privyseal import to_plain
from privyseal.v1 import key_pb2, signing_service_pb2
from privyseal.v1 import key_service_pb2 as pb
from privyseald.cli.connect import CLIENT_FILE, ClientFile, Json, connect
from privyseald.cli.output import USAGE, console, fail, print_facts, print_json, print_table
from privyseald.cli.pairs import Fields, Labels, Options, pairs

app = typer.Typer(no_args_is_help=True, help="Look after keys.")

KeyId = Annotated[str, typer.Argument(help="The key's id, such as 'whitebit-main'.")]
Venue = Annotated[str, typer.Option("--venue", help="The venue, such as 'whitebit'.")]
Environment = Annotated[
    str, typer.Option("--environment", help="The venue's environment; its first if left out.")
]
RequestId = Annotated[
    str, typer.Option("--request-id", help="A UUID; a retry with it does nothing twice.")
]
_CLIENT = Path(CLIENT_FILE)


@app.command("list")
def list_keys(client: ClientFile = _CLIENT, as_json: Json = False) -> None:
    """List the keys that you may read."""
    keys: list[key_pb2.Key] = []
    request = pb.ListKeysRequest(page_size=1000)
    with connect(client) as server:
        while True:
            answer = server.call(server.keys.ListKeys, request)
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
                _state(key),
                str(key.version),
            )
            for key in keys
        ],
    )


@app.command("get")
def get(key_id: KeyId, client: ClientFile = _CLIENT, as_json: Json = False) -> None:
    """Show a key's public facts."""
    with connect(client) as server:
        key = server.call(server.keys.GetKey, pb.GetKeyRequest(name=f"keys/{key_id}")).key
    _show(key, as_json=as_json)


@app.command("import")
def import_key(
    key_id: KeyId,
    venue: Venue,
    secret_file: Annotated[
        str,
        typer.Option(
            "--secret-file",
            help="The file that holds the API secret or private key; '-' for standard input. "
            "Without it you are asked.",
        ),
    ] = "",
    algorithm: Annotated[
        str, typer.Option("--algorithm", help="The venue's first if left out.")
    ] = "",
    environment: Environment = "",
    field: Fields = None,
    label: Labels = None,
    request_id: RequestId = "",
    client: ClientFile = _CLIENT,
    as_json: Json = False,
) -> None:
    """Write a credential that exists already. The secret is never an argument."""
    request = pb.ImportKeyRequest(
        key_id=key_id,
        venue=venue,
        environment=environment,
        algorithm=algorithm,
        fields=pairs(field, "--field"),
        labels=pairs(label, "--label"),
        request_id=request_id,
        plaintext=_read_secret(secret_file),
    )
    with connect(client) as server:
        key = server.call(server.keys.ImportKey, request).key
    _show(key, as_json=as_json)


@app.command("create")
def create(
    key_id: KeyId,
    venue: Venue,
    generate: Annotated[
        str, typer.Option("--generate", help="Generate a key: 'secp256k1' or 'ed25519'.")
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
    client: ClientFile = _CLIENT,
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
        key = server.call(server.signing.CreateKey, request).key
    _show(key, as_json=as_json)


@app.command("disable")
def disable(key_id: KeyId, client: ClientFile = _CLIENT, as_json: Json = False) -> None:
    """Stop a key from being used."""
    with connect(client) as server:
        request = pb.DisableKeyRequest(name=f"keys/{key_id}")
        key = server.call(server.keys.DisableKey, request).key
    _show(key, as_json=as_json)


@app.command("enable")
def enable(key_id: KeyId, client: ClientFile = _CLIENT, as_json: Json = False) -> None:
    """Let a disabled key be used again."""
    with connect(client) as server:
        request = pb.EnableKeyRequest(name=f"keys/{key_id}")
        key = server.call(server.keys.EnableKey, request).key
    _show(key, as_json=as_json)


@app.command("delete")
def delete(
    key_id: KeyId,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    client: ClientFile = _CLIENT,
) -> None:
    """Remove a key and all its versions for good."""
    if not yes:
        typer.confirm(f"Remove {key_id} for good? Nothing can bring it back", abort=True)
    with connect(client) as server:
        server.call(server.keys.DeleteKey, pb.DeleteKeyRequest(name=f"keys/{key_id}"))
    console.print(f"{key_id} is gone")


def _read_secret(secret_file: str) -> bytes:
    """Return the secret without the line break that editors put at the end of a file."""
    if not secret_file:
        return str(typer.prompt("Secret", hide_input=True, err=True)).encode()
    if secret_file == "-":  # noqa: S105 - the name of standard input
        return sys.stdin.buffer.read().rstrip(b"\r\n")
    try:
        return Path(secret_file).read_bytes().rstrip(b"\r\n")
    except OSError as error:
        fail(f"{secret_file} can't be read: {error.strerror}", USAGE)


def _show(key: key_pb2.Key, *, as_json: bool) -> None:
    if as_json:
        print_json(to_plain(key))
        return
    print_facts(
        (
            ("key", key.name),
            ("venue", f"{key.venue} {key.environment}".strip()),
            ("algorithm", key.algorithm),
            ("public id", key.public_id),
            ("public key", key.public_key_pem.strip()),
            ("state", _state(key)),
            ("version", str(key.version)),
            ("labels", ", ".join(f"{name}={value}" for name, value in sorted(key.labels.items()))),
            ("created", key.create_time.ToJsonString()),
        )
    )


def _state(key: key_pb2.Key) -> str:
    return key_pb2.KeyState.Name(key.state).removeprefix("KEY_STATE_")
