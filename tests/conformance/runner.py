"""A client's runner as a process: commands go in as JSON lines, answers come out."""

import asyncio
import json
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from typing import Any, Self

_END_S = 10
_LINE = 32 * 1_048_576


class RunnerFailed(Exception):
    """The runner broke the protocol, or ended; says how, and what it wrote to stderr."""


class Runner:
    """Use `async with`."""

    def __init__(self, program: Path, log: Path) -> None:
        self._program = program
        self._log = log
        self._process: Process
        self._reading: asyncio.Task[None]
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._number = 0

    async def __aenter__(self) -> Self:
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                str(self._program), stdin=PIPE, stdout=PIPE, stderr=log, limit=_LINE
            )
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), _END_S)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
            raise RunnerFailed(f"still runs {_END_S} s after the end of its input") from None
        finally:
            self._reading.cancel()
        if self._process.returncode != 0:
            raise RunnerFailed(f"ended with {self._process.returncode}: {self.stderr()[-500:]}")

    def stderr(self) -> str:
        """Return what the runner wrote for people."""
        return self._log.read_text(errors="replace")

    async def ask(self, command: dict[str, Any], wait_s: float = 30) -> dict[str, Any]:
        """Return the answer to a command. Raises RunnerFailed."""
        self._number += 1
        number = self._number
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"id": number, **command}).encode() + b"\n")
            await self._process.stdin.drain()
            return await asyncio.wait_for(answer, wait_s)
        except TimeoutError:
            raise RunnerFailed(f"{command['do']}: no answer in {wait_s} s") from None
        except OSError:
            raise RunnerFailed(f"{command['do']}: the runner is gone") from None
        finally:
            del self._waiting[number]

    async def _read(self) -> None:
        assert self._process.stdout is not None
        failure = "the runner ended"
        while line := await self._process.stdout.readline():
            try:
                answer = json.loads(line)
                waiting = self._waiting.get(answer["id"])
            except (ValueError, KeyError, TypeError):
                failure = f"no answer of the protocol on standard output: {line[:200]!r}"
                break
            if waiting is not None and not waiting.done():
                waiting.set_result(answer)
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(RunnerFailed(f"{failure}; stderr: {self.stderr()[-500:]}"))
