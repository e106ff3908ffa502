import asyncio
import gc
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from fakes import NOW_MS, FakeClock
from privyseald.config_error import ConfigInvalid
from privyseald.policy.watch import PolicyEvent, PolicyNews, PolicyWatch
from privyseald.venues.registry import Venues
from service import (
    KIIEX,
    OPERATOR,
    POLICY,
    TRADER,
    WHITEBIT,
    Service,
    Stubs,
    eventually,
    failure_of,
    import_sandbox_key,
    sign_request,
)
from session_watch import Watch

VENUES = Venues()


def text_of(*names: str) -> str:
    """Return a policy with a rule of each name."""
    rules = "".join(
        f"  - {{name: {name}, callers: [x], keys: ['*'], allow: [sign]}}\n" for name in names
    )
    return "version: 1\nrules:\n" + rules


class Watched:
    """A watch on a file of its own, and what it told."""

    def __init__(self, path: Path, text: str) -> None:
        path.write_text(text)
        self.path = path
        self.clock = FakeClock()
        self.watch = PolicyWatch(path, VENUES, self.clock)
        self.news: list[PolicyNews] = []

    async def tell(self, news: PolicyNews) -> None:
        """Remember an event."""
        self.news.append(news)

    async def look(self) -> list[str]:
        """Look until the file is settled; return the names of the rules in force."""
        while await self.watch.look(self.tell):
            pass
        return [rule.name for rule in self.watch.policy.rules]

    def failing_since_ms(self) -> int | None:
        """Since when the file does not load."""
        return self.watch.failed_since_ms

    @property
    def events(self) -> list[str]:
        """What was told, without the hashes."""
        return [each.event.value for each in self.news]


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    """A watch on a file with the rule `a`."""
    return Watched(tmp_path / "policy.yaml", text_of("a"))


async def test_what_changes_is_put_in_force(watched: Watched) -> None:
    """The rules, the hash and the time are those of the new file."""
    first = watched.watch.sha256
    watched.path.write_text(text_of("b", "c"))
    watched.clock.advance(5_000)

    assert ["b", "c"] == await watched.look()
    assert watched.watch.loaded_time_ms == NOW_MS + 5_000
    assert watched.news == [PolicyNews(PolicyEvent.RELOADED, watched.watch.sha256)]
    assert first != watched.watch.sha256
    assert (watched.watch.reloads, watched.watch.refusals) == (1, 0)


async def test_what_stays_is_left_alone(watched: Watched) -> None:
    """A file that was only touched, or replaced by its like, is no news."""
    for _ in range(3):
        assert ["a"] == await watched.look()
    other = watched.path.with_name("other")
    other.write_text(text_of("a"))
    other.replace(watched.path)

    assert ["a"] == await watched.look()
    assert (watched.news, watched.watch.reloads) == ([], 0)


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ("version: 1\nrules: [", "line 2: is not YAML"),
        (text_of("a") + text_of("b"), "line 4: is not YAML: found duplicate key"),
        (text_of("b").replace("sign", "sing"), "line 3: rules[0].allow[0]: 'sing' names nothing"),
        ("", "must hold 'version' and 'rules'"),
        (None, "can't be read"),
    ],
)
async def test_what_does_not_load_changes_nothing(
    watched: Watched, broken: str | None, words: str
) -> None:
    """The rules of before stay, the log says why, once; what is mended is put in force."""
    if broken is None:
        watched.path.unlink()
    else:
        watched.path.write_text(broken)
    watched.clock.advance(1_000)
    with capture_logs() as logs:
        for _ in range(3):
            assert ["a"] == await watched.look()
            watched.clock.advance(1_000)

    (line,) = logs
    assert (line["event"], line["log_level"]) == ("policy not replaced", "error")
    assert str(watched.path) in line["cause"]
    assert words in line["cause"]
    assert watched.failing_since_ms() == NOW_MS + 1_000
    assert (watched.watch.loaded_time_ms, watched.watch.refusals) == (NOW_MS, 1)

    watched.path.write_text(text_of("c"))
    assert ["c"] == await watched.look()
    assert watched.failing_since_ms() is None
    assert watched.events == ["policy-refused", "policy-reloaded"]


