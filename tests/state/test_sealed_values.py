import asyncio

import pytest
from structlog.testing import capture_logs

from fakes import FakeClock, FakeState, sealed
from privyseald.errors import SecretStoreSealed
from privyseald.signing.secret import SecretBytes
from privyseald.state.sealed_values import SealedValues

CANARY = b"canary-8d21f7"


class KeyGiver:
    """Gives the key of a secret store that may be away."""

    def __init__(self) -> None:
        self.asked = 0
        self.go = asyncio.Event()
        self.go.set()
        self.is_away = False

    async def __call__(self) -> SecretBytes:
        """Return the key."""
        self.asked += 1
        await self.go.wait()
        if self.is_away:
            raise SecretStoreSealed("sealed")
        return SecretBytes(bytes(32))


@pytest.fixture
def state() -> FakeState:
    """A state with nothing in it."""
    return FakeState(FakeClock())


@pytest.fixture
def giver() -> KeyGiver:
    """What asks the secret store."""
    return KeyGiver()


@pytest.fixture
def values(state: FakeState, giver: KeyGiver) -> SealedValues:
    """A sealed way to the state."""
    return SealedValues(state, giver)


async def test_what_is_put_comes_back(state: FakeState, values: SealedValues) -> None:
    """With its version, and with nothing of it in the state."""
    version = await values.put("one", CANARY, version=0)
    found = await values.get("one")

    assert found is not None
    assert (CANARY, version) == (found.data, found.version)
    assert CANARY not in state.values["one"].data


async def test_versions_and_times_are_the_states(values: SealedValues) -> None:
    """A write or a removal by another version is refused as the state refuses it."""
    version = await values.put("one", b"a")

    assert None is await values.put("one", b"b", version=0)
    assert not await values.delete("one", version=99)
    assert await values.delete("one", version=version)
    assert None is await values.get("one")


async def test_a_content_is_bound_to_its_name(state: FakeState, values: SealedValues) -> None:
    """What someone moved to another name in the state comes back empty, and is logged."""
    await values.put("one", CANARY)
    await state.put("other", state.values["one"].data)

    with capture_logs() as logs:
        found = await values.get("other")
    assert found is not None
    assert b"" == found.data
    assert [("error", "other")] == [(each["log_level"], each["name"]) for each in logs]


@pytest.mark.parametrize("cut", [0, 5, 12, 20, -1])
async def test_what_was_tampered_with_comes_back_empty(
    state: FakeState, values: SealedValues, cut: int
) -> None:
    """A shortened value is told from none."""
    await values.put("one", CANARY)
    version = await state.put("one", state.values["one"].data[:cut])

    found = await values.get("one")
    assert found is not None
    assert (b"", version) == (found.data, found.version)


async def test_under_another_key_nothing_opens(state: FakeState, values: SealedValues) -> None:
    """A server with another key reads nothing."""
    await values.put("one", CANARY)

    found = await sealed(state).get("one")
    assert found is not None
    assert b"" == found.data


async def test_one_content_is_never_sealed_the_same_twice(
    state: FakeState, values: SealedValues
) -> None:
    """Nobody who reads the state can tell that two values are equal."""
    await values.put("one", CANARY)
    first = state.values["one"].data
    await values.put("one", CANARY)

    assert first != state.values["one"].data


async def test_the_key_is_read_once_for_all_who_wait(values: SealedValues, giver: KeyGiver) -> None:
    """Also when the first who asked goes away."""
    giver.go.clear()
    first = asyncio.ensure_future(values.open())
    others = [asyncio.ensure_future(values.get("one")) for _ in range(10)]
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    giver.go.set()

    assert [None] * 10 == await asyncio.gather(*others)
    await values.put("one", b"")
    assert 1 == giver.asked


async def test_a_store_that_is_away_is_asked_again(values: SealedValues, giver: KeyGiver) -> None:
    """All who wait hear what the store says; the next one asks anew."""
    giver.is_away = True
    answers = await asyncio.gather(
        values.get("one"), values.put("one", b""), values.open(), return_exceptions=True
    )
    assert [SecretStoreSealed] * 3 == [type(answer) for answer in answers]

    giver.is_away = False
    await values.open()
    assert 2 == giver.asked


async def test_the_key_shows_nowhere(values: SealedValues) -> None:
    """Neither by repr nor in what hangs on the object."""
    await values.open()

    assert "SecretBytes(hidden)" == repr(vars(values)["_key"])
