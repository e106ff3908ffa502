"""The chain that the lines of an audit log form: each holds the hash of the one before.

A line is one JSON object. It begins with its place in the chain:

    {"sequence":7,"previous":"9f86…","chain":"4c1d…","replica":"signer-0", …}

`previous` is the SHA-256, in hex, of the line before as it stands in the file, without the
newline. The first line of a chain has 64 zeros there.
"""

import hashlib
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import orjson

NOTHING_BEFORE = "0" * 64
SIGNATURE_MARK = b',"signature":"'

Fact = str | int | list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Head:
    """Where a chain ends: at the line with this sequence and hash."""

    chain: str
    sequence: int
    sha256: str
    since_checkpoint: int = 0


def new_chain() -> Head:
    """Return where a chain stands that has no line yet."""
    return Head(secrets.token_hex(8), 0, NOTHING_BEFORE)


def body_of(time_us: int, facts: Mapping[str, Fact]) -> bytes:
    """Return what a line says beside its place in the chain."""
    return orjson.dumps({"time_us": time_us, **facts})[1:]


class Chain:
    """Gives lines their place, one after the other. `head` may be set back to where it was."""

    def __init__(self, head: Head, replica: str) -> None:
        self._replica = orjson.dumps(replica)
        self.head = head

    @property
    def head(self) -> Head:
        """Where the chain ends now."""
        return Head(self._chain, self._sequence, self._sha256.decode(), self.since_checkpoint)

    @head.setter
    def head(self, head: Head) -> None:
        self._chain, self._sequence = head.chain, head.sequence
        self._sha256 = head.sha256.encode()
        self.since_checkpoint = head.since_checkpoint
        self._frame = b'","chain":"%s","replica":%s,' % (head.chain.encode(), self._replica)

    def append(self, body: bytes) -> bytes:
        """Return the next line, with its newline."""
        line = b'{"sequence":%d,"previous":"%s%s%s' % (
            self._sequence + 1,
            self._sha256,
            self._frame,
            body,
        )
        self.since_checkpoint += 1
        return self._advance(line)

    def append_signed(self, body: bytes, sign: Callable[[bytes], bytes]) -> bytes:
        """Return the next line as a checkpoint: all of it is signed but the signature."""
        unsigned = b'{"sequence":%d,"previous":"%s%s%s' % (
            self._sequence + 1,
            self._sha256,
            self._frame,
            body[:-1],
        )
        self.since_checkpoint = 0
        return self._advance(b'%s%s%s"}' % (unsigned, SIGNATURE_MARK, sign(unsigned)))

    def pass_over(self, line: bytes, *, is_checkpoint: bool) -> None:
        """Go on behind a line, with its newline, that was made before."""
        self.since_checkpoint = 0 if is_checkpoint else self.since_checkpoint + 1
        self._advance(line[:-1])

    def _advance(self, line: bytes) -> bytes:
        self._sequence += 1
        self._sha256 = hashlib.sha256(line).hexdigest().encode()
        return line + b"\n"
