from privyseald.state.memory import Entry, Memory
from privyseald.state.state import Value


def memory(*names: str, end_ms: int | None = 1_000) -> Memory:
    """Return one that holds these, each of a hundred bytes."""
    held = Memory(capacity_bytes=10_000)
    for version, name in enumerate(names, start=1):
        held.set(name, Entry(Value(bytes(100), version), end_ms))
    return held


def test_a_value_that_is_written_again_and_again_takes_the_room_of_one() -> None:
    """A lease that is extended for days leaves nothing behind each time."""
    held = memory("other")
    for version in range(2, 10_000):
        held.set("lease", Entry(Value(bytes(100), version), version + 1_000))
        assert [] == held.sweep(0)

    assert len(held._ends) < 1_100
    assert [1] == held.sweep(1_000)
    assert [9_999] == held.sweep(10_999)
    assert (0, False) == (held._bytes, held.is_ending)


def test_a_value_that_lives_longer_now_does_not_end_with_its_first_time() -> None:
    """Nor does one that was removed and came again."""
    held = memory("n", "m")
    held.set("n", Entry(Value(b"", 3), 5_000))
    held.remove("m")
    held.set("m", Entry(Value(b"", 4), None))

    assert [] == held.sweep(4_999)
    assert {"m", "n"} == set(held.under("", 4_999))
    assert [3] == held.sweep(5_000)
    assert {"m"} == set(held.under("", 5_000))


def test_what_is_over_counts_no_more_also_when_nothing_swept_it() -> None:
    """It is only kept until then."""
    held = memory("n")

    assert held.get("n", 999)
    assert None is held.get("n", 1_000)
    assert {} == held.under("", 1_000)
    assert held.find("n")


def test_a_list_looks_at_names_of_its_own_kind() -> None:
    """However many others there are."""
    held = memory("hold/1", "hold/2", *(f"answer/{index}" for index in range(10)), end_ms=None)

    assert ["hold/1", "hold/2"] == list(held.under("hold/", 0))
    assert {"hold", "answer"} == set(held._names)
    for name in ("hold/1", "hold/2"):
        held.remove(name)
    assert {} == held.under("hold/", 0)
    assert {"answer"} == set(held._names)
