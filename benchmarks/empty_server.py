"""The same stack with nothing on it: grpc.aio, uvloop, mTLS, and an RPC that answers at once.

Its RPC takes any bytes and returns as many as the command line says. What a Sign costs
beyond this is what Privyseal itself costs.
"""

import asyncio
import sys
from pathlib import Path

import grpc
import uvloop


async def serve(directory: Path, answers: dict[str, int]) -> None:
    """Serve until killed; print the port."""
    tls = directory / "tls"
    server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))

    def handler(size: int) -> "grpc.RpcMethodHandler[bytes, bytes]":
        answer = bytes(size)

        async def behave(_raw: bytes, _context: object) -> bytes:
            return answer

        return grpc.unary_unary_rpc_method_handler(behave)

    handlers = {name: handler(size) for name, size in answers.items()}
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("bench.Empty", handlers),)
    )
    credentials = grpc.ssl_server_credentials(
        [((tls / "server-key.pem").read_bytes(), (tls / "server.pem").read_bytes())],
        root_certificates=(tls / "ca.pem").read_bytes(),
        require_client_auth=True,
    )
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    sizes = dict(argument.split("=") for argument in sys.argv[2:])
    uvloop.run(serve(Path(sys.argv[1]), {name: int(size) for name, size in sizes.items()}))
