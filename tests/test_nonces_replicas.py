"""Nonces of several replicas on one state, on clocks that agree and on clocks that do not."""

import asyncio
import time
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import pytest

from fakes import FakeClock
from privyseald.errors import ClockSkewed, NonceAhead, PrivysealError, StateUnavailable
from privyseald.key import Key, KeyState
from privyseald.nonces import NonceSource, Numbers
from privyseald.state.embedded import EmbeddedState
from privyseald.state.state import State
from privyseald.state.valkey import ValkeyState
from privyseald.state_config import StateConfig
from privyseald.venues.venue import NonceOrder, NoncePolicy, NonceUnit
from valkey_server import ValkeyServer

KEY = Key("desk-1", "nebulaex", "production", "hmac-sha256", "public", KeyState.ENABLED, 1, 0, 0)
HOUR_MS = 3_600_000
MS = NoncePolicy(NonceUnit.MS, NonceOrder.INCREASING, 5_000)
US = NoncePolicy(NonceUnit.US, NonceOrder.UNIQUE, 10_000)
UNBOUNDED = NoncePolicy(NonceUnit.MS, NonceOrder.INCREASING, None)
POLICIES = pytest.mark.parametrize("policy", [MS, US, UNBOUNDED], ids=["ms", "us", "unbounded"])


class Shared(Protocol):
    """A state, opened once for each replica. A replica's clock begins with the real time."""

    async def replica(self, ahead_ms: int = 0) -> tuple[NonceSource, FakeClock]:
        """Return a replica's nonces and its clock."""

    async def close(self) -> None:
        """Close every replica's."""


class OfValkey:
    """Each replica has connections of its own to a real Valkey."""

    def __init__(self, server: ValkeyServer) -> None:
        self._config = StateConfig(url=server.url)
        self._states: list[State] = []

    async def replica(self, ahead_ms: int = 0) -> tuple[NonceSource, FakeClock]:
        """Connect."""
        clock = RunningClock(ahead_ms)
        state = await ValkeyState.open(self._config, clock)
        self._states.append(state)
        nonces = NonceSource(state, clock)
        async with asyncio.timeout(15):
            # A new Valkey gives nothing for as long as nonces may lie ahead of the clock.
            while True:
                try:
                    await state.check()
                except StateUnavailable:
                    await asyncio.sleep(0.05)
                else:
                    return nonces, clock

    async def close(self) -> None:
        """Disconnect."""
        for state in self._states:
            await state.close()


class OfOneProcess:
    """All replicas are in one process, which the embedded state serves."""

    def __init__(self, folder: Path) -> None:
        self._state = EmbeddedState.open_path(folder / "marks")

    async def replica(self, ahead_ms: int = 0) -> tuple[NonceSource, FakeClock]:
        """Give the one state."""
        clock = RunningClock(ahead_ms)
        return NonceSource(self._state, clock), clock

    async def close(self) -> None:
        """Close it."""
        await self._state.close()


class RunningClock(FakeClock):
    """The machine's clock, moved by hand."""

    def __init__(self, ahead_ms: int = 0) -> None:
        super().__init__(ahead_ms * 1_000, 0)

    def time_us(self) -> int:
        """Return the real time and what it was moved by."""
        return time.time_ns() // 1_000 + super().time_us()

    def monotonic_ms(self) -> int:
        """Return the real one."""
        return time.monotonic_ns() // 1_000_000 + super().monotonic_ms()


@pytest.fixture(params=["embedded", "valkey"])
async def shared(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Shared]:
    """A state that replicas share."""
    found: Shared
    if request.param == "embedded":
        found = OfOneProcess(tmp_path)
    else:
        found = OfValkey(request.getfixturevalue("valkey_server"))
    yield found
    await found.close()


async def nonce_of(nonces: NonceSource, policy: NoncePolicy) -> int:
    """Return the next nonce."""
    moment = await nonces.reserve(KEY, policy)
    assert moment.nonce is not None
    return moment.nonce


