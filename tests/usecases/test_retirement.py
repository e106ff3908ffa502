import asyncio

import pytest
from structlog.testing import capture_logs

from fakes import NOW_MS, FakeClock, FakeStore, credential
from privyseald.errors import (
    CredentialMalformed,
    KeyUnknown,
    PrivysealError,
    SecretStoreForbidden,
    SecretStoreUnreachable,
)
from privyseald.key import Algorithm
from privyseald.signing.signer import Credential, Predecessor
from privyseald.usecases.retirement import Retirement


@pytest.fixture
def clock() -> FakeClock:
    """A clock that moves by hand."""
    return FakeClock()


@pytest.fixture
def store() -> FakeStore:
    """A store that notes what it is asked."""
    return FakeStore()


@pytest.fixture
def retirement(store: FakeStore, clock: FakeClock) -> Retirement:
    """What is under test."""
    return Retirement(store, clock)


def retired(store: FakeStore) -> list[str]:
    """Return the keys that the store was told to retire, in order."""
    return [key_id for method, key_id in store.calls if method == "retire"]


def opened(previous: Predecessor | None) -> Credential:
    """Return a credential as it comes from a store."""
    plain = credential("whitebit", Algorithm.HMAC_SHA512, "s", {"api_key": "k"})
    return Credential(plain.key, plain.fields, plain.signer, previous=previous)


async def test_a_version_is_retired_once_when_it_is_due(
    retirement: Retirement, store: FakeStore, clock: FakeClock
) -> None:
    """Not a millisecond before, and not again."""
    retirement.expect("key-1", NOW_MS + 100)
    seen = []
    for step_ms in (0, 99, 1, 1_000):
        clock.advance(step_ms)
        await retirement.sweep()
        seen.append(retired(store))

    assert [[], [], ["key-1"], ["key-1"]] == seen


async def test_an_opened_key_is_heard_of(retirement: Retirement, store: FakeStore) -> None:
    """A key that is opened after the end of its version before is retired then."""
    plain, rotated = opened(None), opened(Predecessor(NOW_MS - 1))

    assert (plain, rotated) == (retirement.hear(plain), retirement.hear(rotated))
    await retirement.sweep()
    assert ["desk-1"] == retired(store)


async def test_a_store_that_is_away_is_asked_later(
    retirement: Retirement, store: FakeStore, clock: FakeClock
) -> None:
    """An outage loses nothing, and is not hammered."""
    retirement.expect("key-1", NOW_MS)

    async def away(_method: str, _key_id: str) -> None:
        raise SecretStoreUnreachable("away")

    store.before = away
    await retirement.sweep()
    await retirement.sweep()
    clock.advance(60_000)
    await retirement.sweep()

    assert ["key-1", "key-1"] == retired(store)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (KeyUnknown("gone"), []),
        (SecretStoreForbidden("grant it"), [("key-1", "info", "")]),
        (CredentialMalformed("correct it"), [("key-1", "warning", "correct it")]),
    ],
)
async def test_a_refusal_is_told_once(
    retirement: Retirement,
    store: FakeStore,
    error: PrivysealError,
    told: list[tuple[str, str, str]],
) -> None:
    """A key that was deleted needs no word; a server that may not leaves it to another; what an
    operator must see to is a warning.
    """
    retirement.expect("key-1", NOW_MS)

    async def refuse(_method: str, _key_id: str) -> None:
        raise error

    store.before = refuse
    with capture_logs() as lines:
        await retirement.sweep()
        await retirement.sweep()

    assert told == [(line["key"], line["log_level"], line.get("advice", "")) for line in lines]
    assert ["key-1"] == retired(store)


async def test_it_runs_by_itself(
    retirement: Retirement, store: FakeStore, clock: FakeClock
) -> None:
    """News are acted on at once, and what lies ahead when its time comes."""
    task = asyncio.create_task(retirement.run())
    try:
        await asyncio.sleep(0.01)
        retirement.expect("key-1", NOW_MS + 60)
        await asyncio.sleep(0.01)
        before = retired(store)
        clock.advance(60)
        async with asyncio.timeout(5):
            while not retired(store):  # noqa: ASYNC110  # the task is another
                await asyncio.sleep(0.005)
    finally:
        task.cancel()

    assert ([], ["key-1"]) == (before, retired(store))
