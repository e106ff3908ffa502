"""The cache's checks: the store is asked whether a key changed, and its secret left alone."""

import asyncio

import pytest

from cache_desk import HARD_MS, SOFT_MS, Desk
from privyseald.errors import SecretStoreForbidden, SecretStoreSealed
from privyseald.key import KeyState
from privyseald.secretstore.cache import CachePolicy, KeyCache
from privyseald.signing.secret import SecretBytes
from privyseald.signing.signer import Credential
from secret_store_home import OTHER, hmac_document


@pytest.mark.parametrize("age_ms", [SOFT_MS, 2 * SOFT_MS, HARD_MS])
async def test_a_key_that_did_not_change_is_not_read_again(desk: Desk, age_ms: int) -> None:
    """A check renews the key's life, and no secret travels for it."""
    first = await desk.cache.open("desk-1")
    for _ in range(5):
        desk.clock.advance(age_ms)
        await desk.state()
        await desk.quiet()

    assert (1, 5) == (desk.reads, desk.looks)
    assert first is await desk.cache.open("desk-1")


async def test_a_key_made_anew_under_its_id_is_read_again(desk: Desk) -> None:
    """Deleted and created, a key has version 1 as before, and another secret."""
    before = await (await desk.cache.open("desk-1")).signer.sign(b"message")
    await desk.store.delete("desk-1")
    await desk.store.create("desk-1", hmac_document(OTHER))
    desk.clock.advance(2 * SOFT_MS)

    assert before != await (await desk.cache.open("desk-1")).signer.sign(b"message")
    assert 2 == desk.reads


async def test_where_only_the_document_may_be_read_it_decides(desk: Desk) -> None:
    """A policy that grants no metadata costs a read for each check, but no key."""

    async def before(method: str, _key_id: str) -> None:
        if method == "revision":
            raise SecretStoreForbidden("metadata denied")

    desk.store.before = before
    await desk.state()
    desk.clock.advance(2 * SOFT_MS)

    assert KeyState.ENABLED is await desk.state()
    assert (2, 1) == (desk.reads, desk.looks)


async def test_all_who_ask_at_once_share_one_check(desk: Desk) -> None:
    """However many use an old key, the store is asked once."""
    await desk.state()
    desk.clock.advance(2 * SOFT_MS)
    await asyncio.gather(*(desk.state() for _ in range(200)))

    assert (1, 1) == (desk.reads, desk.looks)


async def test_a_store_that_hangs_holds_nobody_up_for_long(desk: Desk) -> None:
    """A caller with a usable key waits half a second at most, and those after it not at all."""
    await desk.state()
    desk.clock.advance(2 * SOFT_MS)
    desk.go.clear()
    loop = asyncio.get_running_loop()
    start = loop.time()
    assert KeyState.ENABLED is await desk.state()
    first_s = loop.time() - start
    await asyncio.gather(*(desk.state() for _ in range(100)))
    rest_s = loop.time() - start - first_s
    desk.go.set()
    await desk.quiet()

    assert 1 == desk.looks
    assert 0.4 < first_s < 2
    assert rest_s < 0.4


async def test_a_hanging_store_does_not_stretch_the_hard_life(desk: Desk) -> None:
    """Past the hard life a caller waits for the store, and has what it says."""
    await desk.state()
    desk.go.clear()
    desk.clock.advance(HARD_MS - 1)
    caller = asyncio.ensure_future(desk.state())
    await desk.quiet()
    desk.clock.advance(1)
    await asyncio.sleep(0.7)
    assert not caller.done()
    desk.failure = SecretStoreSealed("sealed")
    desk.go.set()

    with pytest.raises(SecretStoreSealed):
        await caller


async def test_while_the_store_is_away_nobody_waits_for_it(desk: Desk) -> None:
    """Once a check failed, the next ones are made behind the callers' backs."""
    await desk.state()
    desk.failure = SecretStoreSealed("sealed")
    desk.clock.advance(2 * SOFT_MS)
    await desk.state()
    desk.clock.advance(1_000)
    desk.go.clear()
    async with asyncio.timeout(0.3):
        assert KeyState.ENABLED is await desk.state()
    desk.failure = None
    await desk.store.set_state("desk-1", KeyState.DISABLED)
    desk.go.set()
    await desk.quiet()

    assert KeyState.DISABLED is await desk.state()


async def test_a_check_from_before_a_change_renews_nothing(desk: Desk) -> None:
    """A key that was forgotten while it was checked is not put back."""
    await desk.state()
    desk.clock.advance(2 * SOFT_MS)
    desk.go.clear()
    early = asyncio.ensure_future(desk.state())
    await desk.quiet()
    desk.cache.forget("desk-1")
    desk.go.set()
    await early

    assert 0 == len(desk.cache._entries)


async def test_a_sweep_lets_go_of_what_nobody_may_use(desk: Desk) -> None:
    """Also an idle server does not hold a secret for longer than its hard life."""
    await desk.state()
    desk.clock.advance(HARD_MS)
    desk.cache.sweep()
    assert ["desk-1"] == list(desk.cache._entries)
    desk.clock.advance(1)
    desk.cache.sweep()

    assert [] == list(desk.cache._entries)


async def test_the_number_of_keys_held_is_bounded() -> None:
    """Beyond the bound the keys that were checked longest ago are read anew when used."""
    desk = Desk(CachePolicy(SOFT_MS, HARD_MS, most=3))
    for index in range(5):
        await desk.store.create(f"key-{index}", hmac_document())
        await desk.state(f"key-{index}")
    assert ["key-2", "key-3", "key-4"] == list(desk.cache._entries)
    await desk.state("key-0")

    assert 6 == desk.reads


async def test_a_key_is_prepared_once_for_each_revision(desk: Desk) -> None:
    """What a check confirms is handed out as it is."""
    prepared: list[Credential] = []
    cache = KeyCache(desk.store, prepared.append, desk.clock, CachePolicy(SOFT_MS, HARD_MS))
    for _ in range(3):
        await cache.open("desk-1")
        desk.clock.advance(2 * SOFT_MS)
    await desk.store.delete("desk-1")
    await desk.store.create("desk-1", hmac_document(SecretBytes(OTHER).reveal().decode()))
    await cache.open("desk-1")

    assert 2 == len(prepared)
