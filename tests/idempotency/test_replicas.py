"""Several replicas on one state: what each does while others work, fail, stand still or die."""

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import pytest

from fakes import FakeClock, FakeState, sealed
from idempotency.work import CODEC, ID, IntCodec, Work, turns
from privyseald.errors import RequestIdReused, StateUnavailable
from privyseald.idempotency.claim import Claim
from privyseald.idempotency.idempotency import Idempotency, _name
from privyseald.idempotency.record import Claimed
from privyseald.state.state import Value

TTL_MS = 600_000
CLAIM_TTL_MS = 5_000


class Replica:
    """One of several, whose work answers with numbers that tell it apart."""

    def __init__(self, state: FakeState, clock: FakeClock, number: int) -> None:
        self.idempotency = Idempotency(sealed(state), clock, claim_ttl_ms=CLAIM_TTL_MS)
        self.work = Work()
        self.work.done = 100 * number

    def begin(self, fingerprint: bytes = b"f") -> "asyncio.Task[int]":
        """Send the request, and wait for nothing."""
        return asyncio.ensure_future(self.once(fingerprint))

    def once(self, fingerprint: bytes = b"f") -> Awaitable[int]:
        """Send the request."""
        return self.idempotency.once("sign/desk", ID, fingerprint, self.work, CODEC)


class Fault:
    """Lets calls of one method of the state fail, `before` they have landed or `after`."""

    def __init__(self, method: str, skip: int = 0, times: int = 1) -> None:
        self._method = method
        self._skip = skip
        self._times = times
        self.seen = 0

    async def __call__(self, method: str, _name: str) -> None:
        """Raise when it is the turn of this call."""
        if method != self._method:
            return
        self.seen += 1
        if self._skip < self.seen <= self._skip + self._times:
            raise StateUnavailable("away")


@pytest.fixture
def clock() -> FakeClock:
    """The clock of all replicas and of the state."""
    return FakeClock()


@pytest.fixture
def state(clock: FakeClock) -> FakeState:
    """What they share."""
    return FakeState(clock)


@pytest.fixture
def one(state: FakeState, clock: FakeClock) -> Replica:
    """The replica that mostly comes first. Its answers are 101, 102…"""
    return Replica(state, clock, 1)


@pytest.fixture
def two(state: FakeState, clock: FakeClock) -> Replica:
    """Another one. Its answers are 201, 202…"""
    return Replica(state, clock, 2)


@pytest.fixture(autouse=True)
async def _unseen() -> AsyncIterator[None]:
    """Fails a test that leaves an exception which nobody looked at."""
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _loop, context: complaints.append(context)
    )
    yield
    await turns()
    gc.collect()
    assert [] == complaints


async def until(state: FakeState, method: str) -> None:
    """Return once the method of the state was called again."""
    called = asyncio.Event()

    async def note(name: str, _value: str) -> None:
        if name == method:
            called.set()

    state.before = note
    await asyncio.wait_for(called.wait(), 10)
    await turns()


async def left_by_a_dead_process(state: FakeState) -> None:
    """Leave the claim of a replica that was killed at its work."""
    name = _name("sign/desk", ID)
    claim = Claim(sealed(state), name, Claimed(b"f", bytes(16)), CLAIM_TTL_MS)
    assert await claim.take(0)
    await claim._end()


async def test_the_first_answer_is_every_replicas(one: Replica, two: Replica) -> None:
    """Made at one, it is given at another, which does no work."""
    assert [101, 101, 101] == [await one.once(), await two.once(), await two.once()]
    assert 200 == two.work.done


async def test_concurrent_duplicates_get_one_answer(state: FakeState, clock: FakeClock) -> None:
    """A hundred at three replicas: one of them works once."""
    replicas = [Replica(state, clock, number) for number in (1, 2, 3)]
    answers = await asyncio.gather(*(replicas[n % 3].once() for n in range(100)))

    assert [101] * 100 == answers
    assert [101, 200, 300] == [replica.work.done for replica in replicas]


async def test_another_request_under_the_id_is_refused_everywhere(
    one: Replica, two: Replica
) -> None:
    """While the first is under way, and afterwards."""
    one.work.go.clear()
    first = one.begin(b"one")
    await turns()
    for replica in (one, two):
        with pytest.raises(RequestIdReused):
            await replica.once(b"other")
    one.work.go.set()

    assert 101 == await first
    for replica in (one, two):
        with pytest.raises(RequestIdReused):
            await replica.once(b"other")
    assert 101 == await two.once(b"one")
    assert (101, 200) == (one.work.done, two.work.done)


