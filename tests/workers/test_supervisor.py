import json
import os
import signal
import socket
import time
from pathlib import Path

import pytest

from fakes import FakeClock
from privyseald.config_error import ConfigInvalid
from privyseald.workers import worker_process
from privyseald.workers.supervisor import WorkerTimes
from workers.crew import Crew, running


def is_there(pid: int) -> bool:
    """Whether a process is there, ended or not."""
    return Path(f"/proc/{pid}").exists()


async def test_ready_when_all_workers_are(tmp_path: Path) -> None:
    """One that is not ready takes its share of connections too, so one is enough to say no."""
    crew = Crew(tmp_path)
    crew.set_mood(2, "not ready")
    async with running(crew):
        assert await crew.health("liveness")
        await crew.until(lambda: bool(crew.supervisor._ready))
        assert not await crew.health()
        crew.set_mood(2, "ready")
        await crew.until_health(ready=True)
        assert await crew.health("") == await crew.health("privyseal.v1.SigningService") is True
        crew.set_mood(1, "not ready")
        await crew.until_health(ready=False)
        assert await crew.health("liveness")
        pids = [*crew.pids(1), *crew.pids(2)]
    assert [] == [pid for pid in pids if is_there(pid)]
    assert [] == crew.told("worker died")


async def test_all_workers_have_one_configuration(tmp_path: Path) -> None:
    """It is the supervisor's own, with the port that it reserved."""
    crew = Crew(tmp_path)
    async with running(crew):
        await crew.until_health(ready=True)
        port = crew.supervisor.port
    expected = crew.config.model_dump(mode="json")
    expected["server"]["listen"] = f"127.0.0.1:{port}"
    for number in (1, 2):
        assert expected == json.loads((tmp_path / f"mood-{number}.config").read_text())


async def test_all_workers_share_the_port_for_tokens(tmp_path: Path) -> None:
    """It is reserved as the first port is, and keeps its number."""
    issuer = {"issuer": "a", "audience": "b", "jwks_file": "c"}
    crew = Crew(
        tmp_path,
        allow_plaintext_on_loopback=False,
        tls={"certificate_file": "a", "private_key_file": "b", "client_ca_file": "c"},
        jwt={"listen": "127.0.0.1:0", "issuers": {"desk": issuer}},
    )
    async with running(crew):
        await crew.until_health(ready=True)
        ports = (crew.supervisor.port, crew.supervisor.token_port)
    assert 0 not in ports
    for number in (1, 2):
        server = json.loads((tmp_path / f"mood-{number}.config").read_text())["server"]
        listens = (server["listen"], server["jwt"]["listen"])
        assert listens == tuple(f"127.0.0.1:{port}" for port in ports)


async def test_a_worker_that_dies_is_started_again(tmp_path: Path) -> None:
    """The other goes on; the service is ready again when the new one is."""
    crew = Crew(tmp_path)
    async with running(crew):
        await crew.until_health(ready=True)
        os.kill(crew.pids(1)[0], signal.SIGKILL)
        await crew.until(lambda: len(crew.pids(1)) == 2)
        await crew.until_health(ready=True)
        assert 1 == len(crew.pids(2))
    [death] = crew.told("worker died")
    assert {"worker": 1, "cause": "SIGKILL", "again_in_ms": 10} == {
        name: death[name] for name in ("worker", "cause", "again_in_ms")
    }
    assert "error" == death["log_level"]


async def test_the_pause_grows_and_a_good_life_ends_that(tmp_path: Path) -> None:
    """Who dies at once is left alone longer and longer, up to a bound; then it begins anew."""
    clock = FakeClock()
    crew = Crew(tmp_path, clock=clock)
    crew.set_mood(1, "crash")
    async with running(crew):
        await crew.until(lambda: len(crew.told("worker died")) == 4)
        crew.set_mood(1, "ready")
        await crew.until_health(ready=True)
        clock.advance(60_000)
        os.kill(crew.pids(1)[-1], signal.SIGKILL)
        await crew.until(lambda: crew.told("worker died")[-1]["cause"] == "SIGKILL")
    pauses = [each["again_in_ms"] for each in crew.told("worker died")]
    assert ([10, 20, 40, 40], 10) == (pauses[:4], pauses[-1])
    assert "exit code 7" == crew.told("worker died")[0]["cause"]


async def test_a_wrong_configuration_ends_all(tmp_path: Path) -> None:
    """What a worker says against it at its first start is said by the whole, once."""
    crew = Crew(tmp_path)
    crew.set_mood(2, "invalid")
    with pytest.raises(ConfigInvalid, match=r"^store\.key_file: can't read it\nat all$"):
        async with running(crew):
            await crew.until(crew.supervisor._ending.is_set)
    assert 2 == len(crew.told("worker started"))
    assert [] == [each for each in (*crew.pids(1), *crew.pids(2)) if is_there(each)]


