import pytest

from privyseald.idempotency.record import (
    Answered,
    Claimed,
    RequestRecord,
    dump_record,
    load_record,
)

HOLDER = bytes(range(16))
RECORDS = {
    "claim": Claimed(b"f" * 32, HOLDER),
    "answer": Answered(b"f" * 32, 1_700_000_000_000, b"\x00\xffanswer"),
    "empty answer": Answered(b"f", 0, b""),
    "no fingerprint": Claimed(b"", HOLDER),
}


@pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS)
def test_a_record_comes_back(record: RequestRecord) -> None:
    """As it was written."""
    assert record == load_record(dump_record(record))


def test_the_forms_are_these() -> None:
    """Other releases read them: whoever changes one gives it a new first byte."""
    assert b"\x01\x02fp" + HOLDER == dump_record(Claimed(b"fp", HOLDER))
    assert b"\x02\x02fp\x00\x00\x00\x00\x00\x00\x01\x02yes" == dump_record(
        Answered(b"fp", 258, b"yes")
    )


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x01",
        b"\x02",
        b"\x00\x01f" + HOLDER,
        b"\x03\x01f" + HOLDER,
        b"\x01\x01f" + HOLDER[:-1],
        b"\x01\x01f" + HOLDER + b"x",
        b"\x01\x20" + b"f" * 31,
        b"\x02\x01f" + b"\x00" * 7,
    ],
)
def test_what_is_no_record_is_refused(data: bytes) -> None:
    """Cut, too long, or of a form of another release."""
    with pytest.raises(ValueError, match="no record"):
        load_record(data)


def test_a_record_shows_no_answer() -> None:
    """An answer is a credential while it lasts."""
    assert "canary" not in repr(Answered(b"f", 1, b"canary"))
