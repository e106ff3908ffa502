"""A state whose primary changes: sentinels, clusters."""

import asyncio
import time
from binascii import crc_hqx
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from bao import free_port
from clocks import SkewedClock
from privyseald.errors import StateUnavailable, Unavailable
from privyseald.state.state import HIGHEST, Step
from privyseald.state.valkey import ValkeyState
from privyseald.state_config import StateConfig
from service import eventually
from valkey_sentinel import ValkeySentinel
from valkey_server import ValkeyServer

SLOT = crc_hqx(b"privyseal", 0) % 16_384


def step() -> Step:
    """Return a step as a venue with a window asks for it."""
    now = time.time_ns() // 1_000_000
    return Step(now, now + 2_500, 500, 5_000, now, 1)


async def next_value(state: ValkeyState) -> int:
    """Return the next value, as soon as there is one."""
    async with asyncio.timeout(40):
        while True:
            try:
                return await state.advance("n", step())
            except Unavailable:
                await asyncio.sleep(0.01)


async def open_at(url: str) -> ValkeyState:
    """Return the state at a URL."""
    return await ValkeyState.open(StateConfig(url=url), SkewedClock())


def primary_of(servers: list[ValkeyServer], sentinel: ValkeySentinel) -> ValkeyServer:
    """Return the server that is the primary now: a slow machine may have changed that."""
    port = sentinel.primary_port()
    return next(server for server in servers if server.port == port)


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[list[ValkeyServer]]:
    """A primary and its replica."""
    with ExitStack() as running:
        primary = ValkeyServer(tmp_path / "primary")
        replica = ValkeyServer(tmp_path / "replica", "--replicaof", f"127.0.0.1 {primary.port}")
        for server in (primary, replica):
            running.callback(server.stop)
            server.start()
        yield [primary, replica]


@pytest.fixture
async def sentinel(servers: list[ValkeyServer], tmp_path: Path) -> AsyncIterator[ValkeySentinel]:
    """A sentinel that knows both."""
    watching = ValkeySentinel(tmp_path / "sentinel", "desk", servers[0])
    try:
        watching.start()

        async def is_ready() -> bool:
            in_touch = servers[1].info("master_link_status") == "up"
            return in_touch and watching.knows_replica()

        # The sentinel asks the primary for its replicas every ten seconds.
        async with asyncio.timeout(30):
            while not await is_ready():  # noqa: ASYNC110  # in other processes
                await asyncio.sleep(0.05)
        servers[0].settle()
        yield watching
    finally:
        watching.stop()


async def test_a_failover_begins_an_epoch_and_repeats_nothing(
    servers: list[ValkeyServer], sentinel: ValkeySentinel
) -> None:
    """The replica may lack the last writes, so nothing is given for 5 s, and then what is new."""
    primary = primary_of(servers, sentinel)
    state = await open_at(sentinel.url)
    other = await open_at(sentinel.url)
    try:
        given = [await each.advance("n", step()) for _ in range(50) for each in (state, other)]
        far = await state.advance("far", Step(given[-1] + 10**9, HIGHEST, 1, 5_000, given[-1], 1))
        async with state.signals() as names:
            primary.kill()
            given += [await next_value(each) for _ in range(50) for each in (other, state)]
            assert "" == await asyncio.wait_for(anext(names), 5)
        assert sentinel.primary_port() != primary.port
        assert far < (await state.advance("far", Step(1, HIGHEST, 1, 5_000, given[-1], 1)))
        assert len(given) == len(set(given))
    finally:
        await state.close()
        await other.close()


async def test_a_primary_that_ends_while_the_sentinels_hang_is_missed_at_once(
    servers: list[ValkeyServer], sentinel: ValkeySentinel
) -> None:
    """Whoever waits for another one then waits, and turns no loop meanwhile."""
    primary = primary_of(servers, sentinel)
    state = await open_at(sentinel.url)
    try:
        await state.get("n")
        sentinel.pause()
        for _ in range(3):
            # Most of the time it is asked, each time until state.timeout_ms is over.
            await asyncio.sleep(1.1)
            await state.get("n")
        primary.kill()
        begun_s = time.process_time()
        for _ in range(2):
            with pytest.raises(StateUnavailable):
                await state.get("n")
        assert time.process_time() - begun_s < 0.2
    finally:
        sentinel.resume()
        await state.close()


async def test_a_primary_that_was_replaced_while_it_hung_is_left(
    servers: list[ValkeyServer], sentinel: ValkeySentinel
) -> None:
    """When it goes on it believes for a moment that it is the primary; nobody asks it."""
    primary = primary_of(servers, sentinel)
    state = await open_at(sentinel.url)
    try:
        given = [await state.advance("n", step()) for _ in range(50)]
        primary.pause()
        given += [await next_value(state)]
        primary.resume()
        given += [await next_value(state) for _ in range(500)]
        assert len(given) == len(set(given))
        assert sentinel.primary_port() == state._link._address.port  # type: ignore[union-attr]
    finally:
        await state.close()