@POLICIES
async def test_replicas_at_once_share_no_nonce(shared: Shared, policy: NoncePolicy) -> None:
    """Eight tasks at each of four replicas: no nonce comes twice, each task sees them grow, and
    what is asked for when all have answered is above all of them.
    """
    replicas = [(await shared.replica())[0] for _ in range(4)]

    async def take(nonces: NonceSource) -> list[int]:
        return [await nonce_of(nonces, policy) for _ in range(50)]

    rows = await asyncio.gather(*(take(nonces) for nonces in replicas for _ in range(8)))

    given = [nonce for row in rows for nonce in row]
    assert 4 * 8 * 50 == len(set(given)) == len(given)
    assert all(one < after for row in rows for one, after in pairwise(row))
    assert max(given) < await nonce_of(replicas[0], policy)


@POLICIES
async def test_turns_go_up_whichever_replica_is_asked(shared: Shared, policy: NoncePolicy) -> None:
    """One after the other, at replicas whose clocks are up to a second apart."""
    replicas = [(await shared.replica(ahead_ms))[0] for ahead_ms in (0, -500, 500, 200)]

    given = [await nonce_of(replicas[turn % 4], policy) for turn in range(200)]

    assert all(one < after for one, after in pairwise(given))


async def take_or_refusal(nonces: NonceSource, policy: NoncePolicy) -> int | type[PrivysealError]:
    """Return the next nonce, or how it was refused."""
    try:
        return await nonce_of(nonces, policy)
    except (NonceAhead, ClockSkewed) as error:
        return type(error)


@POLICIES
@pytest.mark.parametrize("step_ms", [-HOUR_MS, HOUR_MS])
async def test_a_replica_whose_clock_is_an_hour_off_spoils_nothing(
    shared: Shared, policy: NoncePolicy, step_ms: int
) -> None:
    """One of two replicas is set an hour off, for a while. No nonce comes twice. On Valkey it is
    refused as long as that lasts, and the other one never notices; in one process a resync heals
    what an hour ahead has left.
    """
    (one, clock), (other, _) = await shared.replica(), await shared.replica()
    given: list[int | type[PrivysealError]] = [await nonce_of(one, policy)]

    clock.step(step_ms)
    for _ in range(20):
        given += [await take_or_refusal(one, policy), await take_or_refusal(other, policy)]
    during = given[1:]
    clock.step(-step_ms)
    for _ in range(20):
        given += [await take_or_refusal(one, policy), await take_or_refusal(other, policy)]
    after = given[41:]

    nonces = [each for each in given if isinstance(each, int)]
    assert len(nonces) == len(set(nonces))
    if isinstance(shared, OfValkey):
        assert {ClockSkewed} == set(during[0::2])
        assert all(isinstance(each, int) for each in [*during[1::2], *after])
    elif policy is UNBOUNDED:
        assert all(isinstance(each, int) for each in given)
    elif step_ms < 0:
        # Behind, the last nonce is an hour ahead of it; the right clock goes on at once.
        assert {NonceAhead} == set(during[0::2])
        assert all(isinstance(each, int) for each in [*during[1::2], *after])
    else:
        # Ahead, it takes the counter along; the right clock is refused until it is resynced.
        assert {NonceAhead} == {*during[1::2], *after}
        await one.resync(Numbers(KEY, policy))
        healed = [await nonce_of(other, policy) for _ in range(20)]
        assert not set(healed) & set(nonces)


@POLICIES
async def test_a_clock_that_ran_a_little_ahead_is_healed(
    shared: Shared, policy: NoncePolicy
) -> None:
    """Four seconds are no reason for Valkey to refuse. What they leave behind is refused by the
    replica that is right, for seconds; a resync ends that at once, and no nonce comes twice.
    """
    (fast, clock), (right, _) = await shared.replica(4_000), await shared.replica()
    given = [await nonce_of(fast, policy) for _ in range(20)]
    if policy.window_ms == 5_000:
        with pytest.raises(NonceAhead) as caught:
            await nonce_of(right, policy)
        assert 1 <= (caught.value.retry_after_ms or 0) <= 1_600

    before, after = await right.resync(Numbers(KEY, policy))
    clock.step(-4_000)

    assert given[-1] == before
    assert after < given[0]
    for nonces in (right, fast):
        given += [await nonce_of(nonces, policy) for _ in range(20)]
    assert len(given) == len(set(given))
    assert max(given[20:]) < given[0]
    if policy is MS:
        # Once the clock is there, it passes over what was given.
        async with asyncio.timeout(15):
            while (last := await nonce_of(right, policy)) <= given[19]:
                assert last not in given[:20]
                await asyncio.sleep(0.02)
