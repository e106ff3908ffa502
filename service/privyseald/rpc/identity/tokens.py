"""Bearer tokens: verified once, and then known by their hash until they expire."""

import asyncio
import hashlib
import math
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import suppress

from privyseald.caller import Caller
from privyseald.clock import Clock
from privyseald.errors import CallerUnproved
from privyseald.keeper import Keeper
from privyseald.rpc.identity.issuer import Issuer
from privyseald.rpc.identity.jws import Unverified, take_apart
from privyseald.rpc.identity.key_set import KeySet

_KNOWN = 10_000
# How long an RPC waits for its issuer's new keys: a rotation goes unseen, an outage is not felt.
_PATIENCE_S = 2.0


class Tokens:
    """Names the callers of tokens. Keeps no token, only hashes."""

    def __init__(self, issuers: Sequence[Issuer], clock: Clock, max_bytes: int) -> None:
        self._issuers = {issuer.rule.issuer: issuer for issuer in issuers}
        self._clock = clock
        self._max_bytes = max_bytes
        self._may_wait = any(issuer.source.answers_wishes for issuer in issuers)
        self._known: OrderedDict[bytes, tuple[Caller, Issuer, KeySet]] = OrderedDict()

    def caller_of(self, token: str) -> Caller:
        """Return whom the token names. Raises CallerUnproved."""
        digest = self._digest(token)
        now_us = self._clock.time_us()
        known = self._known.get(digest)
        if known is not None:
            caller, issuer, key_set = known
            # Under other keys it may not be valid any more.
            if now_us < (caller.expire_us or 0) and issuer.source.current is key_set:
                self._known.move_to_end(digest)
                return caller
            del self._known[digest]
        apart = take_apart(token)
        issuer = self._issuer_of(apart)
        caller, key_set = issuer.prove(apart, now_us)
        if len(self._known) >= _KNOWN:
            self._known.popitem(last=False)
        self._known[digest] = caller, issuer, key_set
        return caller

    @property
    def may_wait(self) -> bool:
        """Whether there are issuers whose keys come when a token asks for them."""
        return self._may_wait

    def ages_ms(self) -> Iterator[tuple[str, float]]:
        """Yield each issuer's alias, and how long ago its keys were confirmed; infinite where they
        never came.
        """
        now_ms = self._clock.monotonic_ms()
        for issuer in self._issuers.values():
            confirmed_ms = issuer.source.confirmed_ms
            yield issuer.rule.alias, math.inf if confirmed_ms is None else now_ms - confirmed_ms

    async def settle(self, token: str) -> None:
        """Return when the token can be looked at: at once, unless its key is unknown and its
        issuer can be asked for keys now.
        """
        try:
            if self._digest(token) in self._known:
                return
            apart = take_apart(token)
            source = self._issuer_of(apart).source
        except CallerUnproved:
            return
        if source.current is not None and apart.key_id in source.current.keys:
            return
        answered = source.want()
        if answered is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(_PATIENCE_S):
                    await answered.wait()

    def watch(self, keeper: Keeper) -> "Iterator[asyncio.Task[None]]":
        """Keep the issuers' keys fresh, and yield the tasks to cancel."""
        for issuer in self._issuers.values():
            yield keeper.keep("jwks", issuer.source.run)

    def _digest(self, token: str) -> bytes:
        if len(token) > self._max_bytes:
            raise CallerUnproved(
                f"the token has {len(token)} bytes; this server takes {self._max_bytes}"
            )
        return hashlib.sha256(token.encode("utf-8", "replace")).digest()

    def _issuer_of(self, token: Unverified) -> Issuer:
        name = token.claims.get("iss")
        issuer = self._issuers.get(name) if isinstance(name, str) else None
        if issuer is None:
            raise CallerUnproved(
                "the token is of an issuer that this server does not know; see its server.jwt"
            )
        return issuer
