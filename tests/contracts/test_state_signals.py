import asyncio
from collections.abc import AsyncIterator

from privyseald.errors import StateUnavailable
from state_home import StateHome


async def heard(names: AsyncIterator[str]) -> str:
    """Return the next name that is not empty."""
    async with asyncio.timeout(10):
        async for name in names:
            if name:
                return name
    raise AssertionError("the listener ended")


async def test_all_who_listen_hear_a_signal(state_home: StateHome) -> None:
    """Each listener hears each name, in order, whatever characters it has."""
    state = await state_home.start()
    told = ["hold/1", "a*[?]{}%/ b", "hold/2"]

    async with state.signals() as one, state.signals() as other:
        for name in told:
            await state.signal(name)
        for names in (one, other):
            assert told == [await heard(names) for _ in told]
    await state.close()


async def test_who_no_longer_listens_disturbs_nobody(state_home: StateHome) -> None:
    """A listener that left is forgotten, and one that comes hears what follows; what was told
    just before may still be on its way to it.
    """
    state = await state_home.start()

    async with state.signals() as one:
        async with state.signals():
            await state.signal("first")
        await state.signal("second")
        async with state.signals() as late:
            await state.signal("third")
            while await heard(late) != "third":
                pass
        assert ["first", "second", "third"] == [await heard(one) for _ in range(3)]
    await state.signal("nobody listens")
    await state.close()


async def test_a_slow_listener_is_told_that_it_missed_some(state_home: StateHome) -> None:
    """Its names do not pile up: an empty one stands for those that were dropped, and the newest
    are heard.
    """
    state = await state_home.start()

    async with state.signals() as names:
        for index in range(3_000):
            await state.signal(f"n{index}")
        got: list[str] = []
        async with asyncio.timeout(10):
            async for name in names:
                got.append(name)
                if name == "n2999":
                    break

    assert "" in got
    assert len(got) < 3_000
    await state.close()


async def test_a_close_ends_what_is_listened_to(state_home: StateHome) -> None:
    """A listener waits for nothing any more: it ends, or is told that the state is away."""
    state = await state_home.start()

    async def listen() -> None:
        async with state.signals() as names:
            async for _ in names:
                pass

    listening = asyncio.ensure_future(listen())
    await asyncio.sleep(0)
    await state.signal("n")
    await state.close()

    async with asyncio.timeout(10):
        answer = (await asyncio.gather(listening, return_exceptions=True))[0]
    assert answer is None or isinstance(answer, StateUnavailable)
