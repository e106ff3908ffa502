import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from email.utils import formatdate

import pytest
from structlog.testing import capture_logs

from fakes import NOW_MS, Answer, FakeClock, FakeOutbound, answer
from privyseald.clock_offsets import ClockOffsets, OffsetRule
from privyseald.errors import VenueOutcomeUnknown, VenueUnreachable
from privyseald.key import Key, KeyState
from privyseald.outbound.outbound import OutboundRequest, OutboundResponse
from privyseald.venues.reading import VenueTime
from privyseald.venues.registry import Venues
from service import eventually

KEY = Key("desk-1", "aster", "production", "hmac-sha256", "public", KeyState.ENABLED, 1, 0, 0)
KIIEX = replace(KEY, venue="kiiex")
ESTIMATE = OffsetRule(None, 5_000)
TIME_URL = "https://fapi.asterdex.com/fapi/v1/time"


class Watched:
    """Offsets on a clock that stands still, at venues that answer what the test says."""

    def __init__(self, rules: dict[str, OffsetRule], pause_ms: int) -> None:
        self.clock = FakeClock()
        self.answer: Callable[[], Answer] = lambda: answer({"serverTime": NOW_MS})
        self.outbound = FakeOutbound(lambda _request: self.answer())
        self.offsets = ClockOffsets(self.clock, Venues(), self.outbound, rules, pause_ms=pause_ms)

    def tells(self, offset_ms: int) -> None:
        """Let the venue's clock be that far ahead from now on."""
        self.answer = lambda: answer({"serverTime": self.clock.time_us() // 1_000 + offset_ms})

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Return once it is so."""

        async def look() -> bool:
            return is_so()

        await eventually(look)

    async def knows(self, offset_ms: int, key: Key = KEY) -> None:
        """Return once the offset is that, less a millisecond of doubt."""
        await self.until(lambda: offset_ms + 1 == self.offsets.of(key))


@asynccontextmanager
async def watched(pause_ms: int = 10, **rules: OffsetRule) -> AsyncIterator[Watched]:
    """Run offsets by these rules."""
    found = Watched(rules, pause_ms)
    yield found
    await found.offsets.close()


async def test_without_a_rule_there_is_no_offset_and_nobody_is_asked() -> None:
    """Both clocks are taken to be right."""
    async with watched() as found:
        assert 0 == found.offsets.of(KEY)
        assert 0 == found.offsets.offset_ms("aster", "production")
        await asyncio.sleep(0)
    assert not found.outbound.sent


async def test_a_configured_offset_stands() -> None:
    """It is used as it is, and the venue is not asked; reports don't change it."""
    async with watched(aster=OffsetRule(-1_500, 0)) as found:
        found.offsets.report(KEY, VenueTime(NOW_MS + 9_000, 1_000), NOW_MS)

        assert -1_500 == found.offsets.of(KEY)
        assert -1_500 == found.offsets.offset_ms("aster", "production")
        assert 0 == found.offsets.of(KIIEX)
    assert not found.outbound.sent
    assert not found.offsets.clocks


async def test_a_clock_is_asked_for_once_a_key_is_used() -> None:
    """Looking asks nobody; the first use does, without a key and without waiting."""
    async with watched(aster=ESTIMATE) as found:
        found.tells(3_000)
        assert 0 == found.offsets.offset_ms("aster", "production")
        await asyncio.sleep(0.05)
        assert not found.outbound.sent

        assert 0 == found.offsets.of(KEY)
        await found.knows(3_000)

        assert 3_001 == found.offsets.offset_ms("aster", "production")
        assert 0 == found.offsets.offset_ms("aster", "testnet")
        sent = found.outbound.sent[0]
        assert ("GET", TIME_URL, (), b"") == (sent.method, sent.url, sent.headers, sent.body)
        assert 1 == found.offsets.clocks["aster", "production"].error_ms


async def test_a_clock_that_is_set_is_followed_and_logged() -> None:
    """A change of more than 250 ms makes a line; a small one does not."""
    with capture_logs() as logs:
        async with watched(aster=ESTIMATE) as found:
            found.tells(-400)
            found.offsets.of(KEY)
            await found.knows(-400)
            found.tells(-500)
            await found.knows(-500)
            found.tells(2_000)
            await found.knows(2_000)

    assert [-399, 2_001] == [line["offset_ms"] for line in logs if line["event"] == "venue clock"]
    assert {"aster/production"} == {line["venue"] for line in logs}


async def test_what_is_out_of_bounds_is_not_believed() -> None:
    """The last good offset stays, and the log is loud, until the clocks agree again."""
    with capture_logs() as logs:
        async with watched(aster=ESTIMATE) as found:
            found.tells(1_000)
            found.offsets.of(KEY)
            await found.knows(1_000)
            found.tells(5_001)
            known = found.offsets.clocks["aster", "production"]
            await found.until(lambda: known.disbelieved >= 2)
            assert 1_001 == found.offsets.of(KEY)

            found.tells(-4_000)
            await found.knows(-4_000)

    loud = [line for line in logs if line["log_level"] == "error"]
    assert len(loud) == known.disbelieved
    assert {(5_002, -5_000, 5_000, 1_001)} == {
        (line["offset_ms"], line["lowest_ms"], line["highest_ms"], line["kept_offset_ms"])
        for line in loud
    }


async def test_what_is_ahead_may_be_bounded_closer() -> None:
    """As a state that replicas share asks for."""
    async with watched(aster=OffsetRule(None, 5_000, 3_000)) as found:
        found.tells(-4_000)
        found.offsets.of(KEY)
        await found.knows(-4_000)
        found.tells(3_000)
        known = found.offsets.clocks["aster", "production"]
        await found.until(lambda: known.disbelieved >= 1)
        found.tells(2_990)
        await found.knows(2_990)


@pytest.mark.parametrize(
    "away",
    [
        VenueUnreachable("away"),
        VenueOutcomeUnknown("silent"),
        answer(b"<html>", status=503),
        answer({"serverTime": "soon"}),
    ],
)
async def test_a_venue_that_tells_nothing_is_asked_less_and_less(away: Answer) -> None:
    """The offset stays as it was; the pauses double, and one line says so."""
    with capture_logs() as logs:
        async with watched(aster=ESTIMATE) as found:
            found.tells(700)
            found.offsets.of(KEY)
            await found.knows(700)
            known = found.offsets.clocks["aster", "production"]

            found.answer = lambda: away
            await found.until(lambda: known.failures >= 2)
            known.failures = 3
            assert 40 * 0.75 <= found.offsets._next_ms(known) <= 40 * 1.25
            known.failures = 40
            assert 160 * 0.75 <= found.offsets._next_ms(known) <= 160 * 1.25
            assert 701 == found.offsets.of(KEY)

    lines = [line for line in logs if line["event"] == "venue does not tell the time"]
    assert 1 == len(lines)


async def test_the_header_of_a_login_is_heard() -> None:
    """What KIIEX answers to us for another reason tells its time as well; another host's answer
    is nobody's clock.
    """
    async with watched(60_000, kiiex=ESTIMATE) as found:
        found.answer = lambda: VenueUnreachable("away")
        found.offsets.of(KIIEX)
        known = found.offsets.clocks["kiiex", "production"]
        await found.until(lambda: known.failures == 1)
        date = formatdate(NOW_MS // 1_000 + 3, usegmt=True)
        found.answer = lambda: OutboundResponse(200, "text/plain", b"", date)

        await found.offsets.send(OutboundRequest("POST", "https://elsewhere.test/ap/x", (), b""))
        assert 0 == found.offsets.of(KIIEX)
        url = "https://alphaprod.proxy.kiiex.io/ap/AuthenticateUser"
        response = await found.offsets.send(OutboundRequest("POST", url, (), b"{}"))

        assert date == response.date
        assert 3_500 == found.offsets.of(KIIEX)
        assert 501 == known.error_ms


async def test_whole_seconds_are_asked_for_as_they_turn() -> None:
    """The next question comes when the venue's second is thought to turn."""
    async with watched(60_000, kiiex=ESTIMATE) as found:
        date = formatdate(NOW_MS // 1_000, usegmt=True)
        found.answer = lambda: OutboundResponse(200, "text/plain", b"", date)
        found.offsets.of(KIIEX)
        known = found.offsets.clocks["kiiex", "production"]
        await found.until(lambda: known.heard >= 1)
        bounds = known.estimate.bounds(found.clock.monotonic_ms())
        assert bounds is not None

        next_ms = found.offsets._next_ms(known)

        turn_us = found.clock.time_us() + round(next_ms * 1_000) + bounds.middle_us
        assert turn_us % 1_000_000 < 10 or turn_us % 1_000_000 > 999_990
        assert 250 * 0.75 <= next_ms <= 250 * 1.25 + 1_000
        for _ in range(5):
            known.estimate.add(bounds, found.clock.monotonic_ms())
        assert 45_000 <= found.offsets._next_ms(known) <= 76_000


async def test_reports_count_where_the_venue_can_not_be_asked() -> None:
    """What callers report is taken with half a second of doubt, as far as it is recent, and
    within the bound.
    """
    async with watched(60_000, aster=ESTIMATE) as found:
        found.answer = lambda: VenueUnreachable("away")
        date = VenueTime(NOW_MS + 2_000, 1_000)

        found.offsets.report(KEY, date, NOW_MS - 61_000)
        found.offsets.report(KEY, date, NOW_MS + 1)
        assert 0 == found.offsets.of(KEY)
        found.offsets.report(KEY, date, NOW_MS - 200)
        assert 2_600 == found.offsets.of(KEY)
        assert 1_100 == found.offsets.clocks["aster", "production"].error_ms
        found.offsets.report(KEY, VenueTime(NOW_MS + 8_000, 1_000), NOW_MS)
        assert 2_600 == found.offsets.of(KEY)


async def test_our_own_readings_beat_reports() -> None:
    """A report that contradicts them only has the venue asked again, now."""
    async with watched(60_000, aster=ESTIMATE) as found:
        found.tells(1_000)
        found.offsets.of(KEY)
        await found.knows(1_000)
        known = found.offsets.clocks["aster", "production"]

        found.offsets.report(KEY, VenueTime(NOW_MS + 1_000, 1_000), NOW_MS - 100)
        assert not known.ask_now.is_set()
        found.offsets.report(KEY, VenueTime(NOW_MS - 4_000, 1_000), NOW_MS - 100)
        assert known.ask_now.is_set()
        assert 1_001 == found.offsets.of(KEY)

        found.clock.advance(600_000)
        later_ms = NOW_MS + 600_000
        found.offsets.report(KEY, VenueTime(later_ms - 4_000, 1_000), later_ms - 100)
        assert -3_450 == found.offsets.of(KEY)


async def test_a_report_can_have_the_venue_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not before a while has passed since the last time, however many come."""
    monkeypatch.setattr("privyseald.clock_offsets._SOONEST_MS", 300)
    async with watched(60_000, aster=ESTIMATE) as found:
        found.tells(1_000)
        found.offsets.of(KEY)
        await found.knows(1_000)
        found.tells(-2_000)

        for _ in range(50):
            found.offsets.report(KEY, VenueTime(NOW_MS - 3_000, 1_000), NOW_MS - 100)
        await found.knows(-2_000)
        assert 2 == len(found.outbound.sent)
