from collections.abc import AsyncIterator

import aiohttp
import pytest

from privyseald.sandbox.sandbox import Sandbox
from sandbox.caller import Caller, StoppedClock


@pytest.fixture
async def caller() -> AsyncIterator[Caller]:
    """A sandbox at a clock that stands still, and who calls it."""
    clock = StoppedClock()
    async with Sandbox(clock=clock) as sandbox, aiohttp.ClientSession() as session:
        yield Caller(sandbox, session, clock)
