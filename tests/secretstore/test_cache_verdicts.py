"""What a store said of a key that can't be had is remembered for a moment, and bounded."""

import asyncio

import pytest

from cache_desk import HARD_MS, Desk
from privyseald.errors import (
    CredentialMalformed,
    KeyUnknown,
    PrivysealError,
    SecretStoreForbidden,
    SecretStoreSealed,
    SecretStoreUnreachable,
)
from privyseald.key import KeyState
from secret_store_home import hmac_document


async def refused(desk: Desk, key_id: str = "desk-1") -> PrivysealError:
    """Return how the key is refused."""
    with pytest.raises(PrivysealError) as caught:
        await desk.state(key_id)
    return caught.value


async def test_an_unknown_key_is_looked_for_every_five_seconds(desk: Desk) -> None:
    """Asking again and again for a key that is not there does not reach the store."""
    for _ in range(50):
        assert isinstance(await refused(desk, "none"), KeyUnknown)
    desk.clock.advance(4_999)
    await refused(desk, "none")
    assert 1 == desk.reads
    desk.clock.advance(1)
    await refused(desk, "none")

    assert 2 == desk.reads


async def test_a_key_that_is_made_here_is_known_at_once(desk: Desk) -> None:
    """`forget` ends the memory of a key that was not there."""
    await refused(desk, "new")
    await desk.store.create("new", hmac_document())
    desk.cache.forget("new")

    assert KeyState.ENABLED is await desk.state("new")


async def test_made_up_ids_fill_no_memory(desk: Desk) -> None:
    """Of very many unknown ids the oldest are forgotten."""
    for index in range(2_000):
        await refused(desk, f"made-up-{index}")
    assert 1_024 == len(desk.cache._verdicts)
    await refused(desk, "made-up-1999")
    assert 2_000 == desk.reads
    await refused(desk, "made-up-0")

    assert 2_001 == desk.reads


@pytest.mark.parametrize(
    "failure",
    [
        SecretStoreForbidden("forbidden"),
        SecretStoreSealed("sealed", retry_after_ms=1_000),
        SecretStoreUnreachable("no answer", retry_after_ms=5_000),
    ],
)
async def test_what_ails_the_store_is_looked_at_once_a_second(
    desk: Desk, failure: PrivysealError
) -> None:
    """A store that is away, or forbids, is not run over by those who want a key."""
    desk.failure = failure
    assert failure is await refused(desk)
    again = [await refused(desk) for _ in range(50)]
    assert 1 == desk.reads
    assert {(type(failure), failure.message)} == {(type(each), each.message) for each in again}
    assert failure not in again
    desk.clock.advance(1_000)
    desk.failure = None

    assert KeyState.ENABLED is await desk.state()


async def test_the_delay_told_is_the_time_that_is_left(desk: Desk) -> None:
    """A caller who waits as long as it was told finds the store asked again."""
    desk.failure = SecretStoreSealed("sealed", retry_after_ms=1_000)
    await refused(desk)
    desk.clock.advance(400)

    assert 600 == (await refused(desk)).retry_after_ms


async def test_past_the_hard_life_nobody_waits_for_a_store_that_is_away(desk: Desk) -> None:
    """Once it was found away, all are refused at once, and told when to try again."""
    await desk.state()
    desk.failure = SecretStoreSealed("sealed", retry_after_ms=1_000)
    desk.clock.advance(HARD_MS)
    await refused(desk)
    desk.go.clear()

    assert 1_000 == (await refused(desk)).retry_after_ms
    assert (1, 1) == (desk.reads, desk.looks)


async def test_a_malformed_document_is_read_at_each_use(desk: Desk) -> None:
    """A custodian who corrects it sees the effect at once."""
    desk.failure = CredentialMalformed("malformed")
    await refused(desk)
    desk.failure = None

    assert KeyState.ENABLED is await desk.state()


async def test_a_key_that_comes_back_is_remembered_as_known(desk: Desk) -> None:
    """A good read ends what was said before."""
    desk.failure = SecretStoreSealed("sealed", retry_after_ms=1_000)
    await refused(desk)
    desk.clock.advance(1_000)
    desk.failure = None
    await desk.state()

    assert 0 == len(desk.cache._verdicts)


async def test_a_store_that_hangs_holds_up_nobody_without_hope(desk: Desk) -> None:
    """Where the store was away the last time, a refusal comes within half a second."""
    desk.failure = SecretStoreSealed("sealed", retry_after_ms=1_000)
    await refused(desk)
    desk.clock.advance(1_000)
    desk.go.clear()
    async with asyncio.timeout(1):
        failures = await asyncio.gather(*(refused(desk) for _ in range(50)))

    assert {(SecretStoreUnreachable, 1_000)} == {
        (type(each), each.retry_after_ms) for each in failures
    }
    assert 2 == desk.reads
    desk.failure = None
    desk.go.set()
    await desk.quiet()
    assert KeyState.ENABLED is await desk.state()
