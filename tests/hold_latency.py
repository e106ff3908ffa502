"""Measures how long a hold takes to stop three server processes on one Vault and one Valkey.

`python tests/hold_latency.py [TRIALS]` prints a table; 100 trials take about half a minute.
"""

import asyncio
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

from bao import BaoServer
from hold_trials import Replicas, Trial, quantile
from privyseal.v1 import hold_service_pb2
from replicas import shared
from served import Served
from service import OPERATOR, WHITEBIT, import_sandbox_key, sign_request
from valkey_server import ValkeyServer

_REPLICAS = 3
_LIMIT_MS = 2_000
_ROWS: tuple[tuple[str, Callable[[Trial], float]], ...] = (
    ("CreateHold answers", lambda trial: trial.answer_ms),
    ("last signature of any replica", lambda trial: trial.stop_ms),
    ("all sign again after DeleteHold", lambda trial: trial.lift_ms),
)


async def measure(folder: Path, bao: BaoServer, valkey: ValkeyServer, count: int) -> list[Trial]:
    """Run the servers, and so many trials on them."""
    sections = shared(folder, bao, "holds", valkey.url)
    async with AsyncExitStack() as running:
        stubs = []
        for number in range(_REPLICAS):
            home = folder / f"server-{number}"
            home.mkdir()
            served = await running.enter_async_context(Served(home, **sections))
            stubs.append(await served.as_caller(OPERATOR))
        await import_sandbox_key(stubs[0], "wb", WHITEBIT)
        replicas = Replicas(stubs, sign_request("wb", "POST", "/api/v4/orders"))
        async with replicas:
            return await replicas.trials(count, hold_service_pb2.Hold(key="keys/wb", cause="drill"))


def table(trials: Sequence[Trial]) -> str:
    """Return the figures as Markdown."""
    lines = [f"| ms after the call, {len(trials)} trials | p50 | p99 | max |", "|---|---|---|---|"]
    for name, pick in _ROWS:
        values = [pick(trial) for trial in trials]
        figures = (quantile(values, 0.5), quantile(values, 0.99), max(values))
        lines.append(f"| {name} | {' | '.join(f'{figure:.1f}' for figure in figures)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure and print; exit with 1 where the slowest was too slow."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory()))
        bao = BaoServer(folder / "bao")
        running.callback(bao.stop)
        bao.start()
        valkey = ValkeyServer(folder / "valkey")
        running.callback(valkey.stop)
        valkey.start()
        valkey.settle()
        trials = asyncio.run(measure(folder, bao, valkey, count))
    sys.stdout.write(table(trials))
    sys.exit(int(max(trial.stop_ms for trial in trials) > _LIMIT_MS))


if __name__ == "__main__":
    main()
