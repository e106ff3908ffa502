import asyncio
import string
import time

import pytest

from privyseald.errors import StateUnavailable
from privyseald.state.state import State, Value
from service import eventually
from state_home import StateHome

ODD_NAMES = [
    "a b",
    "*",
    "a/*",
    "a?",
    "[ab]",
    "{}",
    "{a}/b",
    "100%",
    "%2F",
    "a\\b",
    "a:b",
    "'\"",
    "/",
    "//a",
    "a//b",
    "x" * 1_000,
    string.printable.strip(),
]


async def data_of(state: State, name: str = "n") -> bytes | None:
    """Return what stands there."""
    found = await state.get(name)
    return found.data if found else None


async def test_what_is_put_is_there(state_home: StateHome) -> None:
    """A name holds what was written last, and nothing before that."""
    state = await state_home.start()

    assert None is await state.get("n")
    first = await state.put("n", b"one")
    assert Value(b"one", first or 0) == await state.get("n")
    second = await state.put("n", b"two")
    assert Value(b"two", second or 0) == await state.get("n")
    await state.close()


@pytest.mark.parametrize("data", [b"", b"\0", bytes(range(256)), b"7 8\r\n", b"x" * 1_048_576])
async def test_data_is_bytes(state_home: StateHome, data: bytes) -> None:
    """Whatever is put comes back as it was, also after a crash."""
    state = await state_home.start()
    version = await state.put("n", data)
    await state_home.kill(state)

    again = await state_home.start()
    assert Value(data, version or 0) == await again.get("n")
    await again.close()


async def test_a_write_may_ask_for_what_stands_there(state_home: StateHome) -> None:
    """Version 0 stands for nothing; another than what is there writes nothing."""
    state = await state_home.start()

    for wrong in (1, 10**15):
        assert None is await state.put("n", b"x", version=wrong)
    first = await state.put("n", b"one", version=0)
    assert first
    for wrong in (0, first + 1, first - 1):
        assert None is await state.put("n", b"x", version=wrong)
    assert b"one" == await data_of(state)
    second = await state.put("n", b"two", version=first)
    assert None is await state.put("n", b"x", version=first)
    assert Value(b"two", second or 0) == await state.get("n")
    await state.close()


async def test_a_removal_may_ask_as_well(state_home: StateHome) -> None:
    """It is refused where something else stands, and done otherwise, also where nothing is."""
    state = await state_home.start()
    version = await state.put("n", b"one")
    assert version is not None

    for wrong in (0, version + 1):
        assert not await state.delete("n", version=wrong)
    assert b"one" == await data_of(state)
    assert await state.delete("n", version=version)
    assert None is await state.get("n")
    assert not await state.delete("n", version=version)
    assert await state.delete("n", version=0)
    assert await state.delete("n")
    await state.close()


async def test_versions_rise_over_removals_ends_and_restarts(state_home: StateHome) -> None:
    """Each write of a name has a higher version than all before it: a fencing token."""
    state = await state_home.start()
    versions = [await state.put("n", b"1"), await state.put("n", b"2")]
    await state.delete("n")
    versions.append(await state.put("n", b"3", version=0, ttl_ms=1))
    await eventually(lambda: is_gone(state))
    versions.append(await state.put("n", b"4", version=0))
    await state.delete("n")
    await state.close()
    again = await state_home.start()
    versions.append(await again.put("n", b"5", version=0))
    await again.delete("n")
    await state_home.kill(again)
    last = await state_home.start()
    versions.append(await last.put("n", b"6", version=0))

    whole = [version for version in versions if version]
    assert 6 == len(whole)
    assert sorted(set(whole)) == whole
    await last.close()


async def is_gone(state: State, name: str = "n") -> bool:
    """Return whether nothing stands there any more."""
    return await state.get(name) is None


async def test_a_value_ends_when_its_time_is_over(state_home: StateHome) -> None:
    """Until then it is there; from then on it is as if it had been removed."""
    state = await state_home.start()
    began = time.monotonic()
    version = await state.put("n", b"one", ttl_ms=300)
    assert b"one" == await data_of(state)
    assert None is await state.put("n", b"two", version=0)

    await eventually(lambda: is_gone(state))

    assert time.monotonic() - began >= 0.299
    assert {} == await state.list("")
    assert None is await state.put("n", b"two", version=version)
    assert not await state.delete("n", version=version)
    assert await state.put("n", b"two", version=0)
    await state.close()