async def test_each_mistake_is_told_once(watched: Watched) -> None:
    """Another mistake is news; the same one in a new file is not."""
    for text in ("rules: 1", "rules: 1", "rules: 2", "rules: 2"):
        other = watched.path.with_name("other")
        other.write_text(text)
        other.replace(watched.path)
        await watched.look()

    assert watched.events == ["policy-refused"] * 2
    assert watched.watch.refusals == 2
    assert watched.failing_since_ms() == NOW_MS


async def test_a_file_that_is_taken_back_is_mended(watched: Watched) -> None:
    """The rules of before are in force again, and it is told."""
    watched.path.write_text("rules: 1")
    await watched.look()
    watched.path.write_text(text_of("a"))

    assert ["a"] == await watched.look()
    assert watched.failing_since_ms() is None
    assert watched.events == ["policy-refused", "policy-reloaded"]
    assert watched.news[-1].sha256 == watched.watch.sha256


async def test_half_a_file_is_not_taken(watched: Watched) -> None:
    """While a file grows, what is there of it stays out: its first half may be a policy too."""
    rules = []
    for name in ("b", "c", "d"):
        rules.append(name)
        watched.path.write_text(text_of(*rules))
        assert await watched.watch.look(watched.tell)
        assert [rule.name for rule in watched.watch.policy.rules] == ["a"]

    assert ["b", "c", "d"] == await watched.look()
    assert watched.watch.reloads == 1


