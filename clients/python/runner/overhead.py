"""How long a Sign takes through a client, and through the stub that it stands on."""

import asyncio
import statistics
import time
from typing import Any

from privyseal import AsyncClient, Client
from privyseal.aio_channels import AioChannels
from privyseal.channels import Channels
from privyseal.tls import LiveTls


async def overhead(client: AsyncClient | Client, request: Any, count: int) -> dict[str, Any]:
    """Return the medians, measured in turns."""
    if isinstance(client, Client):
        return await asyncio.to_thread(_blocking, client, request, count)
    settings = client._settings  # noqa: SLF001  # the same, for a fair comparison
    channels = AioChannels(settings, LiveTls(settings.tls) if settings.tls else None)
    stub: Any = channels.stubs[0].signing.Sign
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(count + 1):
        started = time.perf_counter()
        await client.sign(request)
        between = time.perf_counter()
        await stub(request, timeout=10)
        times[0].append(between - started)
        times[1].append(time.perf_counter() - between)
    await channels.close()
    return _medians(times)


def _blocking(client: Client, request: Any, count: int) -> dict[str, Any]:
    settings = client._settings  # noqa: SLF001  # the same, for a fair comparison
    channels = Channels(settings, LiveTls(settings.tls) if settings.tls else None)
    stub = channels.stubs[0].signing.Sign
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(count + 1):
        started = time.perf_counter()
        client.sign(request)
        between = time.perf_counter()
        stub(request, timeout=10)
        times[0].append(between - started)
        times[1].append(time.perf_counter() - between)
    channels.close()
    return _medians(times)


def _medians(times: tuple[list[float], list[float]]) -> dict[str, Any]:
    # The first of each opens the connection.
    client_us, stub_us = (statistics.median(each[1:]) * 1e6 for each in times)
    return {"client_us": client_us, "stub_us": stub_us}
