"""The counters' script gives what `Counter` gives, and keeps to the server's clock and epoch."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from dataclasses import astuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clocks import SkewedClock
from privyseald.errors import ClockSkewed, StateUnavailable
from privyseald.state.counter import Counter
from privyseald.state.state import HIGHEST, LONGEST_LEAD_MS, Step
from privyseald.state.valkey import ValkeyState
from privyseald.state_config import StateConfig
from valkey_server import ValkeyServer

Act = tuple[str, int, int, int]

near = st.integers(0, 60)
anywhere = near | st.integers(0, HIGHEST) | st.integers(HIGHEST - 5, HIGHEST)
acts = st.lists(
    st.tuples(st.just("advance"), anywhere, anywhere | st.just(HIGHEST), st.integers(0, 20))
    | st.tuples(st.just("resync"), anywhere, st.just(0), st.just(0)),
    max_size=25,
)


def now_ms() -> int:
    """Return what a right clock shows."""
    return time.time_ns() // 1_000_000


def step(floor: int, ceiling: int = HIGHEST, *, skew_ms: int = 0, per_ms: int = 0) -> Step:
    """Return a step of a process whose clock is off by so much."""
    return Step(floor, ceiling, 500, 5_000, now_ms() + skew_ms, per_ms)


@pytest.fixture
async def state(valkey_server: ValkeyServer) -> AsyncIterator[ValkeyState]:
    """A state on a settled server."""
    opened = await ValkeyState.open(StateConfig(url=valkey_server.url), SkewedClock())
    yield opened
    await opened.close()


def record_of(server: ValkeyServer, name: str) -> list[int]:
    """Return the numbers that the server keeps of a counter."""
    reply = server.command("GET", f"{{privyseal}}:counter:{name}")
    return [int(number) for number in reply.split(b"\r\n")[1].split()]


async def _same(url: str, sequence: list[Act]) -> None:
    state = await ValkeyState.open(StateConfig(url=url), SkewedClock())
    name, counter = os.urandom(8).hex(), Counter()
    try:
        for act, number, ceiling, gap in sequence:
            if act == "advance":
                expected, counter = counter.advance(number, ceiling, gap)
                got = await state.advance(name, Step(number, ceiling, 500, gap, now_ms()))
                assert expected == got
            else:
                before, counter = counter.last, counter.resync(number)
                assert (before, counter.last) == await state.resync(name, number)
            record = state._epochs._counters.get(name, (b"0 " * 6, 0))[0]
            assert astuple(counter) == tuple(int(each) for each in record.split()[:6])
    finally:
        await state.close()


async def test_scripts_count_as_the_rule_does(valkey_server: ValkeyServer) -> None:
    """Any sequence of steps and resyncs leads to the same values and records, to the last digit."""
    loop = asyncio.get_running_loop()

    @settings(max_examples=150, deadline=None)
    @given(acts)
    def compare(sequence: list[Act]) -> None:
        asyncio.run(_same(valkey_server.url, sequence))

    await loop.run_in_executor(None, compare)


@pytest.mark.parametrize("skew_ms", [-3_600_000, -5_600, 5_600, 3_600_000])
async def test_a_clock_far_off_changes_nothing(
    valkey_server: ValkeyServer, state: ValkeyState, skew_ms: int
) -> None:
    """One replica whose clock jumped can't push the counter away for the others."""
    await state.advance("n", step(now_ms(), per_ms=1))
    before = record_of(valkey_server, "n")

    with pytest.raises(ClockSkewed, match="NTP") as caught:
        await state.advance("n", step(now_ms() + skew_ms, skew_ms=skew_ms, per_ms=1))

    assert abs(int(caught.value.metadata["differenceMs"]) - skew_ms) < 500
    assert ("behind" if skew_ms < 0 else "ahead") in caught.value.message
    assert before == record_of(valkey_server, "n")


@pytest.mark.parametrize("skew_ms", [-4_000, 0, 4_000])
async def test_clocks_a_little_off_do_no_harm(state: ValkeyState, skew_ms: int) -> None:
    """Up to five seconds are taken."""
    floor = now_ms() + skew_ms
    assert floor == await state.advance("n", step(floor, floor + 2_500, skew_ms=skew_ms, per_ms=1))


