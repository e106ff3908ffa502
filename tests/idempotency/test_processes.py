"""Replicas as processes on one real Valkey: killed, paused, and raced."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, Popen

import pytest

from fakes import sealed
from idempotency.work import CLAIM_TTL_MS, CODEC, ID, Work
from privyseald.clock import SystemClock
from privyseald.errors import RequestIdReused
from privyseald.idempotency.idempotency import Idempotency
from privyseald.open_state import open_state
from privyseald.state.state import State
from privyseald.state_config import StateConfig
from valkey_server import ValkeyServer

_PROGRAM = Path(__file__).parent / "replica.py"
_SCOPE = "sign/desk"


@pytest.fixture
async def state(valkey_server: ValkeyServer) -> AsyncIterator[State]:
    """A way to the server."""
    opened = await open_state(StateConfig(url=valkey_server.url), SystemClock())
    yield opened
    await opened.close()


@pytest.fixture
def idempotency(state: State) -> Idempotency:
    """A replica in this process."""
    return Idempotency(sealed(state), SystemClock(), claim_ttl_ms=CLAIM_TTL_MS)


@contextmanager
def replica(server: ValkeyServer) -> Iterator["Popen[str]"]:
    """Start another replica, and return once it is at work."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, str(_PROGRAM), server.url, _SCOPE, ID]
    with Popen(command, stdin=PIPE, stdout=PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            assert "at work\n" == process.stdout.readline()
            yield process
        finally:
            process.kill()


async def test_replicas_that_race_do_the_work_once(valkey_server: ValkeyServer) -> None:
    """A hundred duplicates over three connections: one is done, and all get its answer."""
    states = [await open_state(StateConfig(url=valkey_server.url), SystemClock()) for _ in range(3)]
    replicas = [Idempotency(sealed(state), SystemClock()) for state in states]
    work = Work()
    answers = await asyncio.gather(
        *(replicas[number % 3].once(_SCOPE, ID, b"f", work, CODEC) for number in range(100))
    )

    assert ([1] * 100, 1) == (answers, work.done)
    for state in states:
        await state.close()


async def test_a_killed_replica_is_replaced_when_its_claim_ends(
    valkey_server: ValkeyServer, idempotency: Idempotency
) -> None:
    """Killed between claim and answer, it leaves the id taken for no longer than the claim."""
    work = Work()
    with replica(valkey_server) as process:
        with pytest.raises(RequestIdReused):
            await idempotency.once(_SCOPE, ID, b"other", work, CODEC)
        process.kill()
        process.wait()
        killed_s = time.monotonic()
        answer = await idempotency.once(_SCOPE, ID, b"f", work, CODEC)
        waited_s = time.monotonic() - killed_s

    assert (1, 1) == (answer, work.done)
    # The claim's time, one pause between two looks, and a machine that is busy.
    assert waited_s < CLAIM_TTL_MS / 1_000 + 0.2 + 3


async def test_a_replica_at_long_work_keeps_its_claim(
    valkey_server: ValkeyServer, idempotency: Idempotency
) -> None:
    """A duplicate elsewhere waits for much longer than the claim's time, and gets its answer."""
    work = Work()
    with replica(valkey_server) as process:
        duplicate = asyncio.ensure_future(idempotency.once(_SCOPE, ID, b"f", work, CODEC))
        await asyncio.sleep(2.5 * CLAIM_TTL_MS / 1_000)
        assert not duplicate.done()
        assert process.stdin is not None
        process.stdin.write("42\n")
        process.stdin.flush()

        assert 42 == await duplicate
    assert 0 == work.done


async def test_a_replica_that_stood_still_gives_the_others_answer(
    valkey_server: ValkeyServer, idempotency: Idempotency
) -> None:
    """Stopped by a signal until another has answered, it throws away what it made."""
    work = Work()
    with replica(valkey_server) as process:
        process.send_signal(signal.SIGSTOP)
        assert 1 == await idempotency.once(_SCOPE, ID, b"f", work, CODEC)
        process.send_signal(signal.SIGCONT)
        printed, _ = await asyncio.to_thread(process.communicate, "42\n", 20)

    assert "1\n" == printed
    assert 1 == await idempotency.once(_SCOPE, ID, b"f", work, CODEC)
