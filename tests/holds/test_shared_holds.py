import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from fakes import FakeClock
from privyseald.caller import Caller
from privyseald.errors import Held, HoldUnknown, StateUnavailable
from privyseald.holds.hold import Hold, Scope, ScopeKind
from privyseald.holds.hold_file import HoldFile
from privyseald.holds.holds import Holds
from privyseald.holds.shared_holds import SharedHolds
from privyseald.state.embedded import EmbeddedState
from privyseald.state.state import Value
from service import eventually

TRADER = Caller("spiffe://desk/trader", "test")
MAX_AGE_MS = 2_000


def hold(hold_id: str = "a", key_id: str = "mm-1") -> Hold:
    """Return a hold on a key."""
    return Hold(hold_id, Scope(ScopeKind.KEY, key_id), "runaway", "operator", 1_700_000_000_000)


class FrailState(EmbeddedState):
    """A state that can be away, and that says when it is asked."""

    is_away = False
    on_get: Callable[[], None] = staticmethod(lambda: None)
    gets = 0

    async def get(self, name: str) -> Value | None:
        """Return what stands there, unless the state is away."""
        self.gets += 1
        self.on_get()
        self._check()
        return await super().get(name)

    async def put(
        self, name: str, data: bytes, *, version: int | None = None, ttl_ms: int | None = None
    ) -> int | None:
        """Write, unless the state is away."""
        self._check()
        return await super().put(name, data, version=version, ttl_ms=ttl_ms)

    def _check(self) -> None:
        if self.is_away:
            raise StateUnavailable("the state is away")


def frail_state(path: Path, clock: FakeClock) -> FrailState:
    """Open the state."""
    state = FrailState.open_path(path, clock)
    assert isinstance(state, FrailState)
    return state


class Server:
    """What one server knows of holds, with a disk of its own."""

    def __init__(self, state: FrailState, clock: FakeClock, path: Path) -> None:
        self.holds = Holds(clock)
        self.shared = SharedHolds(
            state, HoldFile.open_path(path), self.holds, clock, max_age_ms=MAX_AGE_MS
        )

    def is_held(self, key_id: str = "mm-1") -> bool:
        """Whether a caller may not use the key."""
        try:
            self.holds.check(TRADER, key_id)
        except Held:
            return True
        return False

    async def sees(self, *hold_ids: str) -> bool:
        """Whether these are the holds in force here."""
        return list(self.holds.known.holds) == list(hold_ids)


class Desk:
    """A state, and servers on it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open = AsyncExitStack()
        self.clock = FakeClock()
        self.state = frail_state(folder / "high-water", self.clock)
        self._open.push_async_callback(self.state.close)

    async def server(self, name: str) -> Server:
        """Start a server on the disk of this name."""
        server = Server(self.state, self.clock, self._folder / f"{name}.json")
        await server.shared.start()
        self._open.push_async_callback(server.shared.close)
        return server

    async def value(self) -> bytes:
        """Return what the state has."""
        found = await self.state.get("holds")
        return found.data if found else b""

    async def close(self) -> None:
        """Stop all."""
        await self._open.aclose()


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """A state without holds."""
    desk = Desk(tmp_path)
    yield desk
    await desk.close()


async def test_a_hold_is_in_force_here_at_once_and_there_on_a_signal(desk: Desk) -> None:
    """The others hear of it, and of its end, long before they would have looked."""
    here, there = await desk.server("here"), await desk.server("there")
    assert not here.is_held()
    while len(desk.state._signals._listeners) < 2:  # noqa: ASYNC110  # they begin to, soon
        await asyncio.sleep(0)
    async with asyncio.timeout(0.4):
        assert hold() == await here.shared.create(hold())
        assert here.is_held()
        while not there.is_held():  # noqa: ASYNC110  # any longer pause would be a look
            await asyncio.sleep(0)
        await there.shared.delete("a")
        assert not there.is_held()
        while here.is_held():  # noqa: ASYNC110  # as above
            await asyncio.sleep(0)


async def test_who_misses_the_signal_looks_by_itself(desk: Desk) -> None:
    """A signal is a hint: a value that somebody wrote without one is found."""
    here = await desk.server("here")
    await desk.state.put("holds", here.holds.known.with_hold(hold()).to_json())
    await eventually(lambda: here.sees("a"))


async def test_an_order_that_comes_twice_is_one_hold(desk: Desk) -> None:
    """The retry, at whichever server it arrives, returns what began first."""
    here, there = await desk.server("here"), await desk.server("there")
    first, second = await asyncio.gather(here.shared.create(hold()), there.shared.create(hold()))
    assert first == second == hold()
    assert await here.sees("a")
    assert await there.sees("a")


async def test_many_change_the_holds_at_once(desk: Desk) -> None:
    """No write undoes another's."""
    servers = [await desk.server(f"{number}") for number in range(3)]
    ids = [f"{number:02x}" for number in range(30)]
    await asyncio.gather(
        *(servers[number % 3].shared.create(hold(each)) for number, each in enumerate(ids))
    )
    await asyncio.gather(
        *(servers[number % 3].shared.delete(each) for number, each in enumerate(ids[:20]))
    )
    for server in servers:
        assert set(ids[20:]) == set((await server.shared.refresh()).holds)


