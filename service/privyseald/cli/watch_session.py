"""`privyseal login --watch`: a key's session, each one after it, and each failure to renew."""

import json
import sys
from collections.abc import Callable

from privyseal import Client, PrivysealError, to_plain
from privyseal.v1 import signing_service_pb2 as pb
from privyseal.v1.venue_service_pb2 import ListVenuesRequest
from privyseald.cli.output import warn


def watch_session(
    server: Client, key_id: str, show: Callable[[pb.Session], None], *, as_json: bool
) -> None:
    """Show what comes until interrupted.

    As JSON each event is one line. Raises PrivysealError when the caller may not watch.
    """
    # A server that is away is told at once; the watch itself waits until it is back.
    server.list_venues(ListVenuesRequest(page_size=1))
    with server.watch_session(pb.WatchSessionRequest(key=f"keys/{key_id}")) as events:
        for event in events:
            if isinstance(event, PrivysealError):
                _tell(event, as_json=as_json)
            else:
                show(event)


def print_line(session: pb.Session) -> None:
    """Print a session as one line of JSON."""
    _print({"session": to_plain(session)})


def _tell(failure: PrivysealError, *, as_json: bool) -> None:
    if not as_json:
        warn(f"not renewed: {failure}")
        return
    facts = {"code": failure.code, "reason": failure.reason, "message": failure.message}
    _print({"failure": {**facts, "retry_after_s": failure.retry_after_s}})


def _print(event: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(event, ensure_ascii=False) + "\n")
    sys.stdout.flush()
