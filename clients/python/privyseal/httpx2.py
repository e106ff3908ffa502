"""The door to httpx2: `httpx2.Client(transport=SigningTransport(client, "keys/whitebit-main"))`."""

from privyseal.async_client import AsyncClient
from privyseal.client import Client
from privyseal.door import MAX_BODY_BYTES, Door, Report
from privyseal.httpx_like import AsyncDoor, SyncDoor
from privyseal.signer import AsyncSigner, Signer

try:
    import httpx2
except ImportError as error:
    raise ImportError("this needs httpx2: pip install 'privyseal[httpx2]'") from error

__all__ = ["AsyncSigningTransport", "SigningTransport"]


class _Answer(httpx2.Response):
    @property
    def has_redirect_location(self) -> bool:
        """Never, so that no redirect is followed."""
        return False


class SigningTransport(SyncDoor, httpx2.BaseTransport):
    """A transport for `httpx2.Client` that has each request signed with a key and sends it as it
    was signed; retries are signed anew and redirects are not followed.

    `transport` does the sending: give an `httpx2.HTTPTransport` for limits, proxies, HTTP/2 or
    certificates of the venue. `login` opens a session where the key needs one, `report` tells
    Privyseal of the venue's `errors`, of `all` answers or of `none`, and a body has at most
    `max_body_bytes`. Sending raises PrivysealError or RequestRefused beside httpx2's own errors.
    """

    def __init__(
        self,
        client: Client,
        key: str,
        *,
        transport: httpx2.BaseTransport | None = None,
        login: bool = True,
        report: Report = "errors",
        max_body_bytes: int = MAX_BODY_BYTES,
    ) -> None:
        signer = Signer(client, Door(key, login, report, max_body_bytes))
        super().__init__(httpx2, _Answer, signer, transport or httpx2.HTTPTransport())

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Sign and send; httpx2 calls this."""
        response: httpx2.Response = self.send(request)
        return response


class AsyncSigningTransport(AsyncDoor, httpx2.AsyncBaseTransport):
    """A transport for `httpx2.AsyncClient` on asyncio, as `SigningTransport` is for
    `httpx2.Client`.
    """

    def __init__(
        self,
        client: AsyncClient,
        key: str,
        *,
        transport: httpx2.AsyncBaseTransport | None = None,
        login: bool = True,
        report: Report = "errors",
        max_body_bytes: int = MAX_BODY_BYTES,
    ) -> None:
        signer = AsyncSigner(client, Door(key, login, report, max_body_bytes))
        super().__init__(httpx2, _Answer, signer, transport or httpx2.AsyncHTTPTransport())

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Sign and send; httpx2 calls this."""
        response: httpx2.Response = await self.send(request)
        return response
