"""A connection that is always being made: found, entered, watched, and made anew."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from privyseald.config_error import ConfigInvalid
from privyseald.errors import StateUnavailable, Unavailable
from privyseald.keeper import Keeper
from privyseald.state.valkey_connection import Address, Connection
from privyseald.state.valkey_failure import Broken, Refused, away, of_refusal, stopping
from privyseald.state.valkey_finder import Finder

_BEAT_S = 1.0
_FIRST_PAUSE_S = 0.02
_LONGEST_PAUSE_S = 1.0
_TASK = "state-link"
_T = TypeVar("_T")
_log = structlog.get_logger("privyseald.state")


class Link:
    """Keeps one connection to the primary.

    `greet` is awaited with each new connection, and `beat` every second after that; where they
    raise, another connection is made. What they raise that is Unavailable is theirs to tell.
    One link of a state `tells` the log how it stands.
    """

    def __init__(
        self,
        finder: Finder,
        enter: Callable[[Address], Awaitable[Connection]],
        greet: Callable[[Connection], Awaitable[None]],
        beat: Callable[[Connection], Awaitable[None]],
        timeout_ms: int,
        keeper: Keeper,
        *,
        tells: bool,
    ) -> None:
        self._tells = tells
        self._keeper = keeper
        self._finder = finder
        self._enter = enter
        self._greet = greet
        self._beat = beat
        self._timeout_s = timeout_ms / 1_000
        self._address: Address | None = None
        self._connection: Connection | None = None
        self._failure: StateUnavailable | None = None
        # Set while it is known whether there is a connection.
        self._known = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._again: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Make the first connection, or return when that fails. Raises ConfigInvalid."""
        first: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._begin(first)
        await first

    async def close(self) -> None:
        """Let the connection go. Whoever asks from now on hears that this server stops."""
        self._failure = stopping()
        if self._again is not None:
            self._again.cancel()
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
        self._let_go("is not asked any more: this server is stopping")
        self._known.set()

    async def connection(self) -> Connection:
        """Return the connection; raises StateUnavailable where there is none soon."""
        if self._connection is not None and self._connection.is_open:
            return self._connection
        try:
            async with asyncio.timeout(self._timeout_s):
                while self._connection is None or not self._connection.is_open:
                    if self._failure is not None:
                        raise StateUnavailable(
                            self._failure.message, retry_after_ms=self._failure.retry_after_ms
                        )
                    await self._known.wait()
                    # The loss of a connection is heard a turn after it is marked.
                    await asyncio.sleep(0)
        except TimeoutError:
            raise away("did not answer within state.timeout_ms") from None
        return self._connection

    async def use(self, act: Callable[[Connection], Awaitable[_T]]) -> _T:
        """Return what `act` makes of the connection. Raises StateUnavailable."""
        connection = await self.connection()
        try:
            return await act(connection)
        except Refused as refused:
            if refused.is_elsewhere:
                connection.close()
            raise of_refusal(refused) from None
        except Broken as broken:
            raise away(str(broken)) from None

    def _begin(self, first: "asyncio.Future[None]") -> None:
        self._running = asyncio.ensure_future(self._run(first))
        self._running.add_done_callback(lambda running: self._end(running, first))

    def _end(self, running: "asyncio.Task[None]", first: "asyncio.Future[None]") -> None:
        """Begin anew after what nobody foresaw: without a connection nothing can be done."""
        error = None if running.cancelled() else running.exception()
        if error is None or isinstance(error, ConfigInvalid):
            return
        self._keeper.note(_TASK, error, again_in_ms=round(_LONGEST_PAUSE_S * 1_000))
        self._let_go("is not connected to any more")
        self._fail(away("can't be connected to; this server's log says why"))
        if not first.done():
            first.set_result(None)
        loop = asyncio.get_running_loop()
        self._again = loop.call_later(_LONGEST_PAUSE_S, self._begin, first)

    async def _run(self, first: "asyncio.Future[None]") -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                connection = await self._make()
            except ConfigInvalid as error:
                if not first.done():
                    first.set_exception(error)
                    return
                self._fail(StateUnavailable(str(error), retry_after_ms=1_000))
            except (Broken, Refused) as error:
                self._fail(of_refusal(error) if isinstance(error, Refused) else away(str(error)))
            else:
                if self._failure is not None and self._tells:
                    _log.info("shared state back")
                self._connection, self._failure = connection, None
                self._known.set()
                pause_s = _FIRST_PAUSE_S
                if not first.done():
                    first.set_result(None)
                cause = await self._stay(connection)
                self._known.clear()
                self._let_go(cause)
                continue
            if not first.done():
                first.set_result(None)
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311  # no secret
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    async def _make(self) -> Connection:
        self._address = await self._finder.find()
        connection = await self._enter(self._address)
        try:
            await _quietly(self._greet(connection))
        except BaseException:
            connection.close()
            raise
        return connection

    async def _stay(self, connection: Connection) -> str:
        """Return when the connection is gone or another one is due, with the cause."""
        while True:
            try:
                async with asyncio.timeout(_BEAT_S):
                    return str(await connection.ended())
            except TimeoutError:
                pass
            try:
                await _quietly(self._beat(connection))
            except Refused as refused:
                return of_refusal(refused).message
            except Broken as broken:
                return str(broken)
            # Whoever is asked may hang, and the connection end meanwhile.
            ended = asyncio.ensure_future(connection.ended())
            moved = asyncio.ensure_future(self._has_moved())
            try:
                await asyncio.wait((ended, moved), return_when=asyncio.FIRST_COMPLETED)
                if ended.done():
                    return str(ended.result())
                if moved.result():
                    return "has moved to another server"
            finally:
                ended.cancel()
                moved.cancel()

    async def _has_moved(self) -> bool:
        """Whether those who know now name another primary: the one here may not know it yet."""
        try:
            return await self._finder.find() != self._address
        except (Broken, Refused, ConfigInvalid):
            return False

    def _fail(self, failure: StateUnavailable) -> None:
        is_news = self._failure is None or self._failure.message != failure.message
        if is_news and self._tells:
            _log.warning("shared state away", advice=failure.message)
        self._failure = failure
        self._known.set()

    def _let_go(self, cause: str) -> None:
        if self._connection is not None:
            self._connection.close(cause)
            self._connection = None


async def _quietly(step: Awaitable[None]) -> None:
    try:
        await step
    except Unavailable:
        return
