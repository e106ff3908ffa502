"""`privyseal venues`: what the server can sign for."""

from pathlib import Path
from typing import Annotated

import typer

from privyseal import to_plain
from privyseal.v1 import venue_service_pb2 as pb
from privyseald.cli.connect import CLIENT_FILE, ClientFile, Json, connect
from privyseald.cli.output import print_facts, print_json, print_table

app = typer.Typer(no_args_is_help=True, help="What the server can sign for.")


@app.command("list")
def list_venues(client: ClientFile = Path(CLIENT_FILE), as_json: Json = False) -> None:
    """List the venues."""
    with connect(client) as server:
        answer = server.list_venues(pb.ListVenuesRequest())
    if as_json:
        print_json(to_plain(answer))
        return
    print_table(
        ("venue", "keys", "signature binds", "login", "issues keys", "about"),
        [
            (
                venue.name,
                ", ".join(kind.algorithm for kind in venue.key_kinds),
                venue.coverage,
                "yes" if venue.opens_sessions else "-",
                "yes" if venue.issues_keys else "-",
                venue.about,
            )
            for venue in answer.venues
        ],
    )


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="The venue, such as 'whitebit'.")],
    client: ClientFile = Path(CLIENT_FILE),
    as_json: Json = False,
) -> None:
    """Show a venue: the fields of its keys, options, nonces, known operations."""
    with connect(client) as server:
        venue = server.get_venue(pb.GetVenueRequest(name=name)).venue
    if as_json:
        print_json(to_plain(venue))
        return
    print_facts(
        (
            ("venue", venue.name),
            ("about", venue.about),
            ("signature binds", venue.coverage),
            *(
                ("nonce", f"{policy.order}, in {policy.unit}, {_window(policy.window_ms)}")
                for policy in venue.nonce_policies
            ),
            *((f"at {each.name}", ", ".join(each.base_urls)) for each in venue.environments),
        )
    )
    fields = [(f"{kind.algorithm} key", field) for kind in venue.key_kinds for field in kind.fields]
    fields += [("login option", field) for field in venue.login_options]
    fields += [("create-key option", field) for field in venue.create_key_options]
    print_table(
        ("of", "name", "required", "about"),
        [(of, each.name, "yes" if each.required else "-", each.about) for of, each in fields],
    )
    print_table(
        ("operation", "request", "tags"),
        [
            (each.name, f"{each.method} {each.path}", ", ".join(each.tags))
            for each in venue.operations
        ],
    )


def _window(window_ms: int) -> str:
    return f"within {window_ms} ms of the venue's clock" if window_ms else "whatever the clock"
