"""A claim on a request id: who holds it answers the request, for all replicas."""

import asyncio
from contextlib import suppress

from privyseald.errors import Unavailable
from privyseald.idempotency.record import Answered, Claimed, dump_record
from privyseald.state.sealed_values import SealedValues


class Claim:
    """Ends by itself after `ttl_ms`, in case its process dies; until it is over it is extended.

    Once another holds the id, because this process stood still for longer than that, neither
    an answer nor a release of this claim changes anything any more.
    """

    def __init__(self, values: SealedValues, name: str, claimed: Claimed, ttl_ms: int) -> None:
        self._values = values
        self._name = name
        self._data = dump_record(claimed)
        self._ttl_ms = ttl_ms
        self._version = 0
        self._is_over = False
        # Whether an extension may have landed that was not heard of, so the version is older.
        self._is_unsure = False
        self._timer: asyncio.TimerHandle | None = None
        self._extension: asyncio.Task[None] | None = None

    async def take(self, version: int) -> bool:
        """Claim the id, if `version` stands there. Raises StateUnavailable."""
        taken = await self._put(version)
        if taken is None:
            return False
        self._version = taken
        self._extend_later()
        return True

    async def answer(self, answered: Answered, ttl_ms: int) -> bool:
        """Replace the claim by the first answer; False where the claim is lost.

        Raises StateUnavailable when it is not known which: then the answer may be given to
        nobody, but a retry may find it.
        """
        await self._end()
        try:
            version = await self._current()
            written = await self._values.put(
                self._name, dump_record(answered), version=version, ttl_ms=ttl_ms
            )
        except Unavailable:
            await self.release()
            raise
        return written is not None

    async def release(self) -> None:
        """Let the next one who comes claim the id; where the state is away, later by itself."""
        await self._end()
        with suppress(Unavailable):
            await self._values.delete(self._name, version=await self._current())

    def _extend_later(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._ttl_ms / 3_000, self._extend_now)

    def _extend_now(self) -> None:
        self._extension = asyncio.ensure_future(self._extend())

    async def _extend(self) -> None:
        try:
            version = await self._put(await self._current())
        except Unavailable:
            self._is_unsure = True
        else:
            if version is None:  # it is lost; the answer will find out
                return
            self._version = version
        if not self._is_over:
            self._extend_later()

    async def _put(self, version: int) -> int | None:
        return await self._values.put(self._name, self._data, version=version, ttl_ms=self._ttl_ms)

    async def _current(self) -> int:
        if self._is_unsure:
            found = await self._values.get(self._name)
            if found is not None and found.data == self._data:
                self._version = found.version
            self._is_unsure = False
        return self._version

    async def _end(self) -> None:
        """Extend it no more. One under way is awaited: it decides about the version."""
        self._is_over = True
        if self._timer is not None:
            self._timer.cancel()
        if self._extension is not None:
            await self._extension
