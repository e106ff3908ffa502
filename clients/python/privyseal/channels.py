"""Channels of the blocking client: their turns, their replacement, their end."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import grpc

from privyseal.errors import closed
from privyseal.settings import Settings, address
from privyseal.stubs import Generation, Stubs, choose
from privyseal.tls import LiveTls


class Channels(Generation[grpc.Channel]):
    """With more than one, their states are watched, to pass over those that are down."""

    def __init__(self, settings: Settings, live_tls: LiveTls | None) -> None:
        made = [_channel(target, settings, live_tls) for target in settings.targets]
        super().__init__(made)
        self._states = [grpc.ChannelConnectivity.CONNECTING] * len(made)
        self._changed = threading.Condition()
        for index, channel in enumerate(made if len(made) > 1 else ()):
            channel.subscribe(partial(self._note, index), try_to_connect=True)

    def _note(self, index: int, state: grpc.ChannelConnectivity) -> None:
        with self._changed:
            self._states[index] = state
            self._changed.notify_all()

    def pick(self, deadline_s: float) -> Stubs:
        """Return the stubs of the channel whose turn it is, when one can be said."""
        if len(self.stubs) == 1:
            return self.stubs[0]
        turn = self.next_turn()
        with self._changed:
            while (index := choose(self._states, turn)) is None:
                left_s = deadline_s - time.monotonic()
                if left_s <= 0 or not self._changed.wait(left_s):
                    return self.stubs[turn]
        return self.stubs[index]

    def close(self) -> None:
        """Close the channels, whatever goes on."""
        for channel in self.channels:
            channel.close()
        # Nobody waits on for a channel that is gone.
        for index in range(len(self.channels)):
            self._note(index, grpc.ChannelConnectivity.SHUTDOWN)


class ChannelPool:
    """Gives the channel for each call. Nothing is connected before the first. Any thread may."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._live_tls = LiveTls(settings.tls) if settings.tls else None
        # A watch that nobody holds any more may be collected, and released, in the midst of this.
        self._lock = threading.RLock()
        self._current: Channels | None = None
        self._others: set[Channels] = set()
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether the client was closed."""
        return self._closed

    @contextmanager
    def use(self, deadline_s: float) -> Iterator[Stubs]:
        """Give stubs for one call, whose channel stays open until it ends."""
        held = self._hold()
        try:
            yield held.pick(deadline_s)
        finally:
            self._release(held)

    def lease(self, deadline_s: float) -> tuple[Stubs, Callable[[], None]]:
        """Return stubs for a call that outlives a block, and what to call when it has ended."""
        held = self._hold()
        return held.pick(deadline_s), partial(self._release, held)

    def close(self) -> None:
        """Close all channels, whatever goes on."""
        with self._lock:
            self._closed = True
            found = {*self._others, *((self._current,) if self._current else ())}
            self._current, self._others = None, set()
        for channels in found:
            channels.close()

    def _hold(self) -> Channels:
        while True:
            held, replaced = self._fresh()
            if replaced is not None and replaced.retire():
                self._end(replaced)
            if held.hold():
                return held

    def _fresh(self) -> tuple[Channels, Channels | None]:
        """Return the channels in force, and those that they replace from now on."""
        with self._lock:
            if self._closed:
                raise closed()
            old = self._current
            if old is not None and not (self._live_tls and self._live_tls.changed()):
                return old, None
            self._current = Channels(self._settings, self._live_tls)
            if old is not None:
                self._others.add(old)
            return self._current, old

    def _release(self, held: Channels) -> None:
        if held.release():
            self._end(held)

    def _end(self, channels: Channels) -> None:
        with self._lock:
            self._others.discard(channels)
        channels.close()


def _channel(target: str, settings: Settings, live_tls: LiveTls | None) -> grpc.Channel:
    options = settings.options()
    if live_tls is None:
        return grpc.insecure_channel(address(target), options=options)
    return grpc.secure_channel(address(target), live_tls.credentials(), options=options)
