import asyncio

from privyseald.state.local_signals import LocalSignals


async def test_a_full_queue_becomes_one_empty_name() -> None:
    """What follows is heard after it; nothing grows without bound."""
    signals = LocalSignals(most_waiting=3)
    async with signals.listen() as names:
        for index in range(8):
            signals.send(f"n{index}")
            assert all(queue.qsize() <= 3 for queue in signals._listeners)
        got = [await anext(names) for _ in range(2)]
        signals.send("last")

        assert ["", "n7"] == got
        assert "last" == await anext(names)


async def test_a_listener_that_leaves_is_forgotten() -> None:
    """Also one that never heard anything."""
    signals = LocalSignals()
    async with signals.listen():
        assert 1 == len(signals._listeners)

    assert not signals._listeners


async def test_after_a_close_there_is_nothing_to_hear() -> None:
    """What was told before is still heard; a new listener ends at once."""
    signals = LocalSignals()
    async with signals.listen() as names:
        signals.send("n")
        signals.close()
        assert ["n"] == [name async for name in names]
    async with asyncio.timeout(10), signals.listen() as names:
        assert [] == [name async for name in names]
