"""Fakes of the ports that reach outside: time, and the way to venues."""

import json
from collections.abc import Callable, Mapping

from privyseald.errors import PrivysealError
from privyseald.key import Algorithm, Key, KeyState
from privyseald.outbound.outbound import OutboundRequest, OutboundResponse
from privyseald.signing.schemes import make_signer
from privyseald.signing.secret import SecretBytes
from privyseald.signing.signer import Credential

NOW_MS = 1_700_000_000_000

Answer = OutboundResponse | PrivysealError


class FakeClock:
    """A clock that stands still until it is told to move."""

    def __init__(self, time_us: int = NOW_MS * 1_000, monotonic_ms: int = 1_000) -> None:
        self._time_us = time_us
        self._monotonic_ms = monotonic_ms

    def time_us(self) -> int:
        """Return the wall time that was set."""
        return self._time_us

    def monotonic_ms(self) -> int:
        """Return the monotonic time, which only `advance` moves."""
        return self._monotonic_ms

    def advance(self, milliseconds: int) -> None:
        """Let time pass, on both clocks."""
        self._time_us += milliseconds * 1_000
        self._monotonic_ms += milliseconds

    def step(self, milliseconds: int) -> None:
        """Set the wall clock forward or back, as an operator or NTP does."""
        self._time_us += milliseconds * 1_000


class FakeOutbound:
    """Gives scripted answers in turn, the last one for ever, and keeps what was sent."""

    def __init__(self, *script: Answer | Callable[[OutboundRequest], Answer]) -> None:
        self._script = list(script)
        self.sent: list[OutboundRequest] = []

    async def send(self, request: OutboundRequest) -> OutboundResponse:
        """Return or raise what the script says."""
        self.sent.append(request)
        step = self._script.pop(0) if len(self._script) > 1 else self._script[0]
        answer = step(request) if callable(step) else step
        if isinstance(answer, PrivysealError):
            raise answer
        return answer


def answer(
    value: object, *, status: int = 200, content_type: str = "application/json"
) -> OutboundResponse:
    """Return a response: bytes as they are, anything else as JSON."""
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return OutboundResponse(status, content_type, body)


def credential(
    venue: str,
    algorithm: Algorithm,
    material: str,
    fields: Mapping[str, str] | None = None,
    *,
    environment: str = "production",
) -> Credential:
    """Return an opened key with a real signer, as a secret store would."""
    signer = make_signer(algorithm, SecretBytes(material))
    fields = dict(fields or {})
    key = Key(
        key_id="desk-1",
        venue=venue,
        environment=environment,
        algorithm=algorithm,
        public_id=fields.get("api_key", signer.public_id),
        state=KeyState.ENABLED,
        version=1,
        create_time_ms=NOW_MS,
        update_time_ms=NOW_MS,
        public_key_pem=signer.public_key_pem,
    )
    return Credential(key, fields, signer)
