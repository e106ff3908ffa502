"""The port through which the keys of an issuer come."""

import asyncio
from typing import Protocol

from privyseald.rpc.identity.key_set import KeySet


class KeySource(Protocol):
    """Knows an issuer's keys, and keeps the last good ones where new ones can't be had.

    `answers_wishes` is whether `want` ever does anything.
    """

    answers_wishes: bool
    # When the keys were last confirmed, in the clock's monotonic milliseconds; None before.
    confirmed_ms: int | None

    @property
    def current(self) -> KeySet | None:
        """The keys as they are known; None while none are. A new object where they changed."""

    def want(self) -> "asyncio.Event | None":
        """Hear that a token names an unknown key. Return what is set when the keys were asked for
        again, None where they won't be now.
        """

    async def run(self) -> None:
        """Keep the keys fresh until cancelled."""