async def test_a_write_sets_the_time_anew(state_home: StateHome) -> None:
    """A lease is extended by its version; without a time a value stays."""
    state = await state_home.start()
    lease = await state.put("lease", b"holder", version=0, ttl_ms=150)
    kept = await state.put("kept", b"one", ttl_ms=150)
    await state.put("short", b"one")
    assert await state.put("lease", b"holder", version=lease, ttl_ms=60_000)
    assert await state.put("kept", b"two", version=kept)
    assert await state.put("short", b"two", ttl_ms=200)

    await eventually(lambda: is_gone(state, "short"))

    assert [b"holder", b"two"] == [await data_of(state, name) for name in ("lease", "kept")]
    await state.close()


async def test_values_outlive_a_crash_and_their_times_do_too(state_home: StateHome) -> None:
    """What was acknowledged is found, what was removed is not, and no time begins anew."""
    state = await state_home.start()
    version = await state.put("kept", b"1")
    await state.put("short", b"2", ttl_ms=400)
    await state.put("long", b"3", ttl_ms=3_600_000)
    await state.put("gone", b"4")
    await state.delete("gone")
    await state_home.kill(state)

    again = await state_home.start()
    assert Value(b"1", version or 0) == await again.get("kept")
    await eventually(lambda: is_gone(again, "short"))
    assert ["kept", "long"] == sorted(await again.list(""))
    assert await again.delete("kept", version=version)
    await again.close()


async def test_a_list_holds_what_begins_so(state_home: StateHome) -> None:
    """A prefix may end anywhere in the name, and means itself."""
    state = await state_home.start()
    names = ["hold", "hold/", "hold/1", "hold/10", "hold/2/x", "holder/1", "other/hold/1", "Hold/1"]
    versions = {name: await state.put(name, name.encode()) for name in names}

    for prefix in ("hold/", "hold/1", "hold", "ho", "", "other/", "hold/3", "hold/2/x", "*", "h?"):
        expected = [name for name in names if name.startswith(prefix)]
        found = await state.list(prefix)
        assert sorted(expected) == sorted(found)
        for name, value in found.items():
            assert Value(name.encode(), versions[name] or 0) == value
    await state.close()


async def test_a_list_loses_what_is_removed(state_home: StateHome) -> None:
    """Also the last one of its kind."""
    state = await state_home.start()
    await state.put("hold/1", b"")
    await state.put("hold/2", b"")

    await state.delete("hold/1")
    assert ["hold/2"] == list(await state.list("hold/"))
    await state.delete("hold/2")
    assert {} == await state.list("hold/") == await state.list("")
    await state.close()


async def test_names_are_no_patterns(state_home: StateHome) -> None:
    """Any printable ASCII: each name is its own, in lists and after a crash too."""
    state = await state_home.start()
    versions = {name: await state.put(name, name.encode()) for name in ODD_NAMES}
    assert len(ODD_NAMES) == len(set(versions.values()))
    await state_home.kill(state)

    again = await state_home.start()
    for name in ODD_NAMES:
        assert Value(name.encode(), versions[name] or 0) == await again.get(name)
        with_name = {other for other in ODD_NAMES if other.startswith(name)}
        assert with_name == set(await again.list(name))
    for name in ODD_NAMES:
        assert await again.delete(name, version=versions[name])
    assert {} == await again.list("")
    await again.close()


async def test_values_and_counters_know_nothing_of_one_another(state_home: StateHome) -> None:
    """The same name may be both."""
    state = await state_home.start()
    await state.resync("n", 7)

    assert None is await state.get("n")
    await state.put("n", b"one")
    assert (7, 8) == await state.resync("n", 8)
    assert b"one" == await data_of(state)
    await state.close()