async def test_an_unknown_hold_can_not_be_lifted(desk: Desk) -> None:
    """Nothing is written for it."""
    here = await desk.server("here")
    with pytest.raises(HoldUnknown):
        await here.shared.delete("a")
    assert b"" == await desk.value()


async def test_what_the_state_forgot_is_put_back(desk: Desk) -> None:
    """An empty state lifts no hold; one that was lifted stays so."""
    here, there = await desk.server("here"), await desk.server("there")
    await here.shared.create(hold("a"))
    await here.shared.create(hold("b"))
    await here.shared.delete("b")
    await eventually(lambda: there.sees("a"))
    await desk.state.delete("holds")
    assert there.is_held()
    await eventually(lambda: holds_in(desk, "a"))

    assert here.is_held()
    assert 1 == here.shared.put_back + there.shared.put_back
    assert ["b"] == list((await here.shared.refresh()).lifted_ms)


async def holds_in(desk: Desk, *hold_ids: str) -> bool:
    """Whether these are the holds that the state has."""
    value = await desk.value()
    return bool(value) and list(json.loads(value)["holds"]) == list(hold_ids)


async def test_a_state_that_went_back_in_time_is_told_again(desk: Desk) -> None:
    """An older copy of the state, as after a failover, loses neither a hold nor a lift."""
    here = await desk.server("here")
    await here.shared.create(hold("a"))
    older = await desk.value()
    await here.shared.delete("a")
    await here.shared.create(hold("b"))
    await desk.state.put("holds", older)
    await eventually(lambda: holds_in(desk, "b"))

    assert await here.sees("b")


async def test_files_bring_holds_back_when_all_forgot(desk: Desk) -> None:
    """A state without memory, and servers that all start anew: their disks know."""
    here, there = await desk.server("here"), await desk.server("there")
    await here.shared.create(hold("a"))
    await eventually(lambda: there.sees("a"))
    for server in (here, there):
        await server.shared.close()
    await desk.state.delete("holds")

    again, fresh = await desk.server("there"), await desk.server("fresh")
    assert again.is_held()
    assert fresh.is_held()
    assert 1 == again.shared.put_back


async def test_a_lift_that_one_server_missed_is_heard_of_later(desk: Desk) -> None:
    """A server that was stopped meanwhile has an old copy, and learns better."""
    here, there = await desk.server("here"), await desk.server("there")
    await here.shared.create(hold("a"))
    await eventually(lambda: there.sees("a"))
    await there.shared.close()
    await here.shared.delete("a")

    again = await desk.server("there")
    assert not again.is_held()
    assert 0 == again.shared.put_back


