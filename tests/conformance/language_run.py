"""All cases with one client, in a world of their own."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from conformance import messages
from conformance.case import Case, filled
from conformance.case_run import Canaries, CaseRun
from conformance.clients import Client
from conformance.runner import Runner, RunnerFailed
from conformance.surroundings import Surroundings
from conformance.world import World
from privyseal.v1 import signing_service_pb2 as pb
from service import ASTER, ASTER_AGENT, ASTER_WALLET, KIIEX, NEBULAEX, WHITEBIT

_OVERHEAD_CALLS = 400


def _tls(folder: str) -> dict[str, str]:
    return {
        "ca": f"${{tls}}/{folder}/ca.pem",
        "certificate": f"${{tls}}/{folder}/client.pem",
        "private_key": f"${{tls}}/{folder}/client-key.pem",
    }


# The clients that cases need not connect themselves.
CLIENTS: dict[str, dict[str, Any]] = {
    "trader": {"targets": ["${main}"], "tls": _tls("trader")},
    "operator": {"targets": ["${main}"], "tls": _tls("operator")},
    "stranger": {"targets": ["${main}"], "tls": _tls("stranger")},
    "recorded": {"targets": ["${door_one}"], "tls": _tls("trader")},
    "admin": {"targets": ["${door_admin}"], "tls": _tls("operator")},
}


class LanguageRun:
    """Runs cases; afterwards `overhead` says what was measured, `others` what else was wrong."""

    def __init__(self, client: Client, directory: Path) -> None:
        self._client = client
        self._directory = directory
        self.overhead = ""
        self.others: list[str] = []

    async def run(self, cases: Sequence[Case]) -> dict[str, str]:
        """Return what was wrong by case; empty where nothing was."""
        world_directory = self._directory / "world"
        world_directory.mkdir()
        wrong: dict[str, str] = {}
        log = self._directory / "stderr"
        async with World(world_directory) as world:
            canaries = Canaries(_secrets_of(world))
            try:
                async with Runner(self._client.runner, log) as runner:
                    doors = await self._prepare(runner, world)
                    for case in cases:
                        wrong[case.name] = await self._case(case, doors, runner, world, canaries)
                    await self._measure(runner)
            except RunnerFailed as error:
                self.others.append(str(error))
            for each in world.doors["one"].seen:
                canaries.secrets |= _signatures_of(each.response) if each.rpc == "Sign" else set()
        if leak := canaries.found(log.read_text(errors="replace")):
            self.others.append(f"standard error shows a secret: {leak}")
        return {case.name: wrong.get(case.name, "not run") for case in cases}

    async def _prepare(self, runner: Runner, world: World) -> tuple[str, ...]:
        described = await runner.ask({"do": "describe"})
        if described.get("language") != self._client.language:
            self.others.append(f"describe: {described}")
        for name, arguments in CLIENTS.items():
            answer = await runner.ask(
                {"do": "connect", "client": name, **filled(arguments, world.names)}
            )
            if "error" in answer:
                self.others.append(f"connect {name}: {answer['error']}")
        return tuple(described.get("doors", ()))

    async def _case(
        self, case: Case, doors: Sequence[str], runner: Runner, world: World, canaries: Canaries
    ) -> str:
        surroundings = Surroundings(world)
        for door in doors if case.sends else ("",):
            run = CaseRun(runner, surroundings, canaries, world.names, door)
            try:
                async with asyncio.timeout(60):
                    wrong = await run.run(case)
            except TimeoutError:
                wrong = "not done in 60 s"
            finally:
                await world.start_server()
            if wrong:
                return f"{door}: {wrong}" if door else wrong
        return ""

    async def _measure(self, runner: Runner) -> None:
        content = {
            "key": "keys/whitebit-main",
            "http_request": {"method": "POST", "path": "/api/v4/order/new", "body": "e30="},
        }
        answer = await runner.ask(
            {
                "do": "overhead",
                "client": "trader",
                "request": messages.encode("Sign", content),
                "count": _OVERHEAD_CALLS,
            },
            60,
        )
        if "error" in answer:
            self.others.append(f"overhead: {answer['error']}")
            return
        client, stub = answer["client_us"], answer["stub_us"]
        self.overhead = f"a Sign takes {client:.0f} us, by the bare stub {stub:.0f} us"


def _secrets_of(world: World) -> set[str]:
    keys = (NEBULAEX, KIIEX, WHITEBIT, ASTER, ASTER_WALLET, ASTER_AGENT)
    secrets = {key.material for key in keys}
    for folder in ("trader", "operator", "stranger"):
        text = (world.tls / folder / "client-key.pem").read_text()
        secrets.add(text.splitlines()[1])
    secrets.add(Path(world.names["token_file"]).read_text())
    return secrets


def _signatures_of(response: bytes) -> set[str]:
    headers = pb.SignResponse.FromString(response).signed_http_request.headers
    return {each.value for each in headers if len(each.value) >= 40}