async def test_a_file_that_changes_while_it_is_read_is_read_again(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read is thrown away, and the next look finds the rest."""
    read = watched.watch._read

    def write_meanwhile() -> Any:
        found = read()
        watched.path.write_text(text_of("b", "c"))
        return found

    watched.path.write_text(text_of("b"))
    assert await watched.watch.look(watched.tell)
    with monkeypatch.context() as slow:
        slow.setattr(watched.watch, "_read", write_meanwhile)
        assert await watched.watch.look(watched.tell)
    assert [rule.name for rule in watched.watch.policy.rules] == ["a"]

    assert ["b", "c"] == await watched.look()


async def test_a_link_that_is_swapped_above_the_file_is_seen(tmp_path: Path) -> None:
    """As Kubernetes brings a new ConfigMap: `policy.yaml -> ..data/policy.yaml`, `..data -> …`."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "policy.yaml").write_text(text_of(name))
    (tmp_path / "..data").symlink_to("one")
    path = tmp_path / "policy.yaml"
    path.symlink_to("..data/policy.yaml")
    watch = PolicyWatch(path, VENUES, FakeClock())

    async def tell(_: PolicyNews) -> None:
        return

    while await watch.look(tell):
        pass
    (tmp_path / "..new").symlink_to("two")
    (tmp_path / "..new").replace(tmp_path / "..data")
    while await watch.look(tell):
        pass

    assert [rule.name for rule in watch.policy.rules] == ["two"]


async def test_what_nobody_foresaw_changes_nothing(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault in the loader itself is told by its type, and the watch goes on."""
    watched.path.write_text(text_of("b"))

    def fail(*_: object) -> None:
        raise TypeError("hunter2")

    with monkeypatch.context() as broken, capture_logs() as logs:
        broken.setattr("privyseald.policy.watch.parse_policy", fail)
        assert ["a"] == await watched.look()

    assert logs[0]["cause"].endswith("policy.yaml: TypeError within")
    watched.path.write_text(text_of("c"))
    assert ["c"] == await watched.look()


def test_a_start_needs_a_policy(tmp_path: Path) -> None:
    """There is no last good one yet."""
    with pytest.raises(ConfigInvalid):
        PolicyWatch(tmp_path / "policy.yaml", VENUES, FakeClock())


WITHOUT_TRADER = POLICY.partition("  - name: trader")[0]


def put(service: Service, text: str) -> None:
    """Bring a policy as it should be done: whole."""
    new = service.directory / "policy.new"
    new.write_text(text)
    new.replace(service.directory / "policy.yaml")


def policy_events(service: Service) -> list[str]:
    """Return the events of the policy in the audit log."""
    return [
        line["event"]
        for line in service.all_audit_lines()
        if line.get("event", "").startswith("policy-")
    ]


async def test_a_server_follows_its_policy(tmp_path: Path) -> None:
    """A rule that is taken away stops within 2 s; a broken file stops nothing; a mended one is in
    force again. The audit log has each event before the RPCs that it decides.
    """
    request = sign_request("desk-1", "POST", "/api/v4/trade-account/balance")
    async with Service(tmp_path) as service:
        await import_sandbox_key(await service.as_caller(OPERATOR), "desk-1", WHITEBIT)
        stubs = await service.as_caller(TRADER)
        await stubs.signing.Sign(request)

        put(service, WITHOUT_TRADER)
        began = time.monotonic()
        failure = None
        while failure is None:
            with suppress(AssertionError):
                failure = await failure_of(stubs.signing.Sign(request))
        assert (failure.code, failure.reason) == ("PERMISSION_DENIED", "POLICY_DENIED")
        assert time.monotonic() - began < 2.0

        watch = service.app.policy_watch
        put(service, POLICY.replace("login]", "logn]"))
        await eventually(lambda: is_so(watch.failed_since_ms is not None))
        assert (await failure_of(stubs.signing.Sign(request))).code == "PERMISSION_DENIED"

        put(service, POLICY)
        await eventually(lambda: is_so(watch.failed_since_ms is None))
        await stubs.signing.Sign(request)

        assert policy_events(service) == [
            "policy-loaded",
            "policy-reloaded",
            "policy-refused",
            "policy-reloaded",
        ]
        lines = service.all_audit_lines()
        place = {line.get("policy_sha256"): number for number, line in enumerate(lines)}
        assert place[watch.sha256] < len(lines) - 1
        assert (lines[-1]["rule"], lines[-1]["decision"]) == ("trader", "allowed")


async def test_a_stream_ends_with_its_right(tmp_path: Path) -> None:
    """Who watches a session hears soon that the rule is gone, and gets no more of them."""
    async with Service(tmp_path) as service:
        await import_sandbox_key(await service.as_caller(OPERATOR), "desk-1", KIIEX)
        watch = Watch(await service.as_caller(TRADER), "desk-1")
        assert (await watch.session()).token

        put(service, WITHOUT_TRADER)

        assert (await watch.failure()).reason == "POLICY_DENIED"
        end = await watch.end()
        assert (end.code, end.reason) == ("PERMISSION_DENIED", "POLICY_DENIED")


async def is_so(fact: bool) -> bool:
    """Return a fact to `eventually`."""
    return fact


async def test_no_rpc_fails_while_the_policy_is_replaced(tmp_path: Path) -> None:
    """100 reloads, while several callers sign without a pause."""
    request = sign_request("desk-1", "POST", "/api/v4/trade-account/balance")
    async with Service(tmp_path) as service:
        await import_sandbox_key(await service.as_caller(OPERATOR), "desk-1", WHITEBIT)
        watch, done = service.app.policy_watch, asyncio.Event()

        async def sign(stubs: Stubs) -> int:
            count = 0
            while not done.is_set():
                await stubs.signing.Sign(request)
                count += 1
            return count

        callers = [asyncio.ensure_future(sign(await service.as_caller(TRADER))) for _ in range(2)]

        async def tell(_: PolicyNews) -> None:
            return

        for number in range(100):
            put(service, f"# {number}\n{POLICY}")
            reloads = watch.reloads
            while watch.reloads == reloads:
                await watch.look(tell)
        done.set()
        counts = await asyncio.gather(*callers)

    assert watch.reloads >= 100
    assert min(counts) > 0


async def test_a_long_policy_is_read_beside_the_work(tmp_path: Path) -> None:
    """While 1,000 rules load, the loop goes on: no turn of it waits for the load."""
    watched = Watched(tmp_path / "policy.yaml", text_of("a"))
    await watched.look()
    watched.path.write_text(text_of(*(f"r{number}" for number in range(1_000))))
    assert await watched.watch.look(watched.tell)
    turns, before = 0, (gc.isenabled(), sys.getswitchinterval())

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0.001)

    turning = asyncio.create_task(turn())
    await watched.watch.look(watched.tell)
    turning.cancel()

    assert len(watched.watch.policy.rules) == 1_000
    assert turns >= 10
    assert (gc.isenabled(), sys.getswitchinterval()) == before


async def test_a_fifo_is_no_policy(tmp_path: Path) -> None:
    """A file that would keep its reader waiting for ever is refused."""
    path = tmp_path / "policy.yaml"
    os.mkfifo(path)

    with pytest.raises(ConfigInvalid, match="can't be read"):
        PolicyWatch(path, VENUES, FakeClock())
