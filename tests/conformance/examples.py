"""The examples of a client, run as a user would, and its README's code."""

import asyncio
import os
import re
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path

from conformance.clients import Client
from conformance.world import World

_MOST_S = 60
_ROUNDS = 3
_SOURCES = frozenset({".go", ".rs", ".java", ".ts", ".py"})
_CODE = re.compile(
    r"^```(?:go|rust|java|ts|typescript|python)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL
)


async def check_examples(client: Client, directory: Path) -> list[str]:
    """Return what is wrong with them."""
    wrong = [_readme(client)]
    async with World(directory) as world:
        for name, expected in (
            ("readme", r".*\S.*"),
            ("market_maker", rf".*\b{2 * _ROUNDS} orders placed, {2 * _ROUNDS} cancelled\n?"),
        ):
            code, output = await _run(client, name, world)
            if code != 0 or not re.fullmatch(expected, output, re.DOTALL):
                wrong.append(f"example {name} ended with {code}: {output[-1_000:]}")
        refused = [seen.refusal for seen in world.main.sandbox.requests(accepted=False)]
        if refused:
            wrong.append(f"examples: the venue refused {refused}")
        if not world.main.sandbox.requests("whitebit", accepted=True):
            wrong.append("examples: no request reached the venue")
    return [each for each in wrong if each]


def _readme(client: Client) -> str:
    code = _CODE.search((client.folder / "README.md").read_text())
    if code is None:
        return "README.md has no code of its language"
    lines = [line.strip() for line in code[1].splitlines() if line.strip()]
    for path in sorted(client.folder.rglob("*")):
        # In Go an example is a package, so that its folder has the name.
        named = "readme" in f"{path.parent.name}/{path.stem}".lower()
        if path.suffix not in _SOURCES or not named or not path.is_file():
            continue
        seen = [line.strip() for line in path.read_text().splitlines() if line.strip()]
        if any(seen[start : start + len(lines)] == lines for start in range(len(seen))):
            return ""
    return "no file readme.* holds README.md's first code line by line"


async def _run(client: Client, name: str, world: World) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        str(client.example),
        name,
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={
            **os.environ,
            "PRIVYSEAL_TARGET": world.names["main"],
            "PRIVYSEAL_TLS": str(world.tls / "example"),
            "VENUE_URL": world.taps["whitebit"].url,
            "ROUNDS": str(_ROUNDS),
        },
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), _MOST_S)
    except TimeoutError:
        process.kill()
        await process.wait()
        return 1, f"still ran after {_MOST_S} s"
    return process.returncode or 0, output.decode(errors="replace")