async def test_what_worked_once_is_tried_again(tmp_path: Path) -> None:
    """A file that went bad since does not end the workers that have read it."""
    crew = Crew(tmp_path)
    async with running(crew):
        await crew.until_health(ready=True)
        crew.set_mood(1, "invalid")
        os.kill(crew.pids(1)[0], signal.SIGKILL)
        await crew.until(lambda: len(crew.told("worker died")) > 2)
        assert "can't read it" in crew.told("worker died")[-1]["cause"]
        assert 1 == len(crew.pids(2))
        crew.set_mood(1, "ready")
        await crew.until_health(ready=True)


@pytest.mark.parametrize("mood", ["mute", "babble"])
async def test_a_worker_that_does_not_get_going_is_replaced(tmp_path: Path, mood: str) -> None:
    """Who says nothing in time, or nonsense, is killed."""
    crew = Crew(tmp_path, WorkerTimes(first_pause_ms=10, start_ms=3_000))
    crew.set_mood(1, mood)
    async with running(crew):
        await crew.until(lambda: bool(crew.pids(1)))
        await crew.until((tmp_path / "mood-1.config").exists)
        crew.set_mood(1, "ready")
        await crew.until_health(ready=True)
    assert "SIGKILL" == crew.told("worker died")[0]["cause"]


async def test_a_worker_that_hangs_is_replaced(tmp_path: Path) -> None:
    """A stopped process takes connections and never answers: it is killed when it is silent."""
    crew = Crew(tmp_path, WorkerTimes(first_pause_ms=10, silence_ms=1_500))
    async with running(crew):
        await crew.until_health(ready=True)
        os.kill(crew.pids(2)[0], signal.SIGSTOP)
        await crew.until(lambda: len(crew.pids(2)) == 2)
        await crew.until_health(ready=True)
        assert 1 == len(crew.pids(1))
    assert [("error", crew.pids(2)[0])] == [
        (each["log_level"], each["pid"]) for each in crew.told("worker hangs")
    ]


async def test_a_worker_that_nobody_hears_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who closes its end of the socket and stays is of no use, and is killed."""
    monkeypatch.setattr(worker_process, "_LINGER_S", 0.2)
    crew = Crew(tmp_path)
    crew.set_mood(1, "aloof")
    async with running(crew):
        await crew.until(lambda: bool(crew.told("worker died")))
        crew.set_mood(1, "ready")
        await crew.until_health(ready=True)
    assert "SIGKILL" == crew.told("worker died")[0]["cause"]


async def test_a_worker_that_does_not_end_is_killed(tmp_path: Path) -> None:
    """The end takes a bounded time: drain delay, grace, and what was granted beyond."""
    crew = Crew(tmp_path)
    crew.set_mood(1, "deaf")
    async with running(crew):
        await crew.until_health(ready=True)
        begun_s = time.monotonic()
    assert 0.4 <= time.monotonic() - begun_s < 15
    [killing] = crew.told("workers killed")
    assert 1 in killing["workers"]
    assert not is_there(crew.pids(1)[0])


async def test_workers_end_when_the_end_comes_early(tmp_path: Path) -> None:
    """A stop before the first report, or in a pause, is a stop."""
    crew = Crew(tmp_path, WorkerTimes(first_pause_ms=60_000))
    crew.set_mood(1, "crash")
    async with running(crew):
        await crew.until(lambda: bool(crew.told("worker died")))
    assert [] == [each for each in (*crew.pids(1), *crew.pids(2)) if is_there(each)]
    crew = Crew(tmp_path)
    async with running(crew):
        pass
    assert [] == [each for each in (*crew.pids(1), *crew.pids(2)) if is_there(each)]


async def test_a_program_that_can_not_be_started_is_told(tmp_path: Path) -> None:
    """A machine without room for another process is no reason to end those that run."""
    crew = Crew(tmp_path)
    crew.program = (str(tmp_path / "nothing"),)
    async with running(crew):
        await crew.until(lambda: len(crew.told("worker died")) > 3)
    assert "not started: No such file or directory" == crew.told("worker died")[0]["cause"]


async def test_both_ports_are_taken_or_none(tmp_path: Path) -> None:
    """An operations port in use ends the start, and gives the other port back."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        crew = Crew(tmp_path, ops_listen=f"127.0.0.1:{other.getsockname()[1]}")
        with pytest.raises(ConfigInvalid, match=r"^server\.ops_listen: "):
            await crew.supervisor.__aenter__()
    with socket.socket() as again:
        again.bind(("127.0.0.1", crew.supervisor.port))
