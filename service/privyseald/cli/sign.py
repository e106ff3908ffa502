"""`privyseal sign`, `login` and `logout`: what a trading service does, by hand."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from privyseal import to_plain
from privyseal.v1 import signing_service_pb2 as pb
from privyseald.cli.connect import CLIENT_FILE, ClientFile, Json, connect
from privyseald.cli.output import USAGE, console, fail, print_facts, print_json
from privyseald.cli.pairs import Options, pairs
from privyseald.cli.watch_session import print_line, watch_session

KeyId = Annotated[str, typer.Argument(help="The key's id, such as 'whitebit-main'.")]
_CLIENT = Path(CLIENT_FILE)


def sign(
    key_id: KeyId,
    method: Annotated[str, typer.Argument(help="GET, POST, PUT, DELETE or PATCH.")],
    path: Annotated[
        str, typer.Argument(help="The path, such as /api/v4/order/new; may hold a query.")
    ],
    body: Annotated[str, typer.Option("--body", help="The body.")] = "",
    body_file: Annotated[
        str, typer.Option("--body-file", help="The file with the body; '-' for standard input.")
    ] = "",
    content_type: Annotated[
        str, typer.Option("--content-type", help="The body's media type.")
    ] = "",
    request_id: Annotated[
        str, typer.Option("--request-id", help="A UUID; a retry with it burns no nonce.")
    ] = "",
    key_version: Annotated[
        int, typer.Option("--key-version", help="The version that shall sign; 0: the active one.")
    ] = 0,
    validate_only: Annotated[
        bool, typer.Option("--validate-only", help="Only ask whether it is allowed.")
    ] = False,
    client: ClientFile = _CLIENT,
    as_json: Json = False,
) -> None:
    """Sign a venue request and print what to send. It is a credential while it lasts."""
    request = pb.SignRequest(
        key=f"keys/{key_id}",
        request_id=request_id,
        validate_only=validate_only,
        key_version=key_version,
    )
    request.http_request.method = method
    request.http_request.path = path
    request.http_request.body = read_body(body, body_file)
    request.http_request.content_type = content_type
    with connect(client) as server:
        answer = server.sign(request)
    if as_json:
        print_json(to_plain(answer))
        return
    if validate_only:
        console.print("allowed")
        return
    signed = answer.signed_http_request
    console.print(f"{signed.method} {signed.url}", markup=False)
    for header in signed.headers:
        console.print(f"{header.name}: {header.value}", markup=False)
    if signed.body:
        console.print("")
        console.print(signed.body.decode(errors="replace"), markup=False)


def login(
    key_id: KeyId,
    option: Options = None,
    force: Annotated[
        bool, typer.Option("--force", help="Log in even if there is a session.")
    ] = False,
    show_token: Annotated[
        bool, typer.Option("--show-token", help="Print the token too: it is a credential.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Stay, and show each session that comes after it.")
    ] = False,
    client: ClientFile = _CLIENT,
    as_json: Json = False,
) -> None:
    """Open a session at the key's venue, or show the one that there is."""
    request = pb.LoginRequest(key=f"keys/{key_id}", options=pairs(option, "--option"), force=force)

    def show(session: pb.Session) -> None:
        if not show_token:
            session.token = "(hidden; --show-token prints it)"  # noqa: S105 - the opposite of one
            del session.headers[:]
        if not as_json:
            _print_session(session)
        elif watch:
            print_line(session)
        else:
            print_json(to_plain(session))

    if watch and (option or force):
        fail("--watch takes neither --option nor --force", USAGE, "give them to a login before it")
    with connect(client) as server:
        if not watch:
            show(server.login(request).session)
            return
        try:
            watch_session(server, key_id, show, as_json=as_json)
        except KeyboardInterrupt:
            raise typer.Exit from None


def _print_session(session: pb.Session) -> None:
    print_facts(
        (
            ("key", session.key),
            ("user id", session.user_id),
            ("token", session.token),
            ("created", session.create_time.ToJsonString()),
            (
                "expires",
                session.expire_time.ToJsonString() if session.HasField("expire_time") else "",
            ),
        )
    )


def logout(key_id: KeyId, client: ClientFile = _CLIENT) -> None:
    """End the session at the key's venue."""
    with connect(client) as server:
        server.logout(pb.LogoutRequest(key=f"keys/{key_id}"))
    console.print(f"{key_id} has no session now")


def read_body(body: str, body_file: str) -> bytes:
    """Return the one, or what is in the other. Ends the program where both are given."""
    if body and body_file:
        fail("give one of --body and --body-file", USAGE)
    if not body_file:
        return body.encode()
    if body_file == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(body_file).read_bytes()
    except OSError as error:
        fail(f"{body_file} can't be read: {error.strerror}", USAGE)
