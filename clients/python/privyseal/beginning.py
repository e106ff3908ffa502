"""The beginning of an answer, read for its report; whoever wants the answer gets all of it."""

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator

REPORTED_BYTES = 65_536
REPORT_TIMEOUT_S = 2.0


class Beginning(Iterator[bytes]):
    """Parts of an answer, of which the first may be read by another thread."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts = parts
        self._ahead: deque[bytes] = deque()
        self._failure: Exception | None = None
        self._lock = threading.Lock()
        self._taken = False
        self._end: Callable[[], None] | None = None

    def report(self, tell: Callable[[bytes, float], None]) -> None:
        """Tell the beginning, and how much time is left for that. Returns after 2 s at most; what
        is still read or told then goes on meanwhile.
        """
        until_s = time.monotonic() + REPORT_TIMEOUT_S
        # Neither a read that waits nor the client's token function can be ended from outside.
        thread = threading.Thread(target=self._tell, args=(tell, until_s), daemon=True)
        thread.start()
        thread.join(REPORT_TIMEOUT_S)
        self._taken = True

    def _tell(self, tell: Callable[[bytes, float], None], until_s: float) -> None:
        found = bytearray()
        while len(found) < REPORTED_BYTES:
            with self._reading():
                if self._taken:
                    return
                try:
                    self._ahead.append(next(self._parts))
                except StopIteration:
                    break
                except Exception as error:  # noqa: BLE001  # the caller's, when it reads so far
                    self._failure = error
                    break
                found += self._ahead[-1]
        left_s = until_s - time.monotonic()
        if left_s > 0:
            with contextlib.suppress(Exception):
                tell(bytes(found), left_s)

    def __next__(self) -> bytes:
        self._taken = True
        with self._reading():
            if self._ahead:
                return self._ahead.popleft()
            if self._failure is not None:
                raise self._failure
            return next(self._parts)

    def close(self, end: Callable[[], None]) -> None:
        """End the answer: now or, while a part is read, right after it. A connection that is
        closed while it is read might be used again with what is left on it.
        """
        self._taken = True
        self._end = end
        if self._lock.acquire(blocking=False):
            self._lock.release()
            self._finish()

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            with self._lock:
                yield
        finally:
            if self._end is not None:
                self._finish()

    def _finish(self) -> None:
        with self._lock:
            end, self._end = self._end, None
            if end is not None:
                end()


class AsyncBeginning(AsyncIterator[bytes]):
    """Parts of an answer, of which the first may be read ahead."""

    def __init__(self, parts: AsyncIterator[bytes]) -> None:
        self._parts = parts
        self._ahead: deque[bytes] = deque()
        self._failure: Exception | None = None
        self._reading: asyncio.Task[bytes | None] | None = None

    async def read_ahead(self, within_s: float) -> bytes | None:
        """Return the beginning, or None where it did not come in time."""
        until_s = time.monotonic() + within_s
        found = bytearray()
        while len(found) < REPORTED_BYTES:
            # Cancelling the read would break the connection: whoever reads on waits for it.
            self._reading = asyncio.ensure_future(self._next())
            await asyncio.wait({self._reading}, timeout=until_s - time.monotonic())
            if not self._reading.done():
                return None
            read, self._reading = self._reading, None
            try:
                part = read.result()
            except Exception as error:  # noqa: BLE001  # the caller's, when it reads so far
                self._failure = error
                break
            if part is None:
                break
            self._ahead.append(part)
            found += part
        return bytes(found)

    async def __anext__(self) -> bytes:
        if self._ahead:
            return self._ahead.popleft()
        if self._failure is not None:
            raise self._failure
        reading, self._reading = self._reading, None
        part = await (reading or self._next())
        if part is None:
            raise StopAsyncIteration
        return part

    async def aclose(self) -> None:
        """End a read that nobody waits for any more."""
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.cancel()
            await asyncio.wait({reading})

    async def _next(self) -> bytes | None:
        return await anext(self._parts, None)
