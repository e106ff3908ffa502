"""The door to aiohttp: `ClientSession(middlewares=(SigningMiddleware(client, "keys/mm"),))`."""

import asyncio
import time
import warnings
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from privyseal.async_client import AsyncClient
from privyseal.beginning import REPORT_TIMEOUT_S, REPORTED_BYTES
from privyseal.door import (
    MAX_BODY_BYTES,
    REDIRECTS,
    Door,
    Outgoing,
    Report,
    hide_query,
    merged_headers,
    target_of,
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
        self._unsigned: WeakKeyDictionary[Any, _Unsigned] = WeakKeyDictionary()

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Sign and send; aiohttp calls this."""
        if request not in self._unsigned:
            outgoing, info = await self._outgoing(request), request.request_info
            self._unsigned[request] = _Unsigned(outgoing, _own_headers(request), info)
        unsigned = self._unsigned[request]
        signed = await self._signer.sign(unsigned.outgoing)
        await _replace(request, unsigned.headers, signed.signed_http_request)
        try:
            response = await handler(request)
        except Exception as error:
            hide_query(error, signed.signed_http_request.url)
            raise
        # What aiohttp's errors of a status show.
        response._request_info = unsigned.info  # noqa: SLF001  # there is no other way
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
        until_s = time.monotonic() + REPORT_TIMEOUT_S
        content = await _beginning(response.content)
        left_s = until_s - time.monotonic()
        if content is not None and left_s > 0:
            date = response.headers.get("Date", "")
            await self._signer.report(signed, response.status, content, date, left_s)

    def __repr__(self) -> str:
        return f"SigningMiddleware({self._signer!r})"


@dataclass(frozen=True, slots=True, repr=False)
class _Unsigned:
    """A request as the caller wrote it."""

    outgoing: Outgoing
    headers: CIMultiDict[str]
    info: aiohttp.RequestInfo


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


async def _beginning(content: aiohttp.StreamReader) -> bytes | None:
    """Return what comes first, and leave it for who reads; None where it does not come in time."""
    found = bytearray()
    try:
        async with asyncio.timeout(REPORT_TIMEOUT_S):
            while len(found) < REPORTED_BYTES and (part := await content.readany()):
                found += part
    except TimeoutError:
        return None
    except (aiohttp.ClientError, OSError):
        # The reader keeps the error for who reads so far.
        return bytes(found)
    finally:
        with warnings.catch_warnings():
            # It goes with aiohttp 4, and there is no other way in aiohttp 3.
            warnings.simplefilter("ignore", DeprecationWarning)
            content.unread_data(bytes(found))
    return bytes(found)


def _check_no_redirect(response: aiohttp.ClientResponse) -> None:
    # A middleware can't keep aiohttp from following, nor know whether it would.
    where = response.headers.get("Location") or response.headers.get("URI")
    if response.status in REDIRECTS and where:
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
    if url.raw_path_qs != target_of(signed.url) or str(url) != signed.url:
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
