import asyncio

import pytest

from cache_desk import HARD_MS, SOFT_MS, Desk
from privyseald.errors import (
    CredentialMalformed,
    KeyUnknown,
    PrivysealError,
    SecretStoreForbidden,
    SecretStoreSealed,
    SecretStoreUnreachable,
    VenueUnknown,
)
from privyseald.key import KeyState
from privyseald.secretstore.cache import CachePolicy, KeyCache
from secret_store_home import hmac_document

AWAY = (SecretStoreSealed("sealed"), SecretStoreUnreachable("no answer"))
VERDICTS = (
    KeyUnknown("deleted"),
    SecretStoreForbidden("forbidden"),
    CredentialMalformed("malformed"),
)


async def test_all_who_ask_at_once_share_one_read(desk: Desk) -> None:
    """The store is asked once, however many want the key."""
    opened = await asyncio.gather(*(desk.cache.open("desk-1") for _ in range(200)))

    assert (1, 1) == (desk.reads, len({id(each) for each in opened}))


async def test_a_fresh_key_costs_no_read(desk: Desk) -> None:
    """Until the soft life is over, the store is left alone."""
    await desk.state()
    desk.clock.advance(SOFT_MS - 1)
    await desk.state()

    assert (1, 0) == (desk.reads, desk.looks)


async def test_a_key_past_its_soft_life_is_checked_behind_the_callers_back(desk: Desk) -> None:
    """The caller does not wait, and the next one has what was read."""
    await desk.state()
    await desk.store.set_state("desk-1", KeyState.DISABLED)
    desk.clock.advance(SOFT_MS)

    assert KeyState.ENABLED is await desk.state()
    await desk.quiet()
    assert (KeyState.DISABLED, 2, 1) == (await desk.state(), desk.reads, desk.looks)


async def test_an_older_key_is_checked_first(desk: Desk) -> None:
    """From twice the soft life on, nobody uses the key before the store was heard."""
    await desk.state()
    await desk.store.set_state("desk-1", KeyState.DISABLED)
    desk.clock.advance(2 * SOFT_MS)

    assert KeyState.DISABLED is await desk.state()


@pytest.mark.parametrize("away", AWAY)
@pytest.mark.parametrize("age_ms", [SOFT_MS, 2 * SOFT_MS, HARD_MS - 1])
async def test_a_store_that_is_away_lets_the_key_serve(
    desk: Desk, away: PrivysealError, age_ms: int
) -> None:
    """Up to the hard life, a key goes on while the store is sealed or does not answer."""
    await desk.state()
    desk.failure = away
    desk.clock.advance(age_ms)

    assert KeyState.ENABLED is await desk.state()


@pytest.mark.parametrize("away", AWAY)
async def test_the_hard_life_bounds_that(desk: Desk, away: PrivysealError) -> None:
    """After it there is no key, and the caller hears what the store said."""
    await desk.state()
    desk.failure = away
    desk.clock.advance(HARD_MS)
    with pytest.raises(type(away)) as caught:
        await desk.state()

    assert away is caught.value
    desk.failure = None
    desk.clock.advance(1_000)
    assert KeyState.ENABLED is await desk.state()


async def test_the_hard_life_also_ends_while_a_caller_waits(desk: Desk) -> None:
    """A store that is slow to fail does not stretch the hard life."""
    await desk.state()
    desk.failure = AWAY[0]
    desk.go.clear()
    desk.clock.advance(HARD_MS - 1)
    caller = asyncio.ensure_future(desk.state())
    await desk.quiet()
    desk.clock.advance(1)
    desk.go.set()

    with pytest.raises(SecretStoreSealed):
        await caller


@pytest.mark.parametrize("age_ms", [SOFT_MS, 2 * SOFT_MS])
async def test_a_store_that_is_away_is_asked_once_a_second(desk: Desk, age_ms: int) -> None:
    """Meanwhile no request waits for it, and it is not run over when it comes back."""
    await desk.state()
    desk.failure = AWAY[0]
    desk.clock.advance(age_ms)
    for _ in range(100):
        await desk.state()
        await desk.quiet()
    assert 1 == desk.looks

    desk.clock.advance(999)
    await desk.state()
    await desk.quiet()
    assert 1 == desk.looks
    desk.clock.advance(1)
    await desk.state()
    await desk.quiet()
    assert (2, 1) == (desk.looks, desk.reads)


@pytest.mark.parametrize("verdict", VERDICTS)
@pytest.mark.parametrize("age_ms", [SOFT_MS, 2 * SOFT_MS])
async def test_what_the_store_says_of_a_key_takes_effect_at_once(
    desk: Desk, verdict: PrivysealError, age_ms: int
) -> None:
    """A key that is deleted, forbidden or malformed is gone, even if the store then goes away."""
    await desk.state()
    desk.failure = verdict
    desk.clock.advance(age_ms)
    await asyncio.gather(desk.state(), return_exceptions=True)
    await desk.quiet()
    desk.failure = AWAY[1]
    desk.clock.advance(5_000)

    with pytest.raises(SecretStoreUnreachable):
        await desk.state()


async def test_a_key_that_can_not_be_prepared_is_gone_too(desk: Desk) -> None:
    """A document that no longer fits its venue counts as malformed does."""
    await desk.state()
    desk.doubt = VenueUnknown("no such venue")
    await desk.store.set_state("desk-1", KeyState.DISABLED)
    desk.clock.advance(2 * SOFT_MS)
    with pytest.raises(VenueUnknown):
        await desk.state()
    desk.failure = AWAY[0]

    with pytest.raises(SecretStoreSealed):
        await desk.state()