async def test_a_state_that_is_away_stops_all_in_time(desk: Desk) -> None:
    """What was known two seconds ago is not believed any more; later it is again."""
    here = await desk.server("here")
    desk.state.is_away = True
    desk.clock.advance(MAX_AGE_MS)
    assert not here.is_held()
    desk.clock.advance(1)
    with pytest.raises(StateUnavailable):
        here.is_held()
    with pytest.raises(StateUnavailable):
        await here.shared.create(hold())
    desk.state.is_away = False
    await eventually(lambda: can_say(here))

    assert not here.is_held()


async def can_say(server: Server) -> bool:
    """Whether the server knows if there is a hold."""
    try:
        server.is_held()
    except StateUnavailable:
        return False
    return True


async def test_a_process_that_stood_still_knows_that_its_copy_is_old(desk: Desk) -> None:
    """An answer is as old as its question: ten seconds in between count."""
    here = await desk.server("here")
    desk.state.on_get = lambda: desk.clock.advance(10_000)
    await here.shared.refresh()
    with pytest.raises(StateUnavailable):
        here.is_held()


async def test_a_server_starts_without_its_state(desk: Desk) -> None:
    """It refuses, and begins to work when the state is there; holds on its disk count at once."""
    here = await desk.server("here")
    await here.shared.create(hold())
    await here.shared.close()
    desk.state.is_away = True

    again = await desk.server("here")
    with pytest.raises(StateUnavailable):
        again.is_held()
    assert await again.sees("a")
    desk.state.is_away = False
    await eventually(lambda: can_say(again))
    assert again.is_held()


async def test_a_value_that_nobody_understands_stops_all(desk: Desk) -> None:
    """It may be a hold: nothing is signed until somebody removed it."""
    here = await desk.server("here")
    await desk.state.put("holds", b'{"holds": 1}')
    with pytest.raises(StateUnavailable, match="no list of holds"):
        await here.shared.create(hold())
    desk.clock.advance(MAX_AGE_MS + 1)
    with pytest.raises(StateUnavailable, match="can't be known"):
        here.is_held()
    await desk.state.delete("holds")
    await eventually(lambda: can_say(here))
    await here.shared.create(hold())

    assert here.is_held()


async def test_an_order_goes_on_when_its_caller_goes_away(desk: Desk) -> None:
    """A command that is interrupted at the wrong moment has stopped the key all the same."""
    here = await desk.server("here")
    order = asyncio.ensure_future(here.shared.create(hold()))
    await asyncio.sleep(0)
    order.cancel()
    await asyncio.gather(order, return_exceptions=True)
    await eventually(lambda: here.sees("a"))


async def test_a_disk_that_is_full_does_not_stop_a_hold(desk: Desk, tmp_path: Path) -> None:
    """The hold is in force; the file follows when the disk has room."""
    here = await desk.server("here")
    path = tmp_path / "here.json"
    path.unlink()
    path.mkdir()
    await here.shared.create(hold())
    assert here.is_held()
    path.rmdir()

    async def is_kept() -> bool:
        return path.is_file() and b'"a"' in path.read_bytes()

    await eventually(is_kept)


async def test_a_state_of_this_process_alone_is_asked_once(tmp_path: Path) -> None:
    """Nobody else writes there, so the copy stays right whatever the clock says."""
    clock = FakeClock()
    state = frail_state(tmp_path / "high-water", clock)
    holds = Holds(clock)
    shared = SharedHolds(
        state, HoldFile.open_path(tmp_path / "holds.json"), holds, clock, max_age_ms=None
    )
    await shared.start()
    await eventually(lambda: is_quiet(shared))
    asked = state.gets
    clock.advance(86_400_000)
    holds.check(TRADER, "mm-1")
    await asyncio.sleep(0.6)  # longer than from look to look

    assert asked == state.gets
    await shared.close()
    await state.close()


async def is_quiet(shared: SharedHolds) -> bool:
    """Whether it does not look any more."""
    return shared._running is not None and shared._running.done()
