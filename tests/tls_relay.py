"""A relay that ends TLS before a server which speaks none, as a managed service's front does."""

import asyncio
import ssl
from pathlib import Path

from relay import Relay, Streams


class TlsRelay(Relay):
    """Forwards to one port of the loopback. Use `async with`.

    With `client_ca` it takes only clients that show a certificate from there.
    """

    def __init__(
        self,
        port: int,
        certificate: Path,
        private_key: Path,
        *,
        client_ca: Path | None = None,
        version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
    ) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, private_key)
        context.minimum_version = context.maximum_version = version
        if client_ca is not None:
            context.load_verify_locations(client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
        super().__init__(context)
        self._target = port

    async def connect(self) -> Streams:
        """Connect to the port."""
        return await asyncio.open_connection("127.0.0.1", self._target)
