"""Sign with one worker and with two, over one Valkey: `python benchmarks/workers.py`.

Servers, Valkey, Vault and the load share the machine's cores, so that on a small machine the
throughput says more about the load than about the workers. What holds on any is the CPU per
Sign: workers that share nothing but Valkey scale as far as that stays what it is with one.
With `--nonces` every nonce is read, and must be unlike all others and above the connection's last.
"""

import argparse
import asyncio
import os
import resource
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import uvloop

from bench import Send, channels, import_keys, senders, whitebit
from privyseal.v1 import signing_service_pb2
from privyseald.cli.init import prepare
from processes import Pinned, free_port, openbao, valkey, workers

_SIGN = "/privyseal.v1.SigningService/Sign"
_PATIENCE_S = 20.0
_GROUPS = 4  # of four connections each: enough that both workers get their share


@dataclass(frozen=True)
class Setup:
    """What is measured: how many workers, and whether they keep the state in Valkey."""

    name: str
    workers: int
    is_shared: bool


SETUPS = (
    Setup("1 worker, embedded state", 1, is_shared=False),
    Setup("1 worker, Valkey", 1, is_shared=True),
    Setup("2 workers, Valkey", 2, is_shared=True),
)


@dataclass
class Figures:
    """One round of one setup: Signs a second, and microseconds of CPU per Sign."""

    rate: float
    server_us: float
    valkey_us: float
    load_us: float


@dataclass
class Site:
    """What all setups share."""

    directory: Path
    valkey: Pinned
    vault_port: int
    valkey_port: int
    prefix: str = field(default_factory=lambda: f"bench-{secrets.token_hex(4)}")

    def settings(self, setup: Setup, port: int) -> dict[str, str]:
        """Return the environment that turns a server to try out into this one."""
        state = f"valkey://127.0.0.1:{self.valkey_port}" if setup.is_shared else "embedded"
        return {
            "PRIVYSEAL__SERVER__LISTEN": f"127.0.0.1:{port}",
            "PRIVYSEAL__SERVER__WORKERS": str(setup.workers),
            "PRIVYSEAL__STATE__URL": state,
            "PRIVYSEAL__STORE__URL": f"vault://secret/{self.prefix}",
            "PRIVYSEAL__VAULT__ADDRESS": f"http://127.0.0.1:{self.vault_port}",
            "PRIVYSEAL__VAULT__AUTH": "token-file",
            "PRIVYSEAL__VAULT__TOKEN_FILE": str(self.directory / "token"),
        }


@contextmanager
def site() -> Iterator[Site]:
    """Run a Vault and a Valkey, and put keys there."""
    with ExitStack() as stack:
        name = stack.enter_context(tempfile.TemporaryDirectory(prefix="privyseal-workers-"))
        directory = Path(name) / "server"
        prepare(directory, 0)
        token = secrets.token_hex(16)
        (directory / "token").touch(0o600)
        (directory / "token").write_text(token)
        vault_port, valkey_port = free_port(), free_port()
        stack.enter_context(openbao(token, vault_port, tls=False))
        shared = stack.enter_context(valkey(valkey_port, Path(name)))
        found = Site(directory, shared, vault_port, valkey_port)
        with serving(found, SETUPS[0]) as (_, port):
            import_keys(directory, port)
        yield found


@contextmanager
def serving(found: Site, setup: Setup) -> Iterator[tuple[Pinned, int]]:
    """Run the setup's server, and return it with its port."""
    port = free_port()
    with workers(found.directory, found.settings(setup, port)) as server:
        yield server, port


