import asyncio
import gc
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest

from fakes import FakeClock, FakeState, sealed
from idempotency.work import CODEC, ID, Work, turns
from privyseald.errors import FieldInvalid, RequestIdReused, StateUnavailable
from privyseald.idempotency.idempotency import Idempotency

TTL_MS = 600_000
LONG_MS = 10 * TTL_MS


@pytest.fixture
def clock() -> FakeClock:
    """A clock that the test moves."""
    return FakeClock()


@pytest.fixture
def state(clock: FakeClock) -> FakeState:
    """What replicas share."""
    return FakeState(clock)


@pytest.fixture
def idempotency(clock: FakeClock, state: FakeState) -> Idempotency:
    """One that remembers nothing yet, and whose claims outlast what the clock jumps."""
    return Idempotency(sealed(state), clock, claim_ttl_ms=LONG_MS)


@pytest.fixture
def work() -> Work:
    """Something that is to be done once."""
    return Work()


@pytest.fixture(autouse=True)
async def _unseen() -> AsyncIterator[None]:
    """Fails a test that leaves an exception which nobody looked at."""
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _loop, context: complaints.append(context)
    )
    yield
    await asyncio.sleep(0)
    gc.collect()
    assert [] == complaints


async def test_the_first_answer_is_everyones(idempotency: Idempotency, work: Work) -> None:
    """Duplicates, later ones and concurrent ones, get the first answer."""
    concurrent = await asyncio.gather(
        *(idempotency.once("sign", ID, b"f", work, CODEC) for _ in range(100))
    )
    later = await idempotency.once("sign", ID, b"f", work, CODEC)

    assert ([1] * 100, 1, 1) == (concurrent, later, work.done)


async def test_without_an_id_each_request_is_new(idempotency: Idempotency, work: Work) -> None:
    """No id, no memory."""
    assert [1, 2] == [await idempotency.once("sign", "", b"f", work, CODEC) for _ in range(2)]


async def test_a_failure_is_not_remembered(idempotency: Idempotency, work: Work) -> None:
    """All who wait hear the failure; the next request with the id is tried anew."""
    work.failure = failure = StateUnavailable("away")
    answers = await asyncio.gather(
        *(idempotency.once("sign", ID, b"f", work, CODEC) for _ in range(50)),
        return_exceptions=True,
    )
    assert ([failure] * 50, 1) == (answers, work.done)

    work.failure = None
    assert [2, 2] == [await idempotency.once("sign", ID, b"f", work, CODEC) for _ in range(2)]


async def test_another_request_under_the_id_is_refused(
    idempotency: Idempotency, work: Work
) -> None:
    """An id stands for one request, while that is under way and afterwards."""
    work.go.clear()
    first = asyncio.ensure_future(idempotency.once("sign", ID, b"one", work, CODEC))
    await turns()
    with pytest.raises(RequestIdReused):
        await idempotency.once("sign", ID, b"other", work, CODEC)
    work.go.set()

    assert 1 == await first
    with pytest.raises(RequestIdReused):
        await idempotency.once("sign", ID, b"other", work, CODEC)
    assert 1 == work.done


async def test_after_a_failure_the_id_is_free_for_another_request(
    idempotency: Idempotency, work: Work
) -> None:
    """A failed request leaves nothing behind, not even its fingerprint."""
    work.failure = StateUnavailable("away")
    with pytest.raises(StateUnavailable):
        await idempotency.once("sign", ID, b"one", work, CODEC)
    work.failure = None

    assert 2 == await idempotency.once("sign", ID, b"other", work, CODEC)


async def test_scopes_are_apart(idempotency: Idempotency, work: Work) -> None:
    """One caller's id means nothing to another, nor one RPC's to another."""
    scopes = ("sign/one", "sign/other", "create-key/one")

    assert [1, 2, 3] == [await idempotency.once(scope, ID, b"f", work, CODEC) for scope in scopes]
    assert [1, 2, 3] == [await idempotency.once(scope, ID, b"f", work, CODEC) for scope in scopes]


@pytest.mark.parametrize("form", [ID, ID.upper(), ID.replace("-", "")])
async def test_forms_of_one_uuid_are_one_id(
    idempotency: Idempotency, work: Work, form: str
) -> None:
    """Case and hyphens make no difference."""
    await idempotency.once("sign", ID, b"f", work, CODEC)

    assert 1 == await idempotency.once("sign", form, b"f", work, CODEC)


@pytest.mark.parametrize(
    "form",
    [
        "1",
        "order-1",
        ID[:-1],
        ID + "0",
        " " + ID,
        ID + "\n",
        "{" + ID + "}",
        "urn:uuid:" + ID,
        ID.replace("8b", "_b"),
        ID.replace("8", "\u0668"),
        "8-b1f3a525f0e4a1c9a510b8f1d6f7c11",
    ],
)
async def test_what_is_no_uuid_is_refused(idempotency: Idempotency, work: Work, form: str) -> None:
    """An id that may not be unique is refused by field, before anything is done."""
    with pytest.raises(FieldInvalid, match="must be a UUID") as caught:
        await idempotency.once("sign", form, b"f", work, CODEC)

    assert ("request_id", 0) == (caught.value.field, work.done)