async def test_a_replica_is_no_place_for_steps(servers: list[ValkeyServer]) -> None:
    """Whoever connects to one by mistake is told so."""
    state = await open_at(servers[1].url)
    try:
        for ask in (state.advance("n", step()), state.put("n", b"")):
            with pytest.raises(StateUnavailable, match="is a replica"):
                await ask
    finally:
        await state.close()


async def test_a_primary_without_its_replicas_is_told(servers: list[ValkeyServer]) -> None:
    """With min-replicas-to-write, which an isolated primary is stopped by."""
    primary, replica = servers
    primary.command("CONFIG", "SET", "min-replicas-to-write", "1", "min-replicas-max-lag", "1")
    primary.settle()
    state = await open_at(primary.url)
    try:
        replica.kill()

        async def is_refused() -> bool:
            try:
                await state.advance("n", step())
            except StateUnavailable as error:
                return "too few replicas" in error.message
            return False

        await eventually(is_refused)
    finally:
        await state.close()


async def test_a_sentinel_may_want_a_password_of_its_own(
    valkey_server: ValkeyServer, tmp_path: Path
) -> None:
    """It is another one than the primary's."""
    sentinel = ValkeySentinel(
        tmp_path / "sentinel", "desk", valkey_server, "requirepass sentinels-own"
    )
    file = tmp_path / "password"
    file.touch(mode=0o600)
    sentinel.start()
    try:
        for content, words in (("wrong", "sentinel_password_file"), ("sentinels-own", "")):
            file.write_text(content)
            config = StateConfig(url=sentinel.url, sentinel_password_file=file)
            state = await ValkeyState.open(config, SkewedClock())
            try:
                if words:
                    with pytest.raises(StateUnavailable, match=words):
                        await state.check()
                else:
                    await state.check()
            finally:
                await state.close()
    finally:
        sentinel.stop()


async def test_a_name_that_the_sentinel_does_not_know_is_told(sentinel: ValkeySentinel) -> None:
    """The name stands in the URL."""
    state = await open_at(sentinel.url.replace("desk", "other"))
    try:
        with pytest.raises(StateUnavailable, match="unknown to the sentinel"):
            await state.check()
    finally:
        await state.close()


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[list[ValkeyServer]]:
    """A cluster of two: the first has this service's slot, the second all others."""
    with ExitStack() as running:
        buses = {name: str(free_port()) for name in ("one", "other")}
        cluster = [
            ValkeyServer(
                tmp_path / name,
                *("--cluster-enabled", "yes", "--cluster-node-timeout", "5000"),
                *("--cluster-port", bus),
            )
            for name, bus in buses.items()
        ]
        for node in cluster:
            running.callback(node.stop)
            node.start()
        one, other = cluster
        one.command("CLUSTER", "ADDSLOTSRANGE", str(SLOT), str(SLOT))
        other.command("CLUSTER", "ADDSLOTSRANGE", "0", str(SLOT - 1), str(SLOT + 1), "16383")
        one.command("CLUSTER", "MEET", "127.0.0.1", str(other.port), buses["other"])

        async def is_whole() -> bool:
            infos = [node.command("CLUSTER", "INFO") for node in cluster]
            return all(b"cluster_state:ok" in info for info in infos)

        await eventually(is_whole)
        one.settle()
        yield cluster


async def test_a_cluster_is_asked_where_the_slot_is(nodes: list[ValkeyServer]) -> None:
    """Any node of it will do in the URL, and all of the port works."""
    other = nodes[1]
    state = await open_at(f"valkey+cluster://127.0.0.1:1,127.0.0.1:{other.port}")
    try:
        given = [await state.advance("n", step()) for _ in range(10)]
        assert sorted(set(given)) == given
        version = await state.put("kind/name", b"data", ttl_ms=60_000)
        assert ["kind/name"] == list(await state.list("kind/"))
        async with state.signals() as names:
            await state.signal("kind/name")
            assert "kind/name" == await asyncio.wait_for(anext(names), 5)
        assert await state.delete("kind/name", version=version)
        await state.check()
        assert b":0\r\n" == other.command("DBSIZE")
    finally:
        await state.close()


async def test_a_slot_that_moves_is_followed(nodes: list[ValkeyServer]) -> None:
    """The other node has another memory: that is a new epoch."""
    one, other = nodes
    state = await open_at(f"valkey+cluster://127.0.0.1:{one.port}")
    try:
        given = [await state.advance("n", step()) for _ in range(10)]
        one.command("FLUSHALL")
        target = other.command("CLUSTER", "MYID").split(b"\r\n")[1]
        for node in (other, one):
            assert b"OK" in node.command("CLUSTER", "SETSLOT", str(SLOT), "NODE", target)
        began = time.monotonic()
        given.append(await next_value(state))
        assert given[-1] > given[-2]
        assert time.monotonic() - began > 4
        assert b":0\r\n" != other.command("DBSIZE")
    finally:
        await state.close()
