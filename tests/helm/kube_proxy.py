"""A Service's address: each new connection goes to one of the pods that are its endpoints now."""

import asyncio
from itertools import count

from relay import Relay, Streams


class KubeProxy(Relay):
    """Forwards connections, one endpoint after the other; what is connected stays so, whatever
    becomes of the endpoints. Use `async with`.
    """

    def __init__(self, *ports: int) -> None:
        super().__init__()
        self.endpoints = list(ports)
        self._turn = count()

    async def connect(self) -> Streams:
        """Connect to the endpoint whose turn it is."""
        port = self.endpoints[next(self._turn) % len(self.endpoints)]
        return await asyncio.open_connection("127.0.0.1", port)
