"""CPU per warm Sign by how the caller is proved: certificate, bearer token, Unix socket.

One server on one core, as in `bench.py`, and all points take turns. A figure is the CPU time of
the server process, from /proc. Bounded in count, and ends by itself.
"""

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

import grpc
import jwt
import orjson
import uvloop
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from bench import Point, Send, channels, cpu_us, import_keys, senders, whitebit
from privyseald.cli.init import prepare
from processes import LOAD_CORE, free_port, port_of, privyseal

_SIGN = "/privyseal.v1.SigningService/Sign"
_CERTIFICATE = "certificate"
_CONNECTIONS, _STREAMS = 4, 8
_ISSUER, _AUDIENCE = "https://kubernetes.default.svc.cluster.local", "privyseal"
_SECTION = """
[server.jwt]
listen = "127.0.0.1:{port}"

[server.jwt.issuers.cluster]
issuer = "{issuer}"
audience = "{audience}"
jwks_file = "jwks.json"

[server.unix_socket]
path = "privyseal.sock"
caller = "unix:bench"
"""


class Issuer:
    """Signs tokens of the size of a Kubernetes one with a key of each kind."""

    def __init__(self) -> None:
        self.keys: dict[str, Any] = {
            "RS256": rsa.generate_private_key(65_537, 2_048),
            "ES256": ec.generate_private_key(ec.SECP256R1()),
            "EdDSA": ed25519.Ed25519PrivateKey.generate(),
        }

    @property
    def key_set(self) -> bytes:
        """The JWKS."""
        kinds: dict[str, Any] = {
            "RS256": RSAAlgorithm,
            "ES256": ECAlgorithm,
            "EdDSA": OKPAlgorithm,
        }
        keys = [
            {**kinds[name].to_jwk(key.public_key(), as_dict=True), "kid": name}
            for name, key in self.keys.items()
        ]
        return orjson.dumps({"keys": keys})

    def token(self, algorithm: str, number: int = 0) -> str:
        """Return a token that is good for an hour; another one for each number."""
        now = int(time.time())
        claims = {
            "aud": [_AUDIENCE],
            "exp": now + 3_600,
            "iat": now,
            "iss": _ISSUER,
            "jti": f"0d1a5e5f-9bd4-4b0a-9d4e-{number:012}",
            "kubernetes.io": {
                "namespace": "trading",
                "node": {"name": "node-1", "uid": "6e4f0f5b-6a0e-4b4a-8f6f-0d8d4c1c0d7a"},
                "pod": {"name": "maker-0", "uid": "b1b1a1f0-57c1-4a51-9a55-6d3f2f0e5b8f"},
                "serviceaccount": {"name": "maker", "uid": "2f1f0f4a-9bd4-4b0a-9d4e-7e2f1f0f4a51"},
            },
            "nbf": now,
            "sub": "system:serviceaccount:trading:maker",
        }
        return jwt.encode(claims, self.keys[algorithm], algorithm, headers={"kid": algorithm})


def bearers(
    open_channels: list[grpc.aio.Channel], message: bytes, next_token: Callable[[], str]
) -> list[Send]:
    """Return one sender a stream; each asks for the token to send."""

    def sender(channel: grpc.aio.Channel) -> Send:
        call: Any = channel.unary_unary(_SIGN)
        return lambda: call(
            message, timeout=20, metadata=(("authorization", f"Bearer {next_token()}"),)
        )

    return [sender(channel) for channel in open_channels for _ in range(_STREAMS)]


async def measure(calls: int, rounds: int) -> dict[str, list[float]]:
    """Return the figures by the names of the points."""
    issuer, token_port = Issuer(), free_port()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="privyseal-id-")))
        directory = folder / "s"
        prepare(directory, 0)
        (directory / "jwks.json").write_bytes(issuer.key_set)
        config, policy = directory / "privyseal.toml", directory / "policy.yaml"
        section = _SECTION.format(port=token_port, issuer=_ISSUER, audience=_AUDIENCE)
        config.write_text(config.read_text() + section)
        rules = policy.read_text()
        operator = rules.partition("callers: [")[2].partition("]")[0]
        policy.write_text(rules.replace(f"callers: [{operator}]", 'callers: ["*"]'))
        daemon = stack.enter_context(privyseal(directory))
        await asyncio.to_thread(import_keys, directory, port_of(daemon))
        message = whitebit().SerializeToString()
        options = (("grpc.use_local_subchannel_pool", 1),)
        ca = grpc.ssl_channel_credentials((directory / "tls" / "ca.pem").read_bytes())
        mutual = channels(directory, port_of(daemon))
        tls = [
            grpc.aio.secure_channel(f"localhost:{token_port}", ca, options=options)
            for _ in range(_CONNECTIONS)
        ]
        local = [
            grpc.aio.insecure_channel(f"unix:{directory}/privyseal.sock", options=options)
            for _ in range(_CONNECTIONS)
        ]
        kept = issuer.token("RS256")
        points = {
            _CERTIFICATE: senders(mutual, _SIGN, message),
            "a known token (RS256)": bearers(tls, message, lambda: kept),
            "the Unix socket": senders(local, _SIGN, message),
        }
        numbers = count(1)
        fresh: dict[str, list[str]] = {name: [] for name in issuer.keys}
        for name in issuer.keys:
            points[f"a new token each ({name})"] = bearers(tls, message, fresh[name].pop)
        figures: dict[str, list[float]] = {name: [] for name in points}
        for number in range(rounds):
            sys.stderr.write(f"round {number + 1} of {rounds}\n")
            for name, sends in points.items():
                for algorithm, tokens in fresh.items():
                    if algorithm in name and "new" in name:
                        some = calls // 4 + 8 * len(sends)
                        tokens += [issuer.token(algorithm, next(numbers)) for _ in range(some)]
                each = calls // 4 if "new" in name else calls
                figures[name].append(await cpu_us(Point(name, daemon, sends), each))
        for channel in (*mutual, *tls, *local):
            await channel.close()
    return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--calls", type=int, default=6_000, help="calls a point and round")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    cores = os.cpu_count() or 1
    if cores > 1:
        os.sched_setaffinity(0, {LOAD_CORE})
    figures = uvloop.run(measure(arguments.calls, arguments.rounds))
    base = figures[_CERTIFICATE]
    print(f"{'server CPU per Sign, caller by':<34}{'µs':>8}{'+ µs':>9}{'x certificate':>15}")
    for name, each in figures.items():
        pairs = list(zip(each, base, strict=True))
        more = statistics.median(mine - theirs for mine, theirs in pairs)
        times = statistics.median(mine / theirs for mine, theirs in pairs)
        print(f"{name:<34}{statistics.median(each):>8.1f}{more:>9.1f}{times:>15.2f}")
    print(f"\n{arguments.calls} calls x {arguments.rounds} rounds, {cores} cores")


if __name__ == "__main__":
    main()