async def test_a_failure_frees_the_id_at_once(one: Replica, two: Replica) -> None:
    """Nothing is left behind, not even the fingerprint: a retry works anywhere."""
    one.work.failure = StateUnavailable("of the work")
    with pytest.raises(StateUnavailable, match="of the work"):
        await one.once(b"one")

    assert 201 == await two.once(b"other")


async def test_who_waits_for_a_failure_does_the_work(one: Replica, two: Replica) -> None:
    """A duplicate at another replica takes over when the first one fails."""
    one.work.go.clear()
    first = one.begin()
    await turns()
    second = two.begin()
    await turns()
    one.work.failure = StateUnavailable("of the work")
    one.work.go.set()

    with pytest.raises(StateUnavailable, match="of the work"):
        await first
    assert 201 == await second
    assert 201 == await one.once()


async def test_the_claim_of_a_dead_replica_expires(
    state: FakeState, clock: FakeClock, two: Replica
) -> None:
    """Until then duplicates wait; then one of them takes over."""
    await left_by_a_dead_process(state)
    retries = [two.begin() for _ in range(3)]
    await until(state, "get")
    clock.advance(CLAIM_TTL_MS - 1)
    await until(state, "get")
    assert 200 == two.work.done
    clock.advance(1)

    assert [201] * 3 == await asyncio.gather(*retries)
    assert 201 == two.work.done


async def test_a_claim_lasts_as_long_as_the_work(state: FakeState, clock: FakeClock) -> None:
    """It is extended again and again, for much longer than its own time."""
    one, two = Replica(state, clock, 1), Replica(state, clock, 2)
    one.idempotency._answers._claim_ttl_ms = 300
    one.work.go.clear()
    first = one.begin()
    await turns()
    for _ in range(4):
        await until(state, "put")
        clock.advance(299)
    second = two.begin()
    await until(state, "get")
    one.work.go.set()

    assert (101, 101) == (await first, await second)
    assert 200 == two.work.done


async def test_who_stood_still_gives_no_second_first_answer(
    clock: FakeClock, one: Replica, two: Replica
) -> None:
    """Work that ends after its claim has expired returns what another answered meanwhile."""
    one.work.go.clear()
    paused = one.begin()
    await turns()
    clock.advance(CLAIM_TTL_MS)
    assert 201 == await two.once()
    one.work.go.set()

    assert 201 == await paused
    assert 201 == await one.once()
    assert (101, 201) == (one.work.done, two.work.done)


async def test_who_stood_still_waits_for_who_took_over(
    clock: FakeClock, one: Replica, two: Replica
) -> None:
    """Also while the other one is at work still; and it does not touch that one's claim."""
    one.work.go.clear()
    two.work.go.clear()
    paused = one.begin()
    await turns()
    clock.advance(CLAIM_TTL_MS)
    other = two.begin()
    await turns()
    one.work.go.set()
    await turns()
    assert not paused.done()
    two.work.go.set()

    assert (201, 201) == (await other, await paused)


async def test_who_stood_still_and_fails_leaves_the_others_claim(
    clock: FakeClock, one: Replica, two: Replica
) -> None:
    """A failure after the claim was lost frees nothing."""
    one.work.go.clear()
    two.work.go.clear()
    paused = one.begin()
    await turns()
    clock.advance(CLAIM_TTL_MS)
    other = two.begin()
    await turns()
    one.work.failure = StateUnavailable("of the work")
    one.work.go.set()
    with pytest.raises(StateUnavailable, match="of the work"):
        await paused
    with pytest.raises(RequestIdReused):
        await one.once(b"other")
    two.work.go.set()

    assert 201 == await other


async def test_who_stood_still_is_told_when_nobody_took_over(
    clock: FakeClock, one: Replica, two: Replica
) -> None:
    """Another may have answered and been forgotten, so the answer is thrown away."""
    one.work.go.clear()
    paused = one.begin()
    await turns()
    clock.advance(CLAIM_TTL_MS)
    one.work.go.set()

    with pytest.raises(StateUnavailable, match="lost its claim") as caught:
        await paused
    assert caught.value.retry_after_ms
    assert 201 == await two.once()
    assert 201 == await one.once()


async def test_who_stood_still_is_refused_when_the_id_went_to_another_request(
    clock: FakeClock, one: Replica, two: Replica
) -> None:
    """Its answer is not given to anybody."""
    one.work.go.clear()
    paused = one.begin()
    await turns()
    clock.advance(CLAIM_TTL_MS)
    await two.once(b"other")
    one.work.go.set()

    with pytest.raises(RequestIdReused):
        await paused


