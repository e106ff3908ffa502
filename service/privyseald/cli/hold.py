"""`privyseal hold`: the kill switch, for somebody in a hurry."""

import sys
import time
import uuid
from typing import Annotated

import typer

from privyseal import Client, PrivysealError, to_plain
from privyseal.v1 import hold_service_pb2 as pb
from privyseald.cli.connect import ClientFile, Json, connect
from privyseald.cli.key_options import CLIENT
from privyseald.cli.output import USAGE, console, fail, print_facts, print_json, print_table

# A server that is just being replaced is not the end of it; the same request id stops once.
_PAUSES_S = (0.3, 0.7, 1.5)
_NO_CAUSE = "no cause given"

app = typer.Typer(
    no_args_is_help=True,
    help="Stop keys now, on every server. To stop one: privyseal hold create --key mm-1",
)


@app.command("create")
def create(
    key: Annotated[str, typer.Option("--key", "-k", help="Stop this key.")] = "",
    venue: Annotated[str, typer.Option("--venue", "-v", help="Stop all keys of a venue.")] = "",
    caller: Annotated[
        str, typer.Option("--caller", "-c", help="Stop a caller, whatever it asks for.")
    ] = "",
    everything: Annotated[bool, typer.Option("--all", help="Stop all keys.")] = False,
    cause: Annotated[
        str, typer.Option("--cause", "-m", help="Why; every caller that is stopped reads it.")
    ] = _NO_CAUSE,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    client: ClientFile = CLIENT,
    as_json: Json = False,
) -> None:
    """Stop a key, a venue, a caller or all: nothing is signed until the hold is deleted.

    For example: privyseal hold create --venue whitebit --cause "runaway strategy"

    When this returns the hold is in force at the server that answered, and at every other within
    2 s. Two holds on the same are lifted one by one.
    """
    if [bool(key), bool(venue), bool(caller), everything].count(True) != 1:
        fail("give one of --key, --venue, --caller and --all", USAGE)
    if everything and not yes and sys.stdin.isatty():
        typer.confirm("Stop all keys at all venues?", abort=True)
    hold = pb.Hold(cause=cause)
    if key:
        hold.key = f"keys/{key.removeprefix('keys/')}"
    elif venue:
        hold.venue = venue
    elif caller:
        hold.caller = caller
    else:
        hold.all = True
    with connect(client) as server:
        made = _insist(server, pb.CreateHoldRequest(hold=hold, request_id=str(uuid.uuid4())))
    if as_json:
        print_json(to_plain(made))
        return
    console.print(
        f"stopped: {_stopped(made)}, since {made.create_time.ToJsonString()}, "
        "on every server within 2 s"
    )
    print_facts(
        (
            ("hold", made.name),
            ("cause", made.cause),
            ("to lift it", f"privyseal hold delete {_short(made)}"),
        )
    )


@app.command("list")
def list_holds(client: ClientFile = CLIENT, as_json: Json = False) -> None:
    """List the holds in force that you may read, the oldest first."""
    holds: list[pb.Hold] = []
    request = pb.ListHoldsRequest(page_size=1000)
    with connect(client) as server:
        while True:
            answer = server.list_holds(request)
            holds += answer.holds
            if not answer.next_page_token:
                break
            request.page_token = answer.next_page_token
    holds.sort(key=lambda hold: (hold.create_time.ToNanoseconds(), hold.name))
    if as_json:
        print_json([to_plain(hold) for hold in holds])
        return
    if not holds:
        console.print("nothing is held")
        return
    print_table(
        ("hold", "stops", "since", "by", "cause"),
        [
            (
                _short(hold),
                _stopped(hold),
                hold.create_time.ToJsonString(),
                hold.creator,
                hold.cause,
            )
            for hold in holds
        ],
    )


@app.command("delete")
def delete(
    name: Annotated[str, typer.Argument(help="The hold, such as '3f2a9c1b7d'.")],
    client: ClientFile = CLIENT,
) -> None:
    """Lift a hold. Others on the same stay."""
    full_name = f"holds/{name.removeprefix('holds/')}"
    with connect(client) as server:
        server.delete_hold(pb.DeleteHoldRequest(name=full_name))
    console.print(f"{full_name} is lifted, on every server within 2 s")


def _insist(server: Client, request: pb.CreateHoldRequest) -> pb.Hold:
    for pause_s in _PAUSES_S:
        try:
            return server.create_hold(request).hold
        except PrivysealError as error:
            if error.code not in {"UNAVAILABLE", "DEADLINE_EXCEEDED"}:
                raise
            time.sleep(pause_s)
    return server.create_hold(request).hold


def _stopped(hold: pb.Hold) -> str:
    """Return what a hold stops, as people read it."""
    if hold.WhichOneof("scope") == "all":
        return "all keys"
    if hold.key:
        return hold.key
    return f"venue {hold.venue}" if hold.venue else f"caller {hold.caller}"


def _short(hold: pb.Hold) -> str:
    return hold.name.removeprefix("holds/")