async def sign(found: Site, setup: Setup, calls: int) -> Figures:
    """Sign so often, from many connections, and return what it took."""
    message = whitebit().SerializeToString()
    with serving(found, setup) as (server, port):
        opened = [each for _ in range(_GROUPS) for each in channels(found.directory, port)]
        lanes = senders(opened, _SIGN, message)
        await _first(lanes[0])
        await _send(lanes, len(lanes) * 20)
        before = (time.monotonic(), server.cpu_s(), found.valkey.cpu_s(), _own_cpu_s())
        done = await _send(lanes, calls)
        after = (time.monotonic(), server.cpu_s(), found.valkey.cpu_s(), _own_cpu_s())
        for channel in opened:
            await channel.close()
    spent_s, *cpus_s = (end - begin for begin, end in zip(before, after, strict=True))
    return Figures(done / spent_s, *(1e6 * each / done for each in cpus_s))


async def _first(send: Send) -> None:
    """Sign once: a Valkey that has just begun gives nonces after five seconds."""
    async with asyncio.timeout(_PATIENCE_S):
        while True:
            try:
                await send()
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
                await asyncio.sleep(0.2)
            else:
                return


async def _send(lanes: list[Send], calls: int) -> int:
    async def lane(send: Send) -> None:
        for _ in range(calls // len(lanes)):
            await send()

    await asyncio.gather(*(lane(send) for send in lanes))
    return calls // len(lanes) * len(lanes)


async def check_nonces(found: Site, calls: int) -> tuple[int, int, float]:
    """Return how many nonces were seen, how many of them were no good, and the Signs a second."""
    request = whitebit().SerializeToString()
    seen: set[int] = set()
    wrong = 0

    async def lane(channel: grpc.aio.Channel) -> None:
        nonlocal wrong
        call: Any = channel.unary_unary(
            _SIGN, response_deserializer=signing_service_pb2.SignResponse.FromString
        )
        last = 0
        for _ in range(calls // lanes):
            nonce = int((await call(request, timeout=20)).nonce)
            wrong += nonce <= last or nonce in seen
            seen.add(nonce)
            last = nonce

    with serving(found, SETUPS[-1]) as (_, port):
        opened = [each for _ in range(_GROUPS) for each in channels(found.directory, port)]
        lanes = len(opened)
        await _first(senders(opened, _SIGN, request)[0])
        begun_s = time.monotonic()
        await asyncio.gather(*(lane(channel) for channel in opened))
        spent_s = time.monotonic() - begun_s
        for channel in opened:
            await channel.close()
    return len(seen), wrong, len(seen) / spent_s


def _own_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--calls", type=int, default=12_000, help="calls a setup and round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--nonces", type=int, default=0, help="read so many nonces instead")
    arguments = parser.parse_args()
    with site() as found:
        if arguments.nonces:
            seen, wrong, rate = uvloop.run(check_nonces(found, arguments.nonces))
            print(
                f"{seen} nonces of 2 workers, {rate:.0f} a second; duplicate or not above: {wrong}"
            )
            sys.exit(1 if wrong else 0)
        rounds = [
            [uvloop.run(sign(found, setup, arguments.calls)) for setup in SETUPS]
            for _ in range(arguments.rounds)
        ]
    print(f"{'':<28}{'Sign/s':>8}{'server µs':>11}{'Valkey µs':>11}{'load µs':>9}")
    for setup, figures in zip(SETUPS, zip(*rounds, strict=True), strict=True):
        columns = [
            statistics.median(getattr(each, name) for each in figures)
            for name in ("rate", "server_us", "valkey_us", "load_us")
        ]
        rate, server_us, valkey_us, load_us = columns
        print(f"{setup.name:<28}{rate:>8.0f}{server_us:>11.0f}{valkey_us:>11.0f}{load_us:>9.0f}")
    ratios = [two.server_us / one.server_us for _, one, two in rounds]
    rates = [two.rate / one.rate for _, one, two in rounds]
    print(
        f"\n2 workers over 1: {statistics.median(rates):.2f} x the Signs a second, at "
        f"{statistics.median(ratios):.2f} x the CPU per Sign; {os.cpu_count()} cores, which the "
        f"load, Valkey and Vault share; {arguments.calls} calls x {arguments.rounds} rounds"
    )


if __name__ == "__main__":
    main()
