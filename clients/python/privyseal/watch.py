"""What the two kinds of watching a session have in common."""

from privyseal.backoff import backoff_s
from privyseal.errors import PrivysealError
from privyseal.v1 import signing_service_pb2 as pb

SessionEvent = pb.Session | PrivysealError


class SessionEvents:
    """Turns a stream's responses into events, across the streams that follow one another."""

    def __init__(self) -> None:
        self._last: pb.Session | None = None
        self._failures = 0

    def take(self, response: pb.WatchSessionResponse) -> SessionEvent | None:
        """Return the event of a response; None for a session that was given already."""
        self._failures = 0
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
        if failure.code != "UNAVAILABLE":
            return None
        self._failures += 1
        return backoff_s(self._failures, failure)