@pytest.mark.parametrize("version", [0, 1])
async def test_of_fifty_who_write_at_once_one_wins(state_home: StateHome, version: int) -> None:
    """Whether the name is free or held, exactly one finds what it asked for; and what is read is
    what that one wrote.
    """
    state = await state_home.start()
    there = await state.put("n", b"before") if version else 0

    answers = await asyncio.gather(
        *(state.put("n", f"{index}".encode(), version=there) for index in range(50))
    )

    winner = next(index for index, answer in enumerate(answers) if answer)
    assert 49 == answers.count(None)
    assert Value(f"{winner}".encode(), answers[winner] or 0) == await state.get("n")
    await state.close()


async def test_of_fifty_who_remove_at_once_one_does(state_home: StateHome) -> None:
    """A claim is taken once, however many try."""
    state = await state_home.start()
    version = await state.put("n", b"claim")

    answers = await asyncio.gather(*(state.delete("n", version=version) for _ in range(50)))

    assert (1, 49) == (answers.count(True), answers.count(False))
    await state.close()


async def test_increments_by_version_lose_nothing(state_home: StateHome) -> None:
    """Ten who read, add and write until they are let come to the sum."""
    state = await state_home.start()
    await state.put("n", b"0", version=0)

    async def add() -> None:
        for _ in range(10):
            while True:
                found = await state.get("n")
                assert found is not None
                data = f"{int(found.data) + 1}".encode()
                if await state.put("n", data, version=found.version):
                    break

    await asyncio.gather(*(add() for _ in range(10)))

    assert b"100" == await data_of(state)
    await state.close()


async def test_many_names_at_once(state_home: StateHome) -> None:
    """Hundreds of writes under way all land, each with a version of its own."""
    state = await state_home.start()

    versions = await asyncio.gather(
        *(state.put(f"many/{index}", f"{index}".encode()) for index in range(500))
    )

    assert 500 == len(set(versions) - {None})
    found = await state.list("many/")
    assert {f"many/{index}": f"{index}".encode() for index in range(500)} == {
        name: value.data for name, value in found.items()
    }
    await state.close()


async def test_a_caller_who_goes_away_disturbs_no_write(state_home: StateHome) -> None:
    """Those who wait beside it get what they ask for, and the next ones too."""
    state = await state_home.start()
    puts = [asyncio.ensure_future(state.put(f"n{index}", b"1")) for index in range(40)]
    await asyncio.sleep(0)
    for each in puts[::2]:
        each.cancel()
    answers = await asyncio.gather(*puts, return_exceptions=True)

    assert all(isinstance(answer, int) for answer in answers[1::2])
    assert {asyncio.CancelledError} == {type(answer) for answer in answers[::2]}
    for index in range(1, 40, 2):
        assert b"1" == await data_of(state, f"n{index}")
    assert await state.put("n0", b"2")
    await state.close()


async def test_a_value_shows_its_data_to_nobody(state_home: StateHome) -> None:
    """What is stored may be secret to a log."""
    state = await state_home.start()
    await state.put("n", b"canary")

    assert "canary" not in repr(await state.get("n"))
    assert "canary" not in repr(await state.list(""))
    await state.close()


async def test_a_closed_state_is_refused_by_name(state_home: StateHome) -> None:
    """After `close`, a second one is harmless, and all else raises StateUnavailable."""
    state = await state_home.start()
    await state.check()
    await state.put("n", b"one")
    await asyncio.gather(state.close(), state.close())
    await state.close()

    for call in (
        state.get("n"),
        state.put("n", b"two"),
        state.put("n", b"two", version=0),
        state.delete("n"),
        state.list(""),
        state.signal("n"),
        state.resync("n", 5),
        state.check(),
    ):
        with pytest.raises(StateUnavailable):
            await call
    again = await state_home.start()
    assert b"one" == await data_of(again)
    await again.close()


async def test_closing_leaves_writers_with_a_clear_answer(state_home: StateHome) -> None:
    """A write that a close overtakes is refused, or is there afterwards."""
    state = await state_home.start()
    puts = [asyncio.ensure_future(state.put(f"n{index}", b"1")) for index in range(100)]
    await asyncio.sleep(0)
    await state.close()
    answers = await asyncio.gather(*puts, return_exceptions=True)

    again = await state_home.start()
    for index, answer in enumerate(answers):
        assert isinstance(answer, int | StateUnavailable)
        if isinstance(answer, int):
            assert b"1" == await data_of(again, f"n{index}")
    await again.close()