async def test_an_answer_lives_ten_minutes(
    clock: FakeClock, idempotency: Idempotency, work: Work
) -> None:
    """Counted from when it was there: until then it is given, then the id is free."""
    work.go.clear()
    first = asyncio.ensure_future(idempotency.once("sign", ID, b"f", work, CODEC))
    await turns()
    clock.advance(2 * TTL_MS)
    waiting = asyncio.ensure_future(idempotency.once("sign", ID, b"f", work, CODEC))
    await turns()
    work.go.set()
    assert (1, 1) == (await first, await waiting)

    clock.advance(TTL_MS - 1)
    assert 1 == await idempotency.once("sign", ID, b"f", work, CODEC)
    clock.advance(1)
    assert 2 == await idempotency.once("sign", ID, b"f", work, CODEC)


async def test_memory_is_bounded_by_the_answers_sizes(clock: FakeClock, state: FakeState) -> None:
    """When the memory is spent, the oldest answers go first, and large ones count as large."""
    idempotency, calls = Idempotency(sealed(state), clock, capacity_bytes=10 * 2_048), 0
    large, small = int("7" * 1_020), 7

    async def once(number: int, answer: int = large) -> None:
        async def act() -> int:
            nonlocal calls
            calls += 1
            return answer

        request_id = str(uuid.UUID(int=number))
        assert answer == await idempotency.once("sign", request_id, b"f", act, CODEC)

    for number in range(30):
        await once(number)
    state.values.clear()
    for number in range(20, 30):
        await once(number)
    assert 30 == calls
    await once(19, small)
    assert 31 == calls
    for number in (19, 22, 29):
        await once(number, small if number == 19 else large)
    assert 31 == calls
    await once(20)
    assert 32 == calls


async def test_work_under_way_is_never_forgotten(
    clock: FakeClock, state: FakeState, work: Work
) -> None:
    """However much comes meanwhile, a duplicate of a slow request does not do it again."""
    idempotency = Idempotency(sealed(state), clock, claim_ttl_ms=LONG_MS, capacity_bytes=5_000)
    slow, quick = Work(), work
    slow.go.clear()
    first = asyncio.ensure_future(idempotency.once("sign", ID, b"f", slow, CODEC))
    await turns()
    for index in range(50):
        await idempotency.once("sign", str(uuid.UUID(int=index)), b"f", quick, CODEC)
    clock.advance(TTL_MS)
    second = asyncio.ensure_future(idempotency.once("sign", ID, b"f", slow, CODEC))
    await turns()
    slow.go.set()

    assert (1, 1, 1) == (await first, await second, slow.done)


async def test_a_caller_who_goes_away_does_not_end_the_work(
    idempotency: Idempotency, work: Work
) -> None:
    """The work goes on without its caller, and the retry gets its answer."""
    work.go.clear()
    caller = asyncio.ensure_future(idempotency.once("sign", ID, b"f", work, CODEC))
    await turns()
    caller.cancel()
    await turns()
    assert caller.cancelled()
    retry = asyncio.ensure_future(idempotency.once("sign", ID, b"f", work, CODEC))
    await turns()
    work.go.set()

    assert (1, 1) == (await retry, work.done)


async def test_work_that_fails_without_its_caller_ends_quietly(
    idempotency: Idempotency, work: Work
) -> None:
    """A failure that nobody hears is not remembered either, and is no complaint of the loop's."""
    work.go.clear()
    work.failure = KeyError("unforeseen")
    caller = asyncio.ensure_future(idempotency.once("sign", ID, b"f", work, CODEC))
    await turns()
    caller.cancel()
    await turns()
    work.go.set()
    await turns()
    work.failure = None
    gc.collect()

    assert 2 == await idempotency.once("sign", ID, b"f", work, CODEC)


async def test_settling_waits_for_all_work(idempotency: Idempotency, work: Work) -> None:
    """An orderly end comes after the work whose caller went away; with none it comes at once."""
    await idempotency.settle()
    work.go.clear()
    caller = asyncio.ensure_future(idempotency.once("create-key", ID, b"f", work, CODEC))
    await turns()
    caller.cancel()
    end = asyncio.ensure_future(idempotency.settle())
    await turns()
    assert not end.done()
    work.go.set()
    await end

    assert 1 == await idempotency.once("create-key", ID, b"f", work, CODEC)


async def test_work_that_is_cancelled_is_not_remembered(
    idempotency: Idempotency, work: Work
) -> None:
    """Work that ends by its own cancellation counts as not done."""
    work.failure = asyncio.CancelledError()
    with pytest.raises(asyncio.CancelledError):
        await idempotency.once("sign", ID, b"f", work, CODEC)
    work.failure = None

    assert 2 == await idempotency.once("sign", ID, b"f", work, CODEC)
