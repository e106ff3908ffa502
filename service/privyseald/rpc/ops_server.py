"""The operations port: plaintext, for whoever starts, watches and stops the server."""

from privyseald.rpc.health import Health
from privyseald.rpc.listener import bind, make_server


class OpsServer:
    """Serves gRPC health. It takes its port at once; raises ConfigInvalid when it can't."""

    def __init__(self, listen: str, health: Health) -> None:
        self._server = make_server()
        health.add_to(self._server)
        self.port = bind("server.ops_listen", self._server, listen, None)

    async def start(self) -> None:
        """Answer from now on."""
        await self._server.start()

    async def stop(self) -> None:
        """Answer no more."""
        await self._server.stop(0)
