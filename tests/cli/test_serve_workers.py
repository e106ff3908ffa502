import asyncio
import os
import re
import signal
import socket
import time
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import grpc
import pytest

from bao import BaoServer
from cli.host import (
    WORKERS,
    Host,
    import_desk_key,
    is_running,
    load,
    until,
    until_health,
    until_read,
)
from cli.program import Process
from service import failure_of
from telemetry.scraped import fetch, scrape
from valkey_server import ValkeyServer

_CUT_OFF = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}


@pytest.fixture
async def host(
    tmp_path: Path, bao: BaoServer, valkey_server: ValkeyServer, prefix: str
) -> AsyncIterator[Host]:
    """Two workers that are ready, and a key."""
    async with Host(tmp_path, bao, valkey_server, prefix) as host:
        await import_desk_key(host)
        yield host


async def test_workers_are_one_service_on_one_port(host: Host) -> None:
    """Both take connections, no two nonces are equal, and each writes files of its own."""
    desks = await host.desks(8)
    before = {worker: len(host.audit(worker)) for worker in WORKERS}
    async with load(desks):
        await until(lambda: all(len(host.audit(each)) > before[each] + 100 for each in WORKERS))

    nonces = [nonce for desk in desks for nonce in desk.nonces]
    assert len(nonces) == len(set(nonces)) > 200
    assert [] == [desk for desk in desks if any(a >= b for a, b in pairwise(desk.nonces))]
    assert [] == [failure for desk in desks for failure in desk.failures]
    for worker in WORKERS:
        lines = host.audit(worker)
        assert {f"{socket.gethostname()}/worker-{worker}"} == {each["replica"] for each in lines}
        assert list(range(1, len(lines) + 1)) == [each["sequence"] for each in lines]
    assert not (host.folder / "audit.jsonl").exists()
    serving = host.events("serving")
    assert ({1, 2}, {host.port}) == ({e["worker"] for e in serving}, {e["port"] for e in serving})
    assert [(2, host.port, host.ops_port)] == [
        (e["workers"], e["port"], e["ops_port"]) for e in host.events("supervising")
    ]


async def test_the_metrics_of_both_workers_are_on_one_page(host: Host) -> None:
    """Each series names its worker, and counters add up to what was done."""
    desks = await host.desks(4)
    for desk in desks:
        await desk.sign()
    (event,) = host.events("supervising")
    found = await scrape(event["http_ops_port"])
    signed = sum(len(desk.nonces) for desk in desks)
    assert found.total("privyseal_signatures_total", venue="whitebit") == signed
    for worker in map(str, WORKERS):
        assert found.value("privyseal_ready", worker=worker) == 1
        assert found.total("privyseal_rpc_requests_total", worker=worker) > 0
    assert found.value("privyseal_workers", state="ready", worker="0") == len(WORKERS)
    assert {"0", "1", "2"} == {dict(labels)["worker"] for _, labels in found.samples}
    page = await fetch(event["http_ops_port"], "/readyz")
    assert page.status == 200


def limits_of(pid: int) -> str:
    """Return what the kernel allows a process."""
    return Path(f"/proc/{pid}/limits").read_text()


async def test_no_process_can_leave_a_core(host: Host) -> None:
    """The supervisor and each worker close their memory."""
    for pid in (host.pid, *host.lives(1), *host.lives(2)):
        assert re.search(r"^Max core file size +0 +0 ", limits_of(pid), re.MULTILINE)


async def test_a_worker_killed_under_load_costs_its_connections_alone(host: Host) -> None:
    """The other worker serves as if nothing was; the dead one is replaced and ready again."""
    desks = await host.desks(8)
    killed = [desk for desk in desks if desk.worker == 1]
    others = [desk for desk in desks if desk.worker == 2]
    async with load(desks):
        os.kill(host.lives(1)[0], signal.SIGKILL)
        await until_health(host, ready=False)
        assert await host.health("liveness")
        await until_health(host, ready=True)
        marks = [len(desk.nonces) for desk in desks]
        await until(
            lambda: all(len(d.nonces) > mark + 5 for d, mark in zip(desks, marks, strict=True))
        )

    assert [] == [failure for desk in others for failure in desk.failures]
    assert {grpc.StatusCode.UNAVAILABLE} == {each for desk in killed for each in desk.failures}
    nonces = [nonce for desk in desks for nonce in desk.nonces]
    assert len(nonces) == len(set(nonces))
    assert (2, 1) == (len(host.lives(1)), len(host.lives(2)))
    [death] = host.events("worker died")
    assert (1, "SIGKILL", 1_000, "error") == tuple(
        death[name] for name in ("worker", "cause", "again_in_ms", "level")
    )
    fresh = await host.desks(4)
    assert set(WORKERS) == {desk.worker for desk in fresh}


async def test_each_worker_follows_the_policy(host: Host) -> None:
    """A new policy is in force in both, without a failure; then a caller has no right at either."""
    desks = await host.desks(4)
    policy = host.folder / "policy.yaml"
    text = policy.read_text()
    async with load(desks):
        policy.write_text(f"# once more\n{text}")
        await until(lambda: set(WORKERS) == {e["worker"] for e in host.events("policy replaced")})
    assert [] == [failure for desk in desks for failure in desk.failures]
    for worker in WORKERS:
        events = [line.get("event", "") for line in host.audit(worker)]
        assert ["policy-loaded", "policy-reloaded"] == [e for e in events if "policy" in e]

    policy.write_text(text.replace('["*"]', '["other-*"]'))
    await until(lambda: len(host.events("policy replaced")) == 2 * len(WORKERS))
    for desk in desks:
        failure = await failure_of(desk.sign())
        assert ("PERMISSION_DENIED", "POLICY_DENIED") == (failure.code, failure.reason)


