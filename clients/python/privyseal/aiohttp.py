"""The door to aiohttp: `ClientSession(middlewares=(SigningMiddleware(client, "keys/mm"),))`."""

from typing import Any
from weakref import WeakKeyDictionary

from privyseal.async_client import AsyncClient
from privyseal.door import (
    MAX_BODY_BYTES,
    REDIRECTS,
    Door,
    Outgoing,
    Report,
    merged_headers,
    url_would_change,
)
from privyseal.errors import RequestRefused
from privyseal.signer import AsyncSigner
from privyseal.v1 import signing_service_pb2 as pb

try:
    import aiohttp
    from aiohttp.abc import AbstractStreamWriter
    from multidict import CIMultiDict
    from yarl import URL
except ImportError as error:
    raise ImportError("this needs aiohttp: pip install 'privyseal[aiohttp]'") from error

__all__ = ["SigningMiddleware"]

# What aiohttp says of bytes and texts whose type the caller left open.
_GUESSED = frozenset({"application/octet-stream", "text/plain; charset=utf-8"})


class SigningMiddleware:
    """A middleware for `aiohttp.ClientSession` that has each request signed with a key and sends
    it as it was signed; retries are signed anew. An answer that aiohttp would follow elsewhere
    raises RequestRefused. Put it last, so that no other middleware changes what was signed.

    `login` opens a session where the key needs one, `report` tells Privyseal of the venue's
    `errors`, of `all` answers or of `none`, and a body has at most `max_body_bytes`. Sending
    raises PrivysealError or RequestRefused beside aiohttp's own errors.
    """

    def __init__(
        self,
        client: AsyncClient,
        key: str,
        *,
        login: bool = True,
        report: Report = "errors",
        max_body_bytes: int = MAX_BODY_BYTES,
    ) -> None:
        self._signer = AsyncSigner(client, Door(key, login, report, max_body_bytes))
        # A middleware before this one may send the same request again, which then is the signed.
        self._unsigned: WeakKeyDictionary[Any, tuple[Outgoing, CIMultiDict[str]]]
        self._unsigned = WeakKeyDictionary()

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Sign and send; aiohttp calls this."""
        if request not in self._unsigned:
            self._unsigned[request] = await self._outgoing(request), _own_headers(request)
        outgoing, own = self._unsigned[request]
        signed = await self._signer.sign(outgoing)
        await _replace(request, own, signed.signed_http_request)
        response = await handler(request)
        try:
            await self._report(signed, response)
            _check_no_redirect(response)
        except BaseException:
            response.close()
            raise
        return response

    async def _outgoing(self, request: aiohttp.ClientRequest) -> Outgoing:
        media_type = request.headers.get("Content-Type", "")
        body = _Body(self._signer.door)
        if request.body:
            await request.body.write(body)
        return Outgoing(
            request.method,
            request.url.raw_path_qs,
            "" if media_type.lower() in _GUESSED else media_type,
            bytes(body.content),
        )

    async def _report(self, signed: pb.SignResponse, response: aiohttp.ClientResponse) -> None:
        if not self._signer.door.reports(response.status):
            return
        content = await response.read()
        date = response.headers.get("Date", "")
        await self._signer.report(signed, response.status, content, date)

    def __repr__(self) -> str:
        return f"SigningMiddleware({self._signer!r})"


class _Body(AbstractStreamWriter):
    """Takes what aiohttp would write as the body."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self.content = bytearray()

    async def write(self, chunk: Any) -> None:
        """Take a part."""
        self._door.grown(self.content, bytes(chunk))

    async def write_eof(self, chunk: bytes = b"") -> None:
        """Take the last part."""
        self._door.grown(self.content, chunk)

    async def drain(self) -> None:
        """Wait for nothing."""

    def enable_compression(self, *_: Any, **__: Any) -> None:
        """Compress nothing: what is signed is what the caller wrote."""

    def enable_chunking(self) -> None:
        """Chunk nothing."""

    async def write_headers(self, *_: Any) -> None:
        """Write no headers."""


def _check_no_redirect(response: aiohttp.ClientResponse) -> None:
    # A middleware can't keep aiohttp from following, nor know whether it would.
    if response.status in REDIRECTS and "Location" in response.headers:
        raise RequestRefused(
            f"the request was sent, and the venue answered {response.status} with another address; "
            "redirects of signed requests are not followed"
        )


def _own_headers(request: aiohttp.ClientRequest) -> CIMultiDict[str]:
    """Return the headers that are the caller's, without what aiohttp says of the body."""
    own = CIMultiDict(request.headers)
    if own.get("Content-Type", "").lower() in _GUESSED:
        own.pop("Content-Type")
    if request.compress:
        own.popall("Content-Encoding", None)
    return own


async def _replace(
    request: aiohttp.ClientRequest, own: CIMultiDict[str], signed: pb.SignedHttpRequest
) -> None:
    url = URL(signed.url, encoded=True)
    if str(url) != signed.url:
        raise url_would_change()
    request.method, request.url = signed.method, url
    request.chunked = request.compress = None
    request.headers = CIMultiDict([("Host", _host(url)), *merged_headers(own.items(), signed)])
    # aiohttp adds a media type of its own where there is none.
    request.update_auto_headers([*request.skip_auto_headers, "Content-Type"])
    await request.update_body(signed.body or None)


def _host(url: URL) -> str:
    host = url.host_subcomponent or ""
    return host if url.is_default_port() else f"{host}:{url.port}"