async def test_an_unforeseen_fault_reaches_all_who_wait(desk: Desk) -> None:
    """A bug is told, not served over; and in the background it leaves no complaint."""
    desk.failure = KeyError("bug")
    answers = await asyncio.gather(*(desk.state() for _ in range(5)), return_exceptions=True)
    assert [desk.failure] * 5 == answers
    desk.failure = None
    await desk.state()
    desk.failure = KeyError("bug")
    desk.clock.advance(SOFT_MS)

    assert KeyState.ENABLED is await desk.state()
    await desk.quiet()


async def test_a_forgotten_key_is_read_anew(desk: Desk) -> None:
    """What was changed here takes effect here at once."""
    await desk.state()
    await desk.store.set_state("desk-1", KeyState.DISABLED)
    desk.cache.forget("desk-1")
    desk.cache.forget("unknown")

    assert KeyState.DISABLED is await desk.state()


async def test_a_read_under_way_does_not_bring_a_forgotten_key_back(desk: Desk) -> None:
    """What was read before the change is not kept after it, nor joined by later callers."""
    held = asyncio.Event()

    async def after(method: str, _key_id: str) -> None:
        if method == "open" and desk.reads == 1:
            await held.wait()

    desk.store.after = after
    early = asyncio.ensure_future(desk.state())
    await desk.quiet()
    await desk.store.set_state("desk-1", KeyState.DISABLED)
    desk.cache.forget("desk-1")

    assert KeyState.DISABLED is await desk.state()
    held.set()
    assert KeyState.ENABLED is await early
    assert (KeyState.DISABLED, 2) == (await desk.state(), desk.reads)


@pytest.mark.parametrize("verdict", [*VERDICTS, *AWAY])
async def test_a_read_from_before_can_not_end_a_newer_key(
    desk: Desk, verdict: PrivysealError
) -> None:
    """A verdict that is older than the change says nothing of the key that stands there now."""
    held = asyncio.Event()

    async def before(method: str, _key_id: str) -> None:
        if method == "open" and desk.reads == 1:
            await held.wait()
            raise verdict

    desk.store.before = before
    early = asyncio.ensure_future(desk.state())
    await desk.quiet()
    desk.cache.forget("desk-1")
    await desk.state()
    held.set()
    with pytest.raises(type(verdict)):
        await early

    assert (KeyState.ENABLED, 2) == (await desk.state(), desk.reads)


async def test_a_key_forgotten_while_a_caller_waits_does_not_serve(desk: Desk) -> None:
    """When the store is away, a key that was just disabled here is not served from memory."""
    await desk.state()
    desk.go.clear()
    desk.failure = AWAY[0]
    desk.clock.advance(2 * SOFT_MS)
    caller = asyncio.ensure_future(desk.state())
    await desk.quiet()
    desk.cache.forget("desk-1")
    desk.go.set()

    with pytest.raises(SecretStoreSealed):
        await caller


async def test_a_caller_who_goes_away_does_not_end_the_read(desk: Desk) -> None:
    """The others get their key from the one read."""
    desk.go.clear()
    callers = [asyncio.ensure_future(desk.state()) for _ in range(3)]
    await desk.quiet()
    callers[0].cancel()
    await desk.quiet()
    desk.go.set()

    assert [KeyState.ENABLED] * 2 == await asyncio.gather(*callers[1:])
    assert (True, 1) == (callers[0].cancelled(), desk.reads)


async def test_a_key_that_is_not_there_is_no_entry(desk: Desk) -> None:
    """Asking for made-up names pushes no key out."""
    for index in range(100):
        with pytest.raises(KeyUnknown):
            await desk.state(f"made-up-{index}")
    await desk.quiet()

    assert (0, 0) == (len(desk.cache._entries), len(desk.cache._checks))


async def test_keys_that_nobody_may_use_any_more_leave_the_memory(desk: Desk) -> None:
    """A key that was not asked for within its hard life is let go, secret and all."""
    for index in range(10):
        await desk.store.create(f"key-{index}", hmac_document())
        await desk.state(f"key-{index}")
    desk.clock.advance(HARD_MS // 2)
    await desk.state("key-0")
    desk.clock.advance(HARD_MS // 2 + 1)
    await desk.state("desk-1")

    assert ["key-0", "desk-1"] == list(desk.cache._entries)


async def test_a_life_of_nothing_asks_each_time(desk: Desk) -> None:
    """With both lives 0, no key is used unasked, and an outage is told at once."""
    cache = KeyCache(desk.store, lambda each: each, desk.clock, CachePolicy(0, 0))
    await cache.open("desk-1")
    desk.clock.advance(1)
    await cache.open("desk-1")
    assert (1, 1) == (desk.reads, desk.looks)
    desk.failure = AWAY[0]

    with pytest.raises(SecretStoreSealed):
        await cache.open("desk-1")


async def test_a_read_that_outlasts_the_hard_life_is_not_kept(desk: Desk) -> None:
    """What was asked so long ago serves those who waited, and nobody after them."""
    desk.go.clear()
    caller = asyncio.ensure_future(desk.state())
    await desk.quiet()
    desk.clock.advance(HARD_MS + 1)
    desk.go.set()

    assert KeyState.ENABLED is await caller
    await desk.state()
    assert 2 == desk.reads


async def test_a_read_that_ends_by_cancellation_is_tried_again(desk: Desk) -> None:
    """A read that is cancelled from within leaves nothing behind."""
    desk.failure = asyncio.CancelledError()
    with pytest.raises(asyncio.CancelledError):
        await desk.state()
    desk.failure = None

    assert KeyState.ENABLED is await desk.state()
