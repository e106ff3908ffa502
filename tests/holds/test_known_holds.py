import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privyseald.errors import FieldInvalid, HoldUnknown, Overloaded, RequestIdReused
from privyseald.holds.hold import Hold, Scope, ScopeKind, clean_cause
from privyseald.holds.known_holds import KnownHolds

NOW_MS = 1_700_000_000_000


def hold(hold_id: str, kind: ScopeKind = ScopeKind.KEY, name: str = "desk-1") -> Hold:
    """Return a hold that began when its id says."""
    return Hold(hold_id, Scope(kind, name), "runaway", "operator", NOW_MS + int(hold_id, 16))


def known(*hold_ids: str, lifted: tuple[str, ...] = ()) -> KnownHolds:
    """Return what knows these holds and these lifts."""
    all_of_it = KnownHolds()
    for hold_id in (*hold_ids, *lifted):
        all_of_it = all_of_it.with_hold(hold(hold_id))
    for hold_id in lifted:
        all_of_it = all_of_it.without(hold_id, NOW_MS + int(hold_id, 16))
    return all_of_it


_SIDES = st.tuples(st.sets(st.sampled_from("abcdef")), st.sets(st.sampled_from("abcdef"))).map(
    lambda sides: known(*(sides[0] - sides[1]), lifted=tuple(sides[1]))
)


@given(st.lists(_SIDES, min_size=2, max_size=4))
def test_servers_agree_in_whatever_order_they_hear(sides: list[KnownHolds]) -> None:
    """What all know together is the same, however often and in whatever order it is merged."""
    outcomes = []
    for order in itertools.permutations(sides):
        together = KnownHolds()
        for side in (*order, order[0]):
            together = together.merged(side)
        outcomes.append((together, together.to_json()))
    lifted = set().union(*(side.lifted_ms for side in sides))
    begun = set().union(*(side.holds for side in sides))

    assert [outcomes[0]] * len(outcomes) == outcomes
    assert (begun - lifted, lifted) == (set(outcomes[0][0].holds), set(outcomes[0][0].lifted_ms))


def test_what_is_written_is_read() -> None:
    """Holds of every scope go through JSON and come back as they were, in their order."""
    scopes = [(ScopeKind.KEY, "a"), (ScopeKind.VENUE, "kiiex"), (ScopeKind.ALL, "")]
    written = known("f", lifted=("9",))
    for number, scope in enumerate(scopes):
        written = written.with_hold(hold(str(number), *scope))

    read = KnownHolds.of_json(written.to_json())

    assert (written, ["0", "1", "2", "f"]) == (read, list(read.holds))


_WRITTEN = known("a").to_json()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        _WRITTEN[:-1],
        _WRITTEN.replace(b'"cause"', b'"clause"'),
        _WRITTEN.replace(b'{"a":', b'{"b":'),
        _WRITTEN.replace(b'"key"', b'"moon"'),
    ],
)
def test_what_is_no_list_of_holds_is_refused(data: bytes) -> None:
    """Half a list, a hold under another's id, and a scope that nobody knows are no lists."""
    assert known("a") == KnownHolds.of_json(_WRITTEN)
    with pytest.raises(ValueError):  # noqa: PT011  # whatever it says
        KnownHolds.of_json(data)


def test_one_id_is_one_hold() -> None:
    """The same order again changes nothing; another under its id is refused, also later."""
    first = known("a")
    again = replace(hold("a"), create_time_ms=NOW_MS + 99)

    assert first is first.with_hold(again)
    with pytest.raises(RequestIdReused):
        first.with_hold(replace(again, cause="another"))
    with pytest.raises(RequestIdReused):
        first.without("a", NOW_MS).with_hold(again)


def test_a_lift_that_happened_is_told_from_a_hold_that_never_was() -> None:
    """Who lifts twice hears so."""
    with pytest.raises(HoldUnknown, match="there is no such hold"):
        known("a").without("b", NOW_MS)
    with pytest.raises(HoldUnknown, match="lifted already"):
        known(lifted=("a",)).without("a", NOW_MS)


def test_lists_are_bounded() -> None:
    """1,000 holds at once, and the last 256 lifts: the oldest are forgotten first."""
    ids = [f"{number:x}" for number in range(1_000)]
    full = KnownHolds({each: hold(each) for each in ids})
    with pytest.raises(Overloaded):
        full.with_hold(hold("ffff"))
    for each in ids[:300]:
        full = full.without(each, NOW_MS + int(each, 16))

    assert (ids[44:300], 700) == (list(full.lifted_ms), len(full.holds))
    assert full == full.merged(KnownHolds(full.holds, {"0": NOW_MS}))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("runaway strategy", "runaway strategy"),
        ("  two\nlines\tand \x1b[31mcolour \u202e ", "two lines and [31mcolour"),
        ("Schlüssel verloren", "Schlüssel verloren"),
        ("x" * 256, "x" * 256),
    ],
)
def test_a_cause_is_one_printable_line(text: str, line: str) -> None:
    """Neither a terminal nor a log is written to by what an operator pasted."""
    assert line == clean_cause(text)


@pytest.mark.parametrize("text", ["", " \n ", "\x00", "x" * 257])
def test_a_cause_is_given_and_short(text: str) -> None:
    """Nothing, and more than 256 characters, are refused."""
    with pytest.raises(FieldInvalid, match=r"hold\.cause"):
        clean_cause(text)
