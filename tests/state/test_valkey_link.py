"""A connection that is always being made, whatever happens on the way."""

import asyncio

from structlog.testing import capture_logs

from clocks import SkewedClock
from privyseald.errors import StateUnavailable
from privyseald.keeper import Keeper
from privyseald.state.valkey_connection import Address, Connection
from privyseald.state.valkey_finder import Fixed
from privyseald.state.valkey_link import Link
from service import eventually
from valkey_server import ValkeyServer


async def test_what_nobody_foresaw_ends_no_link_for_good(valkey_server: ValkeyServer) -> None:
    """Neither at the start, which does not hang, nor later; and its text is logged nowhere."""
    faults = ["secret-1", "", "", "secret-2"]
    clock = SkewedClock()

    async def enter(address: Address) -> Connection:
        return await Connection.open(address, 1_000)

    async def look(connection: Connection) -> None:
        await connection.call("PING")
        if faults and (fault := faults.pop(0)):
            raise ArithmeticError(fault)

    async def works() -> bool:
        try:
            return b"PONG" == await link.use(lambda connection: connection.call("PING"))
        except StateUnavailable:
            return False

    address = Address("127.0.0.1", valkey_server.port)
    keeper = Keeper(clock)
    link = Link(Fixed(address), enter, look, look, 1_000, keeper, tells=True)
    with capture_logs() as log:
        async with asyncio.timeout(5):
            await link.start()
        try:
            begun_ms = clock.monotonic_ms()
            assert not await works()
            assert clock.monotonic_ms() - begun_ms < 900, "told at once"
            await eventually(works)

            async def has_failed() -> bool:
                return not faults

            await eventually(has_failed)
            await eventually(works)
        finally:
            await link.close()
    causes = [line["cause"] for line in log if line["event"] == "background work failed"]
    assert len(causes) == keeper.failures["state-link"] == 2
    assert all(cause.startswith("ArithmeticError") for cause in causes)
    assert "secret" not in str(log)
