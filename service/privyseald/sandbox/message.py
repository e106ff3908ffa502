"""What comes in at a sandbox venue and what goes out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from privyseald.sandbox.json_text import Json, parse


@dataclass(frozen=True, slots=True)
class Incoming:
    """A request as it stood on the wire. Names of headers are in lower case.

    `locked` is a fault's doing: the venue takes whoever sent this as locked.
    """

    method: str
    target: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    remote: str
    locked: bool = False

    @property
    def path(self) -> str:
        """The target up to the first '?', nothing decoded."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """The target after the first '?', nothing decoded."""
        return self.target.partition("?")[2]

    def header(self, name: str) -> str:
        """Return a header's value, empty when it was not sent."""
        return self.headers.get(name.lower(), "")

    def fields(self) -> Mapping[str, Json]:
        """Return the body as a JSON object; an empty one when it is anything else."""
        try:
            value = parse(self.body)
        except ValueError:
            return {}
        return value if isinstance(value, Mapping) else {}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a venue says to a request.

    `account` is the public id of the key or address that was accepted, `parameters` what it
    asked for. `refusal` is the venue's own name for its reason, empty when it accepted.
    """

    status: int
    body: Json
    content_type: str = "application/json"
    account: str = ""
    nonce: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    refusal: str = ""


class Refused(Exception):
    """Ends the checks of a request with the answer that says no."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.refusal)
        self.answer = answer


class VenueServer(Protocol):
    """A venue: it judges one request at one instant of its own clock."""

    def answer(self, request: Incoming, now_us: int) -> Answer:
        """Return the venue's answer. Raises Refused, which holds another."""
