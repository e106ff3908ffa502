"""What stands under a request id in the shared state: a claim on it, or its first answer."""

from dataclasses import dataclass, field

_CLAIMED, _ANSWERED = b"\x01", b"\x02"
_HOLDER_BYTES = 16
_TIME_BYTES = 8


@dataclass(frozen=True, slots=True)
class Claimed:
    """Somebody works on the request. `holder` is 16 bytes that tell a process apart."""

    fingerprint: bytes
    holder: bytes


@dataclass(frozen=True, slots=True)
class Answered:
    """The first answer, as its codec wrote it, and when it was there, in Unix milliseconds."""

    fingerprint: bytes
    time_ms: int
    answer: bytes = field(repr=False)


RequestRecord = Claimed | Answered


def dump_record(record: RequestRecord) -> bytes:
    """Return the record as bytes; the first one is the form, for releases to come."""
    begin = bytes([len(record.fingerprint)]) + record.fingerprint
    if isinstance(record, Claimed):
        return _CLAIMED + begin + record.holder
    return _ANSWERED + begin + record.time_ms.to_bytes(_TIME_BYTES, "big") + record.answer


def load_record(data: bytes) -> RequestRecord:
    """Return the record of these bytes. Raises ValueError when they are none."""
    form, end = data[:1], 2 + (data[1] if len(data) > 1 else 0)
    fingerprint, rest = data[2:end], data[end:]
    if form == _CLAIMED and len(rest) == _HOLDER_BYTES:
        return Claimed(fingerprint, rest)
    if form == _ANSWERED and len(rest) >= _TIME_BYTES:
        time_ms = int.from_bytes(rest[:_TIME_BYTES], "big")
        return Answered(fingerprint, time_ms, rest[_TIME_BYTES:])
    raise ValueError("no record of a request id")