async def test_after_ten_minutes_the_id_is_free_everywhere(
    clock: FakeClock, one: Replica, two: Replica
) -> None:
    """Also where the answer was heard of late."""
    await one.once()
    clock.advance(TTL_MS - 1)
    assert 101 == await two.once()
    clock.advance(1)

    assert (201, 201) == (await two.once(), await one.once())


async def test_a_state_that_lost_its_memory_costs_no_second_answer(
    state: FakeState, one: Replica, two: Replica
) -> None:
    """Replicas that gave the answer, or heard it, give it again."""
    await one.once()
    await two.once()
    state.values.clear()

    assert (101, 101) == (await one.once(), await two.once())


async def test_without_the_state_an_id_is_refused(state: FakeState, one: Replica) -> None:
    """Nothing is done, as nobody knows whether it was done before; and no id needs no state."""
    state.before = Fault("put", times=99)
    with pytest.raises(StateUnavailable):
        await one.once()
    assert 100 == one.work.done

    assert 101 == await one.idempotency.once("sign/desk", "", b"f", one.work, CODEC)


async def test_an_answer_that_is_not_written_is_given_to_nobody(
    state: FakeState, one: Replica, two: Replica
) -> None:
    """The state went away during the work: the caller is told, and a retry works anew."""
    state.before = Fault("put", skip=1)
    with pytest.raises(StateUnavailable):
        await one.once()

    assert 201 == await two.once()
    assert 201 == await one.once()


@pytest.mark.parametrize("replica", ["one", "two"])
async def test_an_answer_that_was_written_unheard_is_the_first(
    state: FakeState, one: Replica, two: Replica, replica: str
) -> None:
    """The state took it and could not say so: the caller is told, and a retry finds it."""
    state.after = Fault("put", skip=1)
    with pytest.raises(StateUnavailable):
        await one.once()

    assert 101 == await {"one": one, "two": two}[replica].once()
    assert 101 == one.work.done


async def test_a_claim_that_this_process_left_behind_is_taken_up_at_once(
    state: FakeState, one: Replica, two: Replica
) -> None:
    """The state was away for the answer and for the release; others wait for the claim's end."""
    puts, deletes = Fault("put", skip=1), Fault("delete")

    async def both(method: str, name: str) -> None:
        await puts(method, name)
        await deletes(method, name)

    state.before = both
    with pytest.raises(StateUnavailable):
        await one.once()
    waiting = two.begin()
    await turns()
    assert not waiting.done()

    assert 102 == await one.once()
    assert 102 == await waiting
    assert 200 == two.work.done


async def test_a_claim_that_was_taken_unheard_is_taken_up_at_once(
    state: FakeState, one: Replica
) -> None:
    """The state took it and could not say so."""
    state.after = Fault("put")
    with pytest.raises(StateUnavailable):
        await one.once()

    assert 101 == await one.once()


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("fails", [False, True])
async def test_an_extension_that_is_not_heard_of_does_no_harm(
    state: FakeState, one: Replica, two: Replica, *, when: str, fails: bool
) -> None:
    """Whether it landed or not, the claim is this replica's still: it answers, or it frees."""
    one.idempotency._answers._claim_ttl_ms = 60
    one.work.go.clear()
    fault = Fault("put", skip=1)
    setattr(state, when, fault)
    first = one.begin()
    async with asyncio.timeout(10):
        while fault.seen < 2:  # noqa: ASYNC110  # a timer of the claim's own
            await asyncio.sleep(0.005)
    if fails:
        one.work.failure = KeyError("of the work")
    one.work.go.set()

    if fails:
        with pytest.raises(KeyError):
            await first
        assert 201 == await two.once()
    else:
        assert (101, 101) == (await first, await two.once())


async def test_an_extension_that_comes_too_late_changes_nothing(
    state: FakeState, clock: FakeClock, one: Replica, two: Replica
) -> None:
    """The claim that another took meanwhile stays that one's."""
    one.idempotency._answers._claim_ttl_ms = 300
    one.work.go.clear()
    two.work.go.clear()
    paused = one.begin()
    await turns()
    clock.advance(300)
    other = two.begin()
    await turns()
    held = dict(state.values)
    await until(state, "put")
    assert held == state.values
    one.work.go.set()
    two.work.go.set()

    assert (201, 201) == (await paused, await other)


