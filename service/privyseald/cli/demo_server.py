"""A `privyseal serve` of the demo's own: a real process, ended when the demo ends."""

import asyncio
import json
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from pathlib import Path
from typing import Self

from privyseald.cli.output import fail

_START_S = 20
_STOP_S = 10


class DemoServer:
    """Use `async with`; `port` is where it listens."""

    def __init__(self, directory: Path) -> None:
        self._config = directory / "privyseal.toml"
        self._process: Process
        self.port = 0

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "privyseald",
            "serve",
            "--config",
            str(self._config),
            stdin=DEVNULL,
            stdout=DEVNULL,
            stderr=PIPE,
        )
        try:
            self.port = await asyncio.wait_for(self._wait_until_ready(), _START_S)
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stop()

    async def _wait_until_ready(self) -> int:
        """Return the port, once the server's log says that it is ready."""
        port = 0
        lines: list[str] = []
        stderr = self._process.stderr
        while stderr is not None and (line := (await stderr.readline()).decode()):
            lines.append(line.rstrip())
            try:
                event = json.loads(line)
            except ValueError:
                continue
            port = int(event.get("port", port))
            if event.get("event") == "ready":
                return port
        # `terminate` reaps a child that has just ended, and its return code would be lost.
        await self._process.wait()
        return fail("the server did not start: " + " ".join(lines))

    async def _stop(self) -> None:
        if self._process.returncode is None:
            self._process.terminate()
            try:
                await asyncio.wait_for(self._process.communicate(), _STOP_S)
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
