"""An issuer's keys from where it publishes them."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import structlog

from privyseald.clock import Clock
from privyseald.config_error import ConfigInvalid
from privyseald.errors import VenueOutcomeUnknown, VenueUnreachable
from privyseald.outbound.outbound import Outbound, OutboundRequest
from privyseald.rpc.identity.key_set import KeySet, KeySetInvalid, read_key_set

# The way out is made for venues, and so are the words of what can happen there.
_CAUSES: dict[type[Exception], str] = {
    VenueUnreachable: "jwks_url can't be reached; check the network, DNS and jwks_ca_file",
    VenueOutcomeUnknown: "jwks_url did not answer whole, in time and with at most 1 MiB",
}
_log = structlog.get_logger("privyseald.identity")


@dataclass(frozen=True, slots=True)
class FetchTimes:
    """How long known keys count as fresh, how often a token of an unknown key may have them
    asked for, and how soon they are asked for again where none are known at all.
    """

    fresh_ms: int = 600_000
    pause_ms: int = 30_000
    first_pause_ms: int = 5_000


class KeySetUrl:
    """Implements `KeySource`: asks in the background, and never on behalf of one RPC alone.

    `token` returns what the issuer itself wants to see as a bearer token, where it does.
    """

    answers_wishes = True

    def __init__(
        self,
        alias: str,
        url: str,
        outbound: Outbound,
        clock: Clock,
        token: Callable[[], str] | None = None,
        times: FetchTimes | None = None,
    ) -> None:
        self._alias = alias
        self._url = url
        self._outbound = outbound
        self._clock = clock
        self._token = token
        self._times = times or FetchTimes()
        self._current: KeySet | None = None
        self._asked_ms = clock.monotonic_ms() - self._times.pause_ms
        self._is_asking = False
        self._wanted = asyncio.Event()
        self._answered = asyncio.Event()
        self._complaint = ""
        self.confirmed_ms: int | None = None

    @property
    def current(self) -> KeySet | None:
        """The keys that came last."""
        return self._current

    def want(self) -> asyncio.Event | None:
        """Have the keys asked for, unless that was done a moment ago."""
        if self._is_asking:
            return self._answered
        if self._clock.monotonic_ms() - self._asked_ms < self._times.pause_ms:
            return None
        self._wanted.set()
        return self._answered

    async def run(self) -> None:
        """Ask at once, and then whenever it is time or a token wants it."""
        while True:
            self._wanted.clear()
            await self._ask()
            times = self._times
            pause_ms = times.fresh_ms if not self._complaint else times.pause_ms
            if self._current is None:
                pause_ms = times.first_pause_ms
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_ms / 1_000):
                    await self._wanted.wait()

    async def _ask(self) -> None:
        self._asked_ms, self._is_asking = self._clock.monotonic_ms(), True
        try:
            await self._renew()
        finally:
            self._is_asking = False
            answered, self._answered = self._answered, asyncio.Event()
            answered.set()

    async def _renew(self) -> None:
        try:
            key_set = await self._fetch()
        except (KeySetInvalid, ConfigInvalid, VenueUnreachable, VenueOutcomeUnknown) as error:
            cause = _CAUSES.get(type(error), str(error))
            if cause != self._complaint:
                _log.error(
                    "issuer's keys not fetched",
                    issuer=self._alias,
                    cause=cause,
                    advice="its callers are refused until they come"
                    if self._current is None
                    else "the last good ones stay in force",
                )
            self._complaint = cause
        else:
            self._complaint = ""
            self.confirmed_ms = self._clock.monotonic_ms()
            if self._current is None or key_set.text != self._current.text:
                self._current = key_set
                _log.info("issuer's keys fetched", issuer=self._alias, keys=sorted(key_set.keys))

    async def _fetch(self) -> KeySet:
        headers = [("Accept", "application/json")]
        if self._token is not None:
            headers.append(("Authorization", f"Bearer {await asyncio.to_thread(self._token)}"))
        answer = await self._outbound.send(OutboundRequest("GET", self._url, tuple(headers), b""))
        if answer.status != 200:
            raise KeySetInvalid(f"jwks_url answered {answer.status}")
        return read_key_set(answer.body)
