"""Sessions as they are watched, kept until they are asked for."""

import asyncio
import base64
from typing import Any

from privyseal import AsyncSessionWatch, PrivysealError, SessionWatch
from privyseal.watch import SessionEvent
from runner.answers import error_answer


class Watching:
    """Reads a stream in a task of its own."""

    def __init__(self, watch: AsyncSessionWatch | SessionWatch) -> None:
        self._watch = watch
        self._answers: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._reading = asyncio.create_task(self._read())

    async def next(self, timeout_s: float | None) -> dict[str, Any]:
        """Return the next event, or that there was none."""
        try:
            return await asyncio.wait_for(self._answers.get(), timeout_s)
        except TimeoutError:
            return {"nothing": True}

    async def close(self) -> None:
        """End the stream."""
        if isinstance(self._watch, SessionWatch):
            await asyncio.to_thread(self._watch.close)
        else:
            await self._watch.close()
        await self._reading

    async def _read(self) -> None:
        try:
            while (event := await self._event()) is not None:
                if isinstance(event, PrivysealError):
                    self._answers.put_nowait({"failure": error_answer(event)})
                else:
                    content = base64.b64encode(event.SerializeToString()).decode()
                    self._answers.put_nowait({"session": content})
        except PrivysealError as error:
            self._answers.put_nowait({"end": error_answer(error)})

    async def _event(self) -> SessionEvent | None:
        if isinstance(self._watch, SessionWatch):
            return await asyncio.to_thread(next, self._watch, None)
        return await anext(self._watch, None)
