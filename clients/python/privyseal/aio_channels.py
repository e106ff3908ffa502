"""Channels of the asyncio client: their turns, their replacement, their end."""

import asyncio
import time

import grpc

from privyseal.errors import closed
from privyseal.settings import Settings, address
from privyseal.stubs import Generation, Stubs, choose
from privyseal.tls import LiveTls

_LOOK_AGAIN_S = 0.005


class AioChannels(Generation[grpc.aio.Channel]):
    """With more than one, those that are down are passed over."""

    def __init__(self, settings: Settings, live_tls: LiveTls | None) -> None:
        super().__init__([_channel(target, settings, live_tls) for target in settings.targets])

    async def pick(self, deadline_s: float) -> Stubs:
        """Return the stubs of the channel whose turn it is, when one can be said."""
        if len(self.stubs) == 1:
            return self.stubs[0]
        turn = self.next_turn()
        while True:
            states = [channel.get_state(try_to_connect=True) for channel in self.channels]
            index = choose(states, turn)
            if index is not None:
                return self.stubs[index]
            if time.monotonic() >= deadline_s:
                return self.stubs[turn]
            # Only until one is connected or all have failed. What gRPC offers to wait for a change
            # can't be cancelled.
            await asyncio.sleep(_LOOK_AGAIN_S)

    async def close(self) -> None:
        """Close the channels, whatever goes on."""
        for channel in self.channels:
            await channel.close()


class AioChannelPool:
    """Gives the channel for each call. Nothing is made before the first, whose event loop it then
    belongs to.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._live_tls = LiveTls(settings.tls) if settings.tls else None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._current: AioChannels | None = None
        self._others: set[AioChannels] = set()
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether the client was closed."""
        return self._closed

    async def hold(self) -> AioChannels:
        """Return the channels for a call, which stay open until it is released."""
        if self._closed:
            raise closed()
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise RuntimeError("an AsyncClient belongs to one event loop; make one for each")
        old = self._current
        if old is None or (self._live_tls is not None and self._live_tls.changed()):
            self._current = AioChannels(self._settings, self._live_tls)
            self._current.hold()
            if old is not None:
                self._others.add(old)
                if old.retire():
                    await self._end(old)
            return self._current
        old.hold()
        return old

    async def release(self, held: AioChannels) -> None:
        """Count the call out."""
        if held.release():
            await self._end(held)

    async def close(self) -> None:
        """Close all channels, whatever goes on."""
        self._closed = True
        found = [*self._others, *((self._current,) if self._current else ())]
        self._current, self._others = None, set()
        for channels in found:
            await channels.close()

    async def _end(self, channels: AioChannels) -> None:
        self._others.discard(channels)
        await channels.close()


def _channel(target: str, settings: Settings, live_tls: LiveTls | None) -> grpc.aio.Channel:
    options = settings.options()
    if live_tls is None:
        return grpc.aio.insecure_channel(address(target), options=options)
    return grpc.aio.secure_channel(address(target), live_tls.credentials(), options=options)


def ended_elsewhere() -> bool:
    """Whether a CancelledError means that the RPC was ended by the server or by closing the
    client, which grpc.aio tells in the same way, and not that this task is cancelled.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() == 0
