"""`make bench`: CPU of the server per warm Sign, beside an empty RPC and OpenBao transit.

All servers take turns on one core, the load generator has another. A figure is CPU time of
the server process, from /proc, so the load generator's own speed does not matter. Each
round measures everything once; the table shows medians over the rounds, and ratios taken
within a round. Everything is loopback, bounded in count, and ends by itself.
"""

import argparse
import asyncio
import base64
import os
import secrets
import ssl
import statistics
import sys
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import uvloop

from privyseal import Client, Tls
from privyseal.v1 import key_service_pb2, signing_service_pb2
from privyseald.cli.init import prepare
from processes import LOAD_CORE, Pinned, empty, free_port, openbao, port_of, privyseal, valkey

_BATCH = 100
_SHARED = "Sign whitebit, state in Valkey"
_CONNECTIONS, _STREAMS = 4, 8
_ANVIL_0 = b"ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"

Send = Callable[[], Awaitable[object]]


@dataclass(frozen=True)
class Point:
    """Something to measure: the server that works, and how to make it work once."""

    name: str
    server: Pinned
    senders: list[Send]
    per_call: int = 1
    against: str = ""


async def cpu_us(point: Point, calls: int) -> float:
    """Return the server's CPU time per operation, in microseconds."""

    async def worker(send: Send, count: int) -> None:
        for _ in range(count):
            await send()

    lanes = len(point.senders)
    await asyncio.gather(*(worker(send, 4) for send in point.senders))
    before = point.server.cpu_s()
    await asyncio.gather(*(worker(send, calls // lanes) for send in point.senders))
    spent = point.server.cpu_s() - before
    return float(spent * 1e6 / (calls // lanes * lanes * point.per_call))


def whitebit() -> signing_service_pb2.SignRequest:
    """Return a WhiteBIT order to sign."""
    request = signing_service_pb2.SignRequest(key="keys/whitebit")
    request.http_request.method, request.http_request.path = "POST", "/api/v4/order/new"
    request.http_request.body = (
        b'{"market":"BTC_USDT","side":"buy","amount":"0.01","price":"40000","clientOrderId":"a1"}'
    )
    return request


def aster_v3() -> signing_service_pb2.SignRequest:
    """Return an Aster V3 order to sign."""
    request = signing_service_pb2.SignRequest(key="keys/aster-v3")
    request.http_request.method, request.http_request.path = "POST", "/fapi/v3/order"
    request.http_request.body = (
        b"symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.01&price=40000"
    )
    return request


def channels(directory: Path, port: int) -> list[grpc.aio.Channel]:
    """Return a few mTLS connections that do not share one socket."""
    tls = directory / "tls"
    credentials = grpc.ssl_channel_credentials(
        (tls / "ca.pem").read_bytes(),
        (tls / "client-key.pem").read_bytes(),
        (tls / "client.pem").read_bytes(),
    )
    options = (("grpc.use_local_subchannel_pool", 1),)
    return [
        grpc.aio.secure_channel(f"localhost:{port}", credentials, options=options)
        for _ in range(_CONNECTIONS)
    ]


def senders(open_channels: list[grpc.aio.Channel], method: str, message: bytes) -> list[Send]:
    """Return one sender a stream; each sends the same bytes and reads the answer as bytes."""

    def sender(channel: grpc.aio.Channel) -> Send:
        call: Any = channel.unary_unary(method)
        return lambda: call(message, timeout=20)

    return [sender(channel) for channel in open_channels for _ in range(_STREAMS)]


def import_keys(directory: Path, port: int) -> None:
    """Import the keys to sign with."""
    tls = directory / "tls"
    files = Tls(tls / "ca.pem", tls / "client.pem", tls / "client-key.pem")
    with Client(f"localhost:{port}", tls=files) as server:
        for request in (
            key_service_pb2.ImportKeyRequest(
                key_id="whitebit",
                venue="whitebit",
                fields={"api_key": "bench", "nonce_window": "false"},
                plaintext=secrets.token_hex(16).encode(),
            ),
            key_service_pb2.ImportKeyRequest(
                key_id="aster-v3", venue="aster-v3", plaintext=_ANVIL_0
            ),
        ):
            server.import_key(request)


async def first_nonce(channel: grpc.aio.Channel, method: str) -> None:
    """Wait until a Valkey that was empty gives nonces."""
    call: Any = channel.unary_unary(method)
    for _ in range(200):
        try:
            await call(whitebit().SerializeToString(), timeout=20)
        except grpc.aio.AioRpcError:
            await asyncio.sleep(0.1)
        else:
            return
    raise SystemExit("the server with its state in Valkey gives no nonces")


async def transit(session: aiohttp.ClientSession, port: int, token: str) -> Send:
    """Return a sender that has OpenBao's transit engine compute one HMAC-SHA512."""
    root = f"https://127.0.0.1:{port}/v1"
    headers = {"X-Vault-Token": token}
    for path, body in (
        ("sys/mounts/transit", {"type": "transit"}),
        ("transit/keys/bench", {"type": "hmac", "key_size": 32}),
    ):
        async with session.post(f"{root}/{path}", json=body, headers=headers) as response:
            if response.status >= 300:
                raise SystemExit(f"OpenBao refused {path}: HTTP {response.status}")
    message = {"input": base64.b64encode(whitebit().http_request.body).decode()}
    url = f"{root}/transit/hmac/bench/sha2-512"

    async def send() -> None:
        async with session.post(url, json=message, headers=headers) as response:
            if response.status != 200 or not (await response.json())["data"]["hmac"]:
                raise SystemExit(f"OpenBao answered HTTP {response.status}")

    return send


async def measure(calls: int, rounds: int) -> tuple[list[Point], dict[str, list[float]], float]:
    """Return the points, their figures by name, and the daemon's memory at the end."""
    with ExitStack() as stack:
        name = stack.enter_context(tempfile.TemporaryDirectory(prefix="privyseal-bench-"))
        directory = Path(name) / "server"
        prepare(directory, 0)
        daemon = stack.enter_context(privyseal(directory))
        port = port_of(daemon)
        await asyncio.to_thread(import_keys, directory, port)
        to_daemon = channels(directory, port)
        sign, batch = "/privyseal.v1.SigningService/Sign", "/privyseal.v1.SigningService/BatchSign"
        one: Any = to_daemon[0].unary_unary(sign)
        requests = {"whitebit": whitebit(), "aster-v3": aster_v3()}
        sizes = {
            key.replace("-", "_"): len(await one(request.SerializeToString()))
            for key, request in requests.items()
        }
        shared = Path(name) / "shared"
        prepare(shared, 0)
        valkey_port = free_port()
        stack.enter_context(valkey(valkey_port, Path(name)))
        state = {"PRIVYSEAL__STATE__URL": f"valkey://127.0.0.1:{valkey_port}/0"}
        sharing = stack.enter_context(privyseal(shared, state))
        await asyncio.to_thread(import_keys, shared, port_of(sharing))
        to_sharing = channels(shared, port_of(sharing))
        await first_nonce(to_sharing[0], sign)
        nothing = stack.enter_context(empty(directory, sizes))
        to_nothing = channels(directory, port_of(nothing))
        bao_port = free_port()
        token = secrets.token_hex(16)
        vault = stack.enter_context(openbao(token, bao_port))
        insecure = ssl.create_default_context()
        insecure.check_hostname, insecure.verify_mode = False, ssl.CERT_NONE
        connector = aiohttp.TCPConnector(limit=_CONNECTIONS * _STREAMS, ssl=insecure)
        async with aiohttp.ClientSession(connector=connector) as session:
            hmac = await transit(session, bao_port, token)
            points = [Point("OpenBao transit HMAC", vault, [hmac] * _CONNECTIONS * _STREAMS)]
            for key, request in requests.items():
                message = request.SerializeToString()
                method = f"/bench.Empty/{key.replace('-', '_')}"
                points += [
                    Point(f"empty RPC, {key} sizes", nothing, senders(to_nothing, method, message)),
                    Point(
                        f"Sign {key}",
                        daemon,
                        senders(to_daemon, sign, message),
                        against=f"empty RPC, {key} sizes",
                    ),
                    Point(
                        f"BatchSign {key} x {_BATCH}, each",
                        daemon,
                        senders(
                            to_daemon[:1],
                            batch,
                            signing_service_pb2.BatchSignRequest(
                                requests=[request] * _BATCH
                            ).SerializeToString(),
                        )[:2],
                        per_call=_BATCH,
                        against=f"empty RPC, {key} sizes",
                    ),
                ]
            points.append(
                Point(
                    _SHARED,
                    sharing,
                    senders(to_sharing, sign, whitebit().SerializeToString()),
                    against="empty RPC, whitebit sizes",
                )
            )
            figures: dict[str, list[float]] = {point.name: [] for point in points}
            for number in range(rounds):
                sys.stderr.write(f"round {number + 1} of {rounds}\n")
                for point in points:
                    count = max(calls // point.per_call * 4, 100) if point.per_call > 1 else calls
                    figures[point.name].append(await cpu_us(point, count))
        memory = daemon.memory_mb()
        for channel in (*to_daemon, *to_nothing, *to_sharing):
            await channel.close()
        return points, figures, memory


def ratio(figures: dict[str, list[float]], name: str, other: str) -> float:
    """Return the median of the ratios, taken round by round."""
    return statistics.median(
        mine / theirs for mine, theirs in zip(figures[name], figures[other], strict=True)
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--calls", type=int, default=6_000, help="calls a point and round")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    cores = os.cpu_count() or 1
    if cores > 1:
        os.sched_setaffinity(0, {LOAD_CORE})
    points, figures, memory = uvloop.run(measure(arguments.calls, arguments.rounds))
    bao = points[0].name
    print(f"{'server CPU per operation':<34}{'µs':>8}{'x empty RPC':>14}{'x transit HMAC':>17}")
    for point in points:
        against = f"{ratio(figures, point.name, point.against):.2f}" if point.against else ""
        to_bao = f"{ratio(figures, point.name, bao):.2f}" if point.name != bao else ""
        median = statistics.median(figures[point.name])
        print(f"{point.name:<34}{median:>8.1f}{against:>14}{to_bao:>17}")
    print(f"\nstate in Valkey: {ratio(figures, _SHARED, 'Sign whitebit'):.2f}x of embedded")
    print(
        f"{_CONNECTIONS} connections x {_STREAMS} streams, mTLS everywhere, "
        f"{arguments.calls} calls x {arguments.rounds} rounds, {cores} cores; "
        f"daemon with policy, nonces and audit on, {memory:.0f} MB"
    )


if __name__ == "__main__":
    main()