async def test_workers_do_not_outlive_their_supervisor(host: Host) -> None:
    """After kill -9 of the supervisor they end by themselves within seconds, in order."""
    desks = await host.desks(4)
    workers = [*host.lives(1), *host.lives(2)]
    async with load(desks):
        assert -signal.SIGKILL == host.signal(signal.SIGKILL)
        begun_s = time.monotonic()
        await until(lambda: not any(is_running(pid) for pid in workers))
        assert time.monotonic() - begun_s < 10
    assert set(WORKERS) == {each["worker"] for each in host.events("supervisor gone")}
    assert set(WORKERS) == {each["worker"] for each in host.events("stopped")}
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", host.port))
        other.listen()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_workers_that_hang_in_their_start_end_too(
    tmp_path: Path, bao: BaoServer, valkey_server: ValkeyServer, prefix: str, number: int
) -> None:
    """A disk that does not answer keeps a start for ever: nothing is to be saved by then."""
    host = Host(tmp_path, bao, valkey_server, prefix)
    endless = tmp_path / "endless.pem"
    os.mkfifo(endless)
    folder = host._service.directory
    tls = {"certificate_file": folder / "server.pem", "client_ca_file": endless}
    tls["private_key_file"] = folder / "server-key.pem"
    host._service.override("server", {"tls": tls})
    starting = asyncio.create_task(host.__aenter__())
    writer = await until_read(endless)
    assert await host.health("liveness")
    assert not await host.health()
    workers = [*host.lives(1), *host.lives(2)]

    ended = await asyncio.to_thread(host.signal, number)
    assert (-number if number == signal.SIGKILL else 0) == ended
    assert 2 == len(workers)
    await until(lambda: not any(is_running(pid) for pid in workers))
    os.close(writer)
    with pytest.raises(TimeoutError, match="not ready"):
        await starting


async def test_sigterm_drains_all_workers(
    tmp_path: Path, bao: BaoServer, valkey_server: ValkeyServer, prefix: str
) -> None:
    """Not ready at once, live to the end; RPCs go on through the drain delay, and a second
    signal changes nothing of that.
    """
    async with Host(tmp_path, bao, valkey_server, prefix, drain_delay_ms=1_500) as host:
        await import_desk_key(host)
        desks = await host.desks(6)
        workers = [*host.lives(1), *host.lives(2)]
        async with load(desks):
            for _ in range(2):
                os.kill(host.pid, signal.SIGTERM)
                await until_health(host, ready=False)
                assert await host.health("liveness")
            marks = [len(desk.nonces) for desk in desks]
            await asyncio.sleep(0.5)
            assert all(len(d.nonces) > mark for d, mark in zip(desks, marks, strict=True))
            assert [] == [failure for desk in desks for failure in desk.failures]
            assert 0 == await asyncio.to_thread(host.signal, signal.SIGTERM)
        assert [] == [pid for pid in workers if is_running(pid)]
        for name in ("draining", "stopped"):
            assert set(WORKERS) == {e["worker"] for e in host.events(name) if "worker" in e}
        assert [] == [*host.events("worker died"), *host.events("workers killed")]
        assert "stopped" == host.events()[-1]["event"]
        assert {failure for desk in desks for failure in desk.failures} <= _CUT_OFF
        nonces = [nonce for desk in desks for nonce in desk.nonces]
        assert len(nonces) == len(set(nonces))
        # Each answer that a caller got stands in a log.
        signed = host.signed(1) | host.signed(2)
        assert len(signed) >= len(nonces)


async def test_a_worker_can_be_renewed_by_hand(host: Host) -> None:
    """SIGTERM to one worker: it drains, and another takes its place."""
    os.kill(host.lives(2)[0], signal.SIGTERM)
    await until(lambda: len(host.lives(2)) == 2)
    await until_health(host, ready=True)
    assert ["exit code 0"] == [each["cause"] for each in host.events("worker died")]
    assert 1 == len(host.lives(1))


async def refused(host: Host, old: str, new: str) -> Process:
    """Serve once and end; then change the configuration, and serve until that is refused."""
    async with host:
        pass
    config = host.folder / "privyseal.toml"
    text = config.read_text()
    assert old in text
    config.write_text(text.replace(old, new))
    process = Process(host.folder, "serve", "--config", "privyseal.toml")
    assert 2 == await asyncio.to_thread(process.wait)
    return process


async def test_what_workers_refuse_is_told_once(
    tmp_path: Path, bao: BaoServer, valkey_server: ValkeyServer, prefix: str
) -> None:
    """A mistake that only a worker can see ends all, with its words and exit code 2."""
    place = "[venues.kiiex.base_urls]\n"
    host = Host(tmp_path, bao, valkey_server, prefix)
    process = await refused(host, place, f'{place}moon = "https://moon.test"\n')

    said = [line for line in process.stderr_file.read_text().splitlines() if line[:1] != "{"]
    assert 1 == len(said)
    assert said[0].startswith("error: venues.kiiex.base_urls.moon: is no environment of")
    started = [each["worker"] for each in process.events() if each["event"] == "worker started"]
    assert sorted(WORKERS) == sorted(started)


async def test_workers_need_a_state_that_they_share(
    tmp_path: Path, bao: BaoServer, valkey_server: ValkeyServer, prefix: str
) -> None:
    """Several processes on an embedded state would give nonces twice: refused, with a remedy."""
    host = Host(tmp_path, bao, valkey_server, prefix)
    process = await refused(host, f'url = "{valkey_server.url}"', 'url = "embedded"')

    assert process.stderr_file.read_text() == (
        "error: privyseal.toml: server.workers = 2 needs a state that they share: "
        "set state.url = 'valkey://host:6379/0', or server.workers = 1\n"
    )
