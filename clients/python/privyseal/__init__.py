"""Clients of the Privyseal signing service, blocking and for asyncio.

The doors for HTTP libraries are in `privyseal.httpx`, `privyseal.httpx2`, `privyseal.aiohttp` and
`privyseal.requests`; the messages of the RPCs in `privyseal.v1`.
"""

from privyseal.aio_session_watch import AsyncSessionWatch
from privyseal.async_client import AsyncClient
from privyseal.client import Client
from privyseal.errors import ConfigurationError, PrivysealError, RequestRefused
from privyseal.plain import to_plain
from privyseal.session_watch import SessionWatch
from privyseal.tls import Tls
from privyseal.version import __version__

__all__ = [
    "AsyncClient",
    "AsyncSessionWatch",
    "Client",
    "ConfigurationError",
    "PrivysealError",
    "RequestRefused",
    "SessionWatch",
    "Tls",
    "__version__",
    "to_plain",
]