async def test_an_extension_on_its_way_is_awaited(state: FakeState, one: Replica) -> None:
    """Its version decides what the answer is written over."""
    one.idempotency._answers._claim_ttl_ms = 60
    one.work.go.clear()
    landed, go = asyncio.Event(), asyncio.Event()
    puts = 0

    async def slow(method: str, _name: str) -> None:
        nonlocal puts
        puts += method == "put"
        if method == "put" and puts == 2:
            landed.set()
            await go.wait()

    state.after = slow
    first = one.begin()
    await asyncio.wait_for(landed.wait(), 10)
    one.work.go.set()
    await turns()
    assert not first.done()
    go.set()

    assert 101 == await first


async def test_nobody_waits_for_those_who_went_away(
    state: FakeState, clock: FakeClock, two: Replica
) -> None:
    """A replica whose callers are gone takes over no work; who comes then begins anew."""
    await left_by_a_dead_process(state)
    caller = two.begin()
    await until(state, "get")
    caller.cancel()
    await two.idempotency.settle()
    clock.advance(CLAIM_TTL_MS)
    await turns()
    assert 200 == two.work.done

    assert 201 == await two.once()


async def test_one_caller_who_stays_is_enough(
    state: FakeState, clock: FakeClock, two: Replica
) -> None:
    """The wait goes on for the others."""
    await left_by_a_dead_process(state)
    leaving, staying = two.begin(), two.begin()
    await until(state, "get")
    leaving.cancel()
    await until(state, "get")
    clock.advance(CLAIM_TTL_MS)

    assert 201 == await staying


async def test_what_can_not_be_read_is_not_done_again(state: FakeState, one: Replica) -> None:
    """A record of another release, or one that somebody tampered with, is no free id."""
    await one.once()
    (name,) = state.values
    other = Replica(state, FakeClock(), 2)
    value = state.values[name]
    state.values[name] = Value(value.data[:-1] + bytes([value.data[-1] ^ 1]), value.version)

    with pytest.raises(StateUnavailable, match="can't read") as caught:
        await other.once()
    assert caught.value.retry_after_ms
    assert 200 == other.work.done


async def test_an_answer_that_can_not_be_read_is_not_made_again(one: Replica, two: Replica) -> None:
    """The codec of this release does not know it."""

    class Other(IntCodec):
        """Reads nothing."""

        def load(self, data: bytes) -> int:
            """Refuse."""
            raise ValueError("another form")

    await one.once()
    with pytest.raises(StateUnavailable, match="can't read"):
        await two.idempotency.once("sign/desk", ID, b"f", two.work, Other())
    assert 200 == two.work.done


async def test_an_answer_that_can_not_be_dumped_frees_the_id(one: Replica, two: Replica) -> None:
    """A fault of ours is no claim for ever."""

    class Broken(IntCodec):
        """Writes nothing."""

        def dump(self, answer: int) -> bytes:
            """Fail."""
            raise TypeError("no answer")

    with pytest.raises(TypeError):
        await one.idempotency.once("sign/desk", ID, b"f", one.work, Broken())
    assert 201 == await two.once()


async def test_the_state_shows_neither_caller_nor_id_nor_answer(
    state: FakeState, one: Replica
) -> None:
    """A name is a hash, and the rest is sealed, also while the work goes on."""
    one.work.go.clear()
    task = one.begin(b"fingerprint")
    await turns()
    held = dict(state.values)
    one.work.go.set()
    await task
    held_later = dict(state.values)

    for values in (held, held_later):
        ((name, value),) = values.items()
        assert name.startswith("request/")
        assert 64 == len(name.removeprefix("request/"))
        for shown in (b"desk", ID.encode(), ID.replace("-", "").encode(), b"fingerprint", b"101"):
            assert shown not in name.encode() + value.data


async def test_a_claim_is_for_one_at_a_time(state: FakeState) -> None:
    """Of two who claim the same version, one gets it."""
    claims = [
        Claim(sealed(state), "request/x", Claimed(b"f", bytes([n]) * 16), 5_000) for n in (1, 2)
    ]

    assert [True, False] == [await claim.take(0) for claim in claims]
    await claims[0].release()
    assert {} == state.values


async def test_work_without_an_id_is_done_to_its_end(one: Replica) -> None:
    """Its caller may go away, and an orderly end waits for it; a failure there ends quietly."""
    for failure in (None, KeyError("unforeseen")):
        one.work.failure = failure
        one.work.go.clear()
        caller = asyncio.ensure_future(one.idempotency.to_the_end(one.work))
        await turns()
        caller.cancel()
        end = asyncio.ensure_future(one.idempotency.settle())
        await turns()
        assert not end.done()
        one.work.go.set()
        await end
    assert 102 == one.work.done

    one.work.failure = None
    assert 103 == await one.idempotency.to_the_end(one.work)
