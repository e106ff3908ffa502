import asyncio
import contextvars
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from fakes import FakeClock
from privyseald.clock import SystemClock
from privyseald.keeper import Keeper
from service import OPERATOR, WHITEBIT, Service, eventually, import_sandbox_key
from telemetry.scraped import scrape

OF_AN_RPC: contextvars.ContextVar[str] = contextvars.ContextVar("of_an_rpc", default="")


class Work:
    """Fails as often as it is told to, and then goes on."""

    def __init__(self, times: int, error: Callable[[], BaseException]) -> None:
        self.times = times
        self.error = error
        self.begun = 0
        self.goes_on = asyncio.Event()
        self.seen = ""

    async def run(self) -> None:
        """Fail, or wait for ever."""
        self.begun += 1
        self.seen = OF_AN_RPC.get()
        if self.begun <= self.times:
            raise self.error()
        self.goes_on.set()
        await asyncio.get_running_loop().create_future()


async def ended(task: "asyncio.Task[None]") -> None:
    """Cancel it, and see that it ends."""
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(
    "error",
    [
        lambda: KeyError("s3cret"),
        lambda: ExceptionGroup("s3cret", [OSError("s3cret")]),
        lambda: asyncio.CancelledError("s3cret"),
    ],
)
async def test_what_fails_is_begun_again_and_told(error: Callable[[], BaseException]) -> None:
    """With an id, type and place, and without a text; also where something else was cancelled."""
    keeper, work = Keeper(SystemClock()), Work(2, error)
    with capture_logs() as events:
        task = keeper.keep("work", work.run)
        assert keeper.failures == {"work": 0}
        async with asyncio.timeout(5):
            await work.goes_on.wait()
    assert keeper.failures == {"work": 2}
    assert [event["again_in_ms"] for event in events] == [100, 200]
    assert len({event["error_id"] for event in events}) == 2
    for event in events:
        assert (event["event"], event["task"]) == ("background work failed", "work")
        assert "test_keeper.py" in event["cause"]
        assert "s3cret" not in str(event)
    assert not task.done()
    await ended(task)
    assert keeper.failures == {"work": 2}


async def test_the_pause_grows_and_a_good_life_ends_that(monkeypatch: pytest.MonkeyPatch) -> None:
    """It doubles up to its longest; after a minute that went well it is short again."""
    monkeypatch.setattr("privyseald.keeper._FIRST_PAUSE_MS", 1)
    monkeypatch.setattr("privyseald.keeper._LONGEST_PAUSE_MS", 4)
    clock, work = FakeClock(), Work(6, ValueError)
    keeper = Keeper(clock)

    async def lives() -> None:
        if work.begun == 4:
            clock.advance(60_000)
        await work.run()

    with capture_logs() as events:
        task = keeper.keep("work", lives)
        await work.goes_on.wait()
    assert [event["again_in_ms"] for event in events] == [1, 2, 4, 4, 1, 2]
    await ended(task)


async def test_work_that_is_done_is_not_begun_again() -> None:
    """It returned; nothing failed."""
    keeper = Keeper(SystemClock())
    begun: list[int] = []

    async def work() -> None:
        begun.append(1)

    await keeper.keep("work", work)
    assert (len(begun), keeper.failures) == (1, {"work": 0})


async def test_work_belongs_to_no_rpc() -> None:
    """Whoever wants a key first has the token's renewal begun: its log and trace are its own."""
    keeper, work = Keeper(SystemClock()), Work(0, ValueError)
    token = OF_AN_RPC.set("an RPC")
    task = keeper.keep("work", work.run)
    OF_AN_RPC.reset(token)
    await work.goes_on.wait()
    assert work.seen == ""
    await ended(task)


def broken_once(monkeypatch: pytest.MonkeyPatch, place: str, turn: int) -> list[int]:
    """Have what is called there fail at this turn as nobody foresaw, and return the turns."""
    owner, _, name = place.rpartition(".")
    module, _, kind = owner.rpartition(".")
    found = getattr(importlib.import_module(module), kind)
    right = getattr(found, name)
    turns: list[int] = []

    def wrong(*arguments: Any, **named: Any) -> Any:
        turns.append(len(turns) + 1)
        if turns[-1] == turn:
            raise LookupError("s3cret")
        return right(*arguments, **named)

    monkeypatch.setattr(found, name, wrong)
    return turns


@pytest.mark.parametrize(
    ("task", "place", "turn"),
    [
        ("policy-watch", "privyseald.policy.watch.PolicyWatch.look", 1),
        ("tls-files", "privyseald.tls_files.TlsFiles.look", 1),
        ("readiness", "privyseald.readiness.Readiness._look", 1),
        ("session-renewal", "privyseald.sessions.sessions.Sessions.wanted", 1),
        ("session-news", "privyseald.sessions.news.News._pass_on", 1),
        ("retirement", "privyseald.usecases.retirement.Retirement.sweep", 1),
        ("reconcile", "privyseald.usecases.reconcile.Reconcile.records", 1),
        ("audit-pulse", "privyseald.audit.scribe.Scribe.pulse", 1),
        ("audit-key", "privyseald.audit.checkpoint_key.CheckpointKey.__init__", 1),
        ("audit-witness", "privyseald.audit.witness.Witness._compare", 1),
        ("sealing-key", "privyseald.state.sealed_values.SealedValues.open", 1),
        # The first time is within the start, which is refused then.
        ("holds-refresh", "privyseald.holds.shared_holds.SharedHolds.refresh", 2),
    ],
)
async def test_a_server_survives_a_fault_in_what_it_does_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: str, place: str, turn: int
) -> None:
    """It is counted once and begun again; the server becomes ready, and signs."""
    turns = broken_once(monkeypatch, place, turn)
    with capture_logs() as events:
        async with Service(tmp_path) as service:
            port = service.app.telemetry.port

            async def goes_on() -> bool:
                found = await scrape(port)
                counted = found.value("privyseal_background_failures_total", task=task)
                assert found.total("privyseal_background_failures_total") == counted <= 1
                return counted == 1 and len(turns) > turn and service.app.server.is_ready

            await eventually(goes_on)
            await import_sandbox_key(await service.as_caller(OPERATOR), "wb", WHITEBIT)
    (event,) = [each for each in events if each["event"] == "background work failed"]
    assert (event["task"], event["log_level"]) == (task, "error")
    assert "LookupError" in event["cause"]
    assert "s3cret" not in str(events)
