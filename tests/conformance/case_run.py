"""One case, with one client, through one door."""

import asyncio
import json
import uuid
from collections.abc import Mapping
from typing import Any

from conformance import messages
from conformance.case import Case, filled, pointed
from conformance.matching import difference
from conformance.runner import Runner
from conformance.surroundings import Surroundings

_BETWEEN_S = 0.05
_MOST_S = 20.0
_OF_HARNESS = frozenset({"expect", "save", "until_ms"})


class Canaries:
    """Secrets that came by, and texts that must show none of them."""

    def __init__(self, secrets: set[str]) -> None:
        self.secrets = secrets

    def found(self, text: str) -> str:
        """Return the beginning of a secret that a text shows, else nothing."""
        return next((each[:4] + "…" for each in self.secrets if each in text), "")


class CaseRun:
    """Does a case's steps in order. `clients` are those that are connected already."""

    def __init__(
        self,
        runner: Runner,
        surroundings: Surroundings,
        canaries: Canaries,
        names: Mapping[str, str],
        door: str = "",
    ) -> None:
        self._runner = runner
        self._surroundings = surroundings
        self._canaries = canaries
        self._door = door
        self._own: list[str] = []
        self._names = {
            **names,
            **{f"id_{number}": str(uuid.uuid4()) for number in range(1, 4)},
            "unique": uuid.uuid4().hex[:12],
        }

    async def run(self, case: Case) -> str:
        """Return what was wrong; empty where nothing was."""
        await self._surroundings.forget()
        try:
            for number, step in enumerate(case.steps, 1):
                what = step.get("rpc") or step.get("harness") or ""
                if wrong := await self._step(step):
                    return f"step {number} ({step.get('do', 'harness')} {what}): {wrong}"
            return ""
        finally:
            for client in self._own:
                await self._runner.ask({"do": "close", "client": client})

    async def _step(self, step: Mapping[str, Any]) -> str:
        loop = asyncio.get_running_loop()
        until = loop.time() + step.get("until_ms", 0) / 1_000
        while True:
            expected = filled(step.get("expect", {}), self._names)
            answer = await self._do(step)
            if leak := self._canaries.found(str(answer.get("leak_check", ""))):
                return f"a text shows a secret: {leak}"
            wrong = difference(expected, answer) or _unexpected_error(expected, answer)
            if not wrong:
                for name, pointer in step.get("save", {}).items():
                    self._names[name] = str(pointed(answer, pointer))
                return ""
            if loop.time() >= until:
                return wrong
            await asyncio.sleep(_BETWEEN_S)

    async def _do(self, step: Mapping[str, Any]) -> dict[str, Any]:
        plain = {key: value for key, value in step.items() if key not in _OF_HARNESS}
        plain = filled(plain, self._names)
        if name := plain.pop("harness", ""):
            return await self._surroundings.do(name, plain) or {}
        if plain["do"] == "connect":
            self._own.append(plain["client"])
        return await self._command(plain)

    async def _command(self, command: dict[str, Any]) -> dict[str, Any]:
        doing, rpc = command["do"], command.get("rpc", "")
        if doing in ("call", "load"):
            command["request"] = messages.encode(rpc, command["request"])
        if doing == "watch":
            command["request"] = messages.encode("WatchSession", command["request"])
        if doing == "send":
            command["door"] = self._door
        answer = await self._runner.ask(command, _MOST_S)
        if doing == "call" and "response" in answer:
            answer["response"] = messages.decode(rpc, answer["response"])
        if "session" in answer:
            answer["session"] = messages.session(answer["session"])
        for session in (answer.get("session"), (answer.get("response") or {}).get("session")):
            if session and session["token"]:
                self._canaries.secrets.add(session["token"])
        errors = (answer.get(each) or {} for each in ("error", "failure", "end"))
        answer["leak_check"] = answer.get("text", "") + "".join(
            f"{error.get('text', '')}{error.get('message', '')}" for error in errors
        )
        return answer


def _unexpected_error(expected: Mapping[str, Any], answer: Mapping[str, Any]) -> str:
    """Return an error that the case did not speak of."""
    if "error" not in answer or '"error"' in json.dumps(expected):
        return ""
    error = answer["error"]
    return f"failed: {error.get('code')} {error.get('reason')}: {error.get('message')}"
