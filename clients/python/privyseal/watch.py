"""What the two kinds of watching a session have in common."""

from privyseal.backoff import backoff_s
from privyseal.errors import PrivysealError
from privyseal.v1 import signing_service_pb2 as pb

SessionEvent = pb.Session | PrivysealError


def ended() -> PrivysealError:
    """Return what a watch fails with that the server ended without a failure."""
    return PrivysealError("UNKNOWN", message="the server ended the stream, and said not why")


class SessionEvents:
    """Turns a stream's responses into events, across the streams that follow one another.
    `renewed`: each brings a token that is asked for anew.
    """

    def __init__(self, *, renewed: bool) -> None:
        self._renewed = renewed
        self._gave = False
        self._last: pb.Session | None = None
        self._failures = 0

    def take(self, response: pb.WatchSessionResponse) -> SessionEvent | None:
        """Return the event of a response; None for a session that was given already."""
        self._failures = 0
        self._gave = True
        if response.WhichOneof("event") == "failure":
            return PrivysealError.from_status(response.failure)
        session, last = response.session, self._last
        self._last = session
        if last is None:
            return session
        same = (session.token, session.expire_time) == (last.token, last.expire_time)
        return None if same else session

    def reopen_in_s(self, failure: PrivysealError) -> float | None:
        """Return after how long to open the stream again, or None where this is its end."""
        gave, self._gave = self._gave, False
        if failure.code == "UNAUTHENTICATED" and gave and self._renewed:
            # A stream ends with the token that opened it, and there may be a fresh one.
            return 0.0
        if failure.code != "UNAVAILABLE":
            return None
        self._failures += 1
        return backoff_s(self._failures, failure)