async def test_no_value_with_a_window_leads_the_servers_clock_by_more_than_it_may(
    state: ValkeyState,
) -> None:
    """A fast clock takes from the lead, for what the server forgets is measured by its own."""
    floor = now_ms() + 4_000
    ceiling = floor + 4_000
    last = floor + 2_000

    assert last == await state.advance("n", step(last, HIGHEST, per_ms=1))
    assert ceiling < await state.advance("n", step(floor, ceiling, skew_ms=4_000, per_ms=1))
    await asyncio.sleep(1.2)
    assert last + 1 == await state.advance("n", step(floor, ceiling, skew_ms=4_000, per_ms=1))


async def test_a_clock_far_off_is_told_by_check(valkey_server: ValkeyServer) -> None:
    """A server that would refuse every nonce is not ready; it begins no epoch either."""
    clock = SkewedClock(60_000)
    state = await ValkeyState.open(StateConfig(url=valkey_server.url), clock)
    try:
        with pytest.raises(ClockSkewed):
            await state.check()
        valkey_server.command("FLUSHALL")
        with pytest.raises(ClockSkewed):
            await state.check()
        assert b"$-1\r\n" == valkey_server.command("GET", "{privyseal}:epoch")
        clock.skew_ms = 0
        with pytest.raises(StateUnavailable, match="just begun"):
            await state.check()
    finally:
        await state.close()


async def test_values_of_a_counter_with_a_new_epoch_lie_above_all_that_could_have_been(
    valkey_server: ValkeyServer, state: ValkeyState
) -> None:
    """Even a clock that is late waits until its floor has passed what was given before."""
    valkey_server.command("FLUSHALL")
    with pytest.raises(StateUnavailable):
        await state.advance("n", step(now_ms(), per_ms=1_000))
    began_ms = int(valkey_server.command("GET", "{privyseal}:epoch").split()[1]) // 1_000
    await asyncio.sleep(LONGEST_LEAD_MS / 1_000 + 0.1)

    floor = (now_ms() - 3_000) * 1_000
    refused = await state.advance("n", step(floor, floor + 10**6, skew_ms=-3_000, per_ms=1_000))
    given_value = await state.advance("n", step(floor, HIGHEST, skew_ms=-3_000, per_ms=1_000))

    assert refused > floor + 10**6
    assert given_value > (began_ms + LONGEST_LEAD_MS) * 1_000
    _, lowest = await state.resync("n", 0)
    assert lowest >= (began_ms + LONGEST_LEAD_MS) * 1_000


async def test_a_step_that_is_cut_off_burns_at_most_its_value(
    valkey_server: ValkeyServer, state: ValkeyState
) -> None:
    """Whoever is not answered in time hears so, and the next value is a new one."""
    first = await state.advance("n", step(1_000))
    valkey_server.pause()
    asked = [state.advance("n", step(0)) for _ in range(3)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    valkey_server.resume()

    assert all(isinstance(answer, StateUnavailable) for answer in answers)
    assert "state.timeout_ms" in str(answers[0])

    async with asyncio.timeout(10):
        while True:
            try:
                value = await state.advance("n", step(0))
                break
            except StateUnavailable:
                await asyncio.sleep(0.02)
    assert first < value <= first + 4


async def test_counters_of_long_ago_are_not_kept_in_mind(
    state: ValkeyState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new epoch covers what lies behind the clock, so that the memory stays bounded."""
    monkeypatch.setattr("privyseald.state.valkey_epochs._FORGET_ABOVE", 20)
    state._epochs._forget_above = 20
    now = now_ms()
    for number in range(50):
        await state.advance(f"old-{number}", step(now - 120_000, per_ms=1))
    for number in range(50):
        await state.advance(f"young-{number}", step(now * 1_000, per_ms=1_000))
    await state.advance("without-a-clock", step(5))

    state._epochs._forget()
    assert 51 == len(state._epochs._counters)
    assert not [name for name in state._epochs._counters if name.startswith("old")]
