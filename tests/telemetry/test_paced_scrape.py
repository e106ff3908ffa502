import asyncio

import pytest

from privyseald.clock import SystemClock
from privyseald.telemetry.paced_scrape import PacedScrape


class Page:
    """Something to scrape, that takes a while."""

    def __init__(self) -> None:
        self.begun_ms: list[int] = []
        self.is_begun = asyncio.Event()
        self.clock = SystemClock()
        self.paced = PacedScrape(self.make, self.clock)

    async def make(self) -> bytes:
        """Return how often it was made."""
        self.begun_ms.append(self.clock.monotonic_ms())
        self.is_begun.set()
        number = len(self.begun_ms)
        await asyncio.sleep(0.01)
        if number == 2:
            raise LookupError("broken")
        return b"%d" % number


async def test_a_storm_of_scrapes_is_a_few() -> None:
    """All who wait share one; 50 ms lie between two, and who asks late gets a later one."""
    page = Page()
    first = asyncio.create_task(page.paced.text())
    await page.is_begun.wait()
    others = [asyncio.create_task(page.paced.text()) for _ in range(100)]
    assert await first == b"1", "made before the others asked"
    outcomes = await asyncio.gather(*others, return_exceptions=True)
    assert {type(each) for each in outcomes} == {LookupError}, "shared, also where it fails"
    assert await page.paced.text() == b"3"
    first_ms, second_ms, third_ms = page.begun_ms
    assert second_ms - first_ms >= 50
    assert third_ms - second_ms >= 50


async def test_who_does_not_wait_any_more_spoils_it_for_nobody() -> None:
    """A scrape goes on for those who are left."""
    page = Page()
    gone, patient = (asyncio.create_task(page.paced.text()) for _ in range(2))
    await asyncio.sleep(0)
    gone.cancel()
    assert await patient == b"1"
    with pytest.raises(asyncio.CancelledError):
        await gone
