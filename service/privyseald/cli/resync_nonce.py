"""`privyseal keys resync-nonce`: nonces put right by hand."""

from typing import Annotated

import typer

from privyseal import to_plain
from privyseal.v1 import key_service_pb2 as pb
from privyseald.cli.connect import ClientFile, Json, connect
from privyseald.cli.key_options import CLIENT, KeyId
from privyseald.cli.output import console, print_json


def resync_nonce(
    key_id: KeyId,
    above: Annotated[
        str,
        typer.Option(
            "--above",
            metavar="N",
            help="A nonce that the venue has seen elsewhere; the next one will be higher. Without "
            "it, nonces come down to the clock.",
        ),
    ] = "",
    client: ClientFile = CLIENT,
    as_json: Json = False,
) -> None:
    """Bring a key's nonces down to the clock, or above one that the venue has seen.

    Down: after a clock that ran ahead was put right. No nonce is ever given twice, so they come
    down as far as that goes. Where the venue wants each nonce above the one before and has seen
    the high ones, it refuses the lower ones: then leave them, or go up again with --above.
    """
    with connect(client) as server:
        request = pb.ResyncNonceRequest(key=f"keys/{key_id}", above=above)
        answer = server.resync_nonce(request)
    if as_json:
        print_json(to_plain(answer))
        return
    before, after = int(answer.before), int(answer.after)
    if after == before:
        console.print(f"{key_id}: unchanged; the next nonce will be above {after}")
        return
    way = "down" if after < before else "up"
    console.print(
        f"{key_id}: the last nonce was {before}; the next one will be above {after} "
        f"({way} by {abs(after - before)})"
    )
