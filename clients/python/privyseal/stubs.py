"""The stubs of all services on one channel, and the channels that are in use together."""

import threading
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from grpc import ChannelConnectivity

from privyseal.v1.hold_service_pb2_grpc import HoldServiceStub
from privyseal.v1.key_service_pb2_grpc import KeyServiceStub
from privyseal.v1.signing_service_pb2_grpc import SigningServiceStub
from privyseal.v1.venue_service_pb2_grpc import VenueServiceStub

C = TypeVar("C")
Q = TypeVar("Q")


class Stubs:
    """The four services; on a channel of grpc.aio, an answer is awaited."""

    __slots__ = ("holds", "keys", "signing", "venues")

    def __init__(self, channel: Any) -> None:
        self.signing: SigningServiceStub = SigningServiceStub(channel)
        self.keys: KeyServiceStub = KeyServiceStub(channel)
        self.venues: VenueServiceStub = VenueServiceStub(channel)
        self.holds: HoldServiceStub = HoldServiceStub(channel)


class Generation(Generic[C]):
    """The channels, one a target, that were made with the same files. Who makes a call holds it,
    so that it is closed once it was replaced and its last call has ended.
    """

    def __init__(self, channels: Sequence[C]) -> None:
        self.channels = tuple(channels)
        self.stubs = tuple(Stubs(channel) for channel in channels)
        self._lock = threading.RLock()
        self._calls = 0
        self._retired = False
        self._turn = 0

    def hold(self) -> bool:
        """Count a call in. False where it was closed meanwhile: take the one after it."""
        with self._lock:
            if self._retired and self._calls == 0:
                return False
            self._calls += 1
            return True

    def release(self) -> bool:
        """Count a call out. True where the channels are to be closed now."""
        with self._lock:
            self._calls -= 1
            return self._retired and self._calls == 0

    def retire(self) -> bool:
        """Take it out of use. True where the channels are to be closed now."""
        with self._lock:
            self._retired = True
            return self._calls == 0

    def next_turn(self) -> int:
        """Return whose turn it is: each channel's, one after the other."""
        with self._lock:
            self._turn = (self._turn + 1) % len(self.channels)
            return self._turn


def choose(states: Sequence[ChannelConnectivity], turn: int) -> int | None:
    """Return the channel to use when it is the turn of one: the next that is connected. None while
    some still try; the turn's where all failed, whose failure then is the call's.
    """
    for step in range(len(states)):
        index = (turn + step) % len(states)
        if states[index] is ChannelConnectivity.READY:
            return index
    trying = {ChannelConnectivity.CONNECTING, ChannelConnectivity.IDLE}
    return turn if trying.isdisjoint(states) else None


def frozen(request: Q) -> Q:
    """Return a copy, so that each attempt sends the same, whatever becomes of the request."""
    copy = type(request)()
    copy.CopyFrom(request)  # type: ignore[attr-defined]  # a message of any RPC
    return copy
