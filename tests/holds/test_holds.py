import pytest

from fakes import FakeClock
from privyseald.caller import Caller
from privyseald.errors import Held, StateUnavailable
from privyseald.holds.hold import Hold, Scope, ScopeKind
from privyseald.holds.holds import Holds
from privyseald.holds.known_holds import KnownHolds

TRADER, OTHER = Caller("spiffe://desk/trader", "test"), Caller("spiffe://desk/other", "test")
KEY, VENUE = Scope(ScopeKind.KEY, "mm-1"), Scope(ScopeKind.VENUE, "whitebit")
CALLER, ALL = Scope(ScopeKind.CALLER, TRADER.name), Scope(ScopeKind.ALL)


def knowing(*scopes: Scope) -> KnownHolds:
    """Return holds on these, each a second after the one before."""
    known = KnownHolds()
    for number, scope in enumerate(scopes):
        time_ms = 1_700_000_000_000 + 1_000 * number
        known = known.with_hold(Hold(f"{number}a", scope, "runaway", "operator", time_ms))
    return known


def holds_on(*scopes: Scope) -> Holds:
    """Return holds that are surely these."""
    holds = Holds(FakeClock())
    holds.take(knowing(*scopes))
    holds.confirm(float("inf"))
    return holds


def is_stopped(holds: Holds, caller: Caller, key_id: str, venue: str) -> bool:
    """Whether the caller may not use the key."""
    try:
        holds.check(caller, key_id, venue)
    except Held:
        return True
    return False


_ATTEMPTS = [
    (TRADER, "mm-1", "whitebit"),
    (TRADER, "mm-1", ""),
    (TRADER, "mm-2", "whitebit"),
    (TRADER, "mm-2", "kiiex"),
    (OTHER, "mm-1", "whitebit"),
    (OTHER, "mm-2", "kiiex"),
]


@pytest.mark.parametrize(
    ("scopes", "stopped"),
    [
        ((), [False] * 6),
        ((KEY,), [True, True, False, False, True, False]),
        ((VENUE,), [True, False, True, False, True, False]),
        ((CALLER,), [True, True, True, True, False, False]),
        ((ALL,), [True] * 6),
        ((KEY, CALLER), [True, True, True, True, True, False]),
    ],
)
def test_a_hold_stops_what_it_names(scopes: tuple[Scope, ...], stopped: list[bool]) -> None:
    """Each scope stops its own, and nothing else."""
    holds = holds_on(*scopes)

    assert stopped == [is_stopped(holds, *attempt) for attempt in _ATTEMPTS]
    assert sum(stopped) == holds.refused


def test_a_caller_hold_alone_stops_the_caller_altogether() -> None:
    """What concerns keys does not concern a caller who uses none."""
    holds_on(KEY, VENUE, ALL).check_caller(TRADER)
    with pytest.raises(Held, match="caller spiffe://desk/trader is stopped by holds/0a"):
        holds_on(CALLER).check_caller(TRADER)


def test_a_key_can_be_asked_for_without_a_caller() -> None:
    """Work that many callers share is stopped by what concerns the key."""
    holds_on(CALLER).check_key("mm-1", "whitebit")
    for scope in (KEY, VENUE, ALL):
        with pytest.raises(Held):
            holds_on(scope).check_key("mm-1", "whitebit")


def test_a_refusal_says_what_when_why_and_how_to_lift_it() -> None:
    """Of two holds on the same the first is told."""
    with pytest.raises(Held) as caught:
        holds_on(KEY, KEY).check(TRADER, "mm-1")

    assert (
        "keys/mm-1 is stopped by holds/0a since 2023-11-14T22:13:20Z: runaway. Whoever may "
        "'delete-hold' lifts it with 'privyseal hold delete 0a'"
    ) == caught.value.message
    assert {"hold": "holds/0a", "key": "keys/mm-1", "cause": "runaway"} == caught.value.metadata


def test_two_holds_on_the_same_are_lifted_one_by_one() -> None:
    """The key is free when the second one is lifted as well."""
    holds = holds_on(KEY, KEY)
    first_lifted = knowing(KEY, KEY).without("0a", 0)
    holds.take(first_lifted)
    with pytest.raises(Held, match="holds/1a"):
        holds.check(TRADER, "mm-1")
    holds.take(first_lifted.without("1a", 0))

    holds.check(TRADER, "mm-1")


def test_each_beginning_is_told_once() -> None:
    """Who must act on a hold hears of each, and of none a second time."""
    holds = Holds(FakeClock())
    heard: list[str] = []
    holds.on_begin.append(lambda hold: heard.append(hold.hold_id))
    for known in (knowing(KEY), knowing(KEY), knowing(KEY, VENUE), knowing(KEY)):
        holds.take(known)

    assert ["0a", "1a"] == heard


def test_what_is_known_is_believed_for_a_time() -> None:
    """Before the first word and after the time is over nothing is signed; the clock decides."""
    clock = FakeClock()
    holds = Holds(clock)
    with pytest.raises(StateUnavailable, match="can't be known"):
        holds.check(TRADER, "mm-1")
    holds.confirm(clock.monotonic_ms() + 2_000)
    clock.advance(2_000)
    holds.check(TRADER, "mm-1")
    holds.check_key("mm-1", "whitebit")
    clock.advance(1)
    with pytest.raises(StateUnavailable):
        holds.check(TRADER, "mm-1")
    with pytest.raises(StateUnavailable):
        holds.check_key("mm-1", "whitebit")

    holds.check_caller(TRADER)
    assert 3 == holds.refused_blind
