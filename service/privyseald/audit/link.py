"""A line of an audit log, read back."""

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

import orjson

from privyseald.audit.chain import NOTHING_BEFORE, Head


class Link(NamedTuple):
    """What a line says of its place in a chain. `facts` is all that it says."""

    sequence: int
    previous: str
    chain: str
    time_us: int
    event: str
    sha256: str
    facts: Mapping[str, object]

    @property
    def begins_file(self) -> bool:
        """Whether it is a line with which a file begins."""
        return self.event in {"start", "file"}

    @property
    def begins_chain(self) -> bool:
        """Whether no line of its chain comes before."""
        return self.sequence == 1 and self.previous == NOTHING_BEFORE

    def head(self, since_checkpoint: int = 0) -> Head:
        """Return where the chain ends if this is its last line."""
        return Head(self.chain, self.sequence, self.sha256, since_checkpoint)

    def text(self, name: str) -> str:
        """Return a fact that is a text, empty if it is none."""
        value = self.facts.get(name)
        return value if isinstance(value, str) else ""


def read_link(line: bytes) -> Link | None:
    """Return a line without its newline, taken apart; None if it is no line of an audit log."""
    try:
        facts = orjson.loads(line)
    except ValueError:
        return None
    if type(facts) is not dict:
        return None
    get = facts.get
    sequence, time_us = get("sequence"), get("time_us")
    previous, chain = get("previous"), get("chain")
    event = get("event", "")
    if (
        type(sequence) is not int
        or sequence < 1
        or type(time_us) is not int
        or type(previous) is not str
        or type(chain) is not str
        or type(event) is not str
    ):
        return None
    sha256 = hashlib.sha256(line).hexdigest()
    return Link(sequence, previous, chain, time_us, event, sha256, facts)
