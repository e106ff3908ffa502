"""`privyseal login --watch`: a key's session, each one after it, and each failure to renew."""

import json
import sys
import time
from collections.abc import Callable

from privyseal import Connection, PrivysealError, to_plain
from privyseal.v1 import signing_service_pb2 as pb
from privyseald.cli.output import warn

_PAUSE_S = 1.0


def watch_session(
    server: Connection, key_id: str, show: Callable[[pb.Session], None], *, as_json: bool
) -> None:
    """Show what comes until interrupted. A stream that ends is opened again, once one worked.

    As JSON each event is one line. Raises PrivysealError when the caller may not watch.
    """
    request = pb.WatchSessionRequest(key=f"keys/{key_id}")
    shown = pb.Session()
    while True:
        try:
            for event in server.stream(server.signing.WatchSession, request):
                if event.WhichOneof("event") == "failure":
                    _tell(PrivysealError.from_status(event.failure), as_json=as_json)
                elif event.session != shown:
                    shown = pb.Session()
                    shown.CopyFrom(event.session)
                    show(event.session)
        except PrivysealError as error:
            if error.code != "UNAVAILABLE" or not shown.token:
                raise
            time.sleep(_PAUSE_S)


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
