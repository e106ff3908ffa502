"""CPU per warm Sign under a rule with limits, beside one without: state embedded and in Valkey.

Servers take turns on one core, as in `bench.py`. A figure is the CPU time of the server process,
from /proc, and of the Valkey beside it. Bounded in count, and ends by itself.
"""

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import uvloop

from bench import Point, channels, cpu_us, first_nonce, import_keys, senders, whitebit
from privyseald.cli.init import prepare
from processes import LOAD_CORE, Pinned, free_port, port_of, privyseal, valkey

_SIGN = "/privyseal.v1.SigningService/Sign"
_RATE = "{rate: 1000000, window: 1s, per: [caller, key]}"
_BUDGET = '{notional: "90000000 USDT", window: 24h, per: [key]}'
_LIMITS = {"no limit": "", "a rate": _RATE, "a rate and a budget": f"{_RATE}, {_BUDGET}"}


@dataclass(frozen=True)
class Figures:
    """Microseconds per Sign, round by round: the server's, and Valkey's where there is one."""

    server_us: list[float]
    valkey_us: list[float]


def limit(directory: Path, limits: str) -> None:
    """Give the first rule these limits."""
    file = directory / "policy.yaml"
    rules = file.read_text().replace(
        "    accept_bearer: true\n", f"    accept_bearer: true\n    limits: [{limits}]\n", 1
    )
    file.write_text(rules)


async def measure(calls: int, rounds: int) -> dict[str, Figures]:
    """Return the figures of each server by its name."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="privyseal-limits-")))
        port = free_port()
        shared = stack.enter_context(valkey(port, folder))
        states = {
            "embedded": {},
            "Valkey": {"PRIVYSEAL__STATE__URL": f"valkey://127.0.0.1:{port}/0"},
        }
        points: list[tuple[Point, Pinned | None]] = []
        for state, settings in states.items():
            for name, limits in _LIMITS.items():
                directory = folder / f"{state}-{name.replace(' ', '-')}"
                prepare(directory, 0)
                limit(directory, limits)
                server = stack.enter_context(privyseal(directory, settings))
                await asyncio.to_thread(import_keys, directory, port_of(server))
                opened = channels(directory, port_of(server))
                await first_nonce(opened[0], _SIGN)
                lanes = senders(opened, _SIGN, whitebit().SerializeToString())
                point = Point(f"{name}, state {state}", server, lanes)
                points.append((point, shared if settings else None))
        figures = {point.name: Figures([], []) for point, _ in points}
        for number in range(rounds):
            sys.stderr.write(f"round {number + 1} of {rounds}\n")
            for point, beside in points:
                before = beside.cpu_s() if beside else 0.0
                figures[point.name].server_us.append(await cpu_us(point, calls))
                spent = (beside.cpu_s() if beside else 0.0) - before
                figures[point.name].valkey_us.append(spent * 1e6 / calls)
        return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--calls", type=int, default=6_000, help="calls a server and round")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    if (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, {LOAD_CORE})
    figures = uvloop.run(measure(arguments.calls, arguments.rounds))
    print(f"{'CPU per Sign':<40}{'server µs':>11}{'Valkey µs':>11}")
    for name, each in figures.items():
        server, beside = statistics.median(each.server_us), statistics.median(each.valkey_us)
        print(f"{name:<40}{server:>11.1f}{beside:>11.1f}")


if __name__ == "__main__":
    main()
