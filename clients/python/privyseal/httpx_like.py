"""The doors to httpx and to httpx2, which is the same in another package."""

import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

from privyseal.beginning import REPORT_TIMEOUT_S, AsyncBeginning, Beginning
from privyseal.door import Outgoing, merged_headers, target_of
from privyseal.signer import AsyncSigner, Signer
from privyseal.v1 import signing_service_pb2 as pb


class _Library:
    """What is used of the package, and the answers that a door gives."""

    def __init__(self, package: Any, answer: Any) -> None:
        self._package = package
        self._answer = answer
        self.parts: Any = type("Parts", (_Parts, package.SyncByteStream), {})
        self.async_parts: Any = type("AsyncParts", (_AsyncParts, package.AsyncByteStream), {})

    def body(self, request: Any) -> bytes | None:
        """Return the body where it is in memory."""
        try:
            content: bytes = request.content
        except self._package.RequestNotRead:
            return None
        return content

    def keep(self, request: Any, body: bytes) -> bytes:
        """Have the request hold a body that was read from elsewhere, to be sent again."""
        request.stream = self._package.ByteStream(body)
        return body

    def outgoing(self, request: Any, body: bytes) -> Outgoing:
        """Return a request as it would go over the wire."""
        target = request.extensions.get("target", request.url.raw_path)
        media_type = request.headers.get("content-type", "")
        return Outgoing(request.method, target.decode("ascii"), media_type, body)

    def signed(self, request: Any, signed: pb.SignedHttpRequest) -> Any:
        """Return the request to send in place of another."""
        raw = request.headers.raw
        own = [(name.decode("ascii"), value.decode("latin-1")) for name, value in raw]
        target = target_of(signed.url)
        url = self._package.URL(signed.url)
        headers = [("Host", url.netloc.decode("ascii")), *merged_headers(own, signed)]
        # The URL class writes some bytes in its own way; the target goes out as it is here. With
        # a stream no headers are added.
        return self._package.Request(
            signed.method,
            url,
            headers=[(name.encode("ascii"), value.encode("latin-1")) for name, value in headers],
            stream=self._package.ByteStream(signed.body),
            extensions={**request.extensions, "target": target.encode("ascii")},
        )

    def answer(self, response: Any, stream: Any) -> Any:
        """Return a response of which no redirect is followed."""
        return self._answer(
            response.status_code,
            headers=response.headers,
            stream=stream,
            extensions=response.extensions,
        )

    def decoded(self, response: Any, raw: bytes) -> bytes:
        """Return what the beginning of an answer says."""
        try:
            content: bytes = self.answer(response, self._package.ByteStream(raw)).read()
        except self._package.DecodingError:
            return raw
        return content


class _Parts:
    """The rest of a response after its beginning was read, as a stream of the package."""

    def __init__(self, beginning: Beginning, response: Any) -> None:
        self._beginning = beginning
        self._response = response

    def __iter__(self) -> Iterator[bytes]:
        return self._beginning

    def close(self) -> None:
        """Close the response."""
        self._beginning.close(self._response.close)


class _AsyncParts:
    """The rest of a response after its beginning was read, as a stream of the package."""

    def __init__(self, beginning: AsyncBeginning, response: Any) -> None:
        self._beginning = beginning
        self._response = response

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._beginning

    async def aclose(self) -> None:
        """Close the response."""
        await self._beginning.aclose()
        await self._response.aclose()


class SyncDoor:
    """Signs each request on its way into another transport."""

    def __init__(self, package: Any, answer: Any, signer: Signer, transport: Any) -> None:
        self._library = _Library(package, answer)
        self._signer = signer
        self._transport = transport

    def send(self, request: Any) -> Any:
        """Sign, send and report."""
        signed = self._signer.sign(self._library.outgoing(request, self._body(request)))
        to_send = self._library.signed(request, signed.signed_http_request)
        response = self._transport.handle_request(to_send)
        if not self._signer.door.reports(response.status_code):
            return self._library.answer(response, response.stream)
        beginning = Beginning(iter(response.stream))

        def tell(raw: bytes, left_s: float) -> None:
            content, date = self._library.decoded(response, raw), response.headers.get("date", "")
            self._signer.report(signed, response.status_code, content, date, left_s)

        try:
            beginning.report(tell)
        except BaseException:
            beginning.close(response.close)
            raise
        return self._library.answer(response, self._library.parts(beginning, response))

    def close(self) -> None:
        """Close the transport below. The client stays open."""
        self._transport.close()

    def _body(self, request: Any) -> bytes:
        body = self._library.body(request)
        if body is not None:
            return self._signer.door.checked(body)
        found = bytearray()
        for part in request.stream:
            self._signer.door.grown(found, part)
        return self._library.keep(request, bytes(found))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._signer!r})"


class AsyncDoor:
    """Signs each request on its way into another transport, for asyncio."""

    def __init__(self, package: Any, answer: Any, signer: AsyncSigner, transport: Any) -> None:
        self._library = _Library(package, answer)
        self._signer = signer
        self._transport = transport

    async def send(self, request: Any) -> Any:
        """Sign, send and report."""
        body = await self._body(request)
        signed = await self._signer.sign(self._library.outgoing(request, body))
        to_send = self._library.signed(request, signed.signed_http_request)
        response = await self._transport.handle_async_request(to_send)
        if not self._signer.door.reports(response.status_code):
            return self._library.answer(response, response.stream)
        beginning = AsyncBeginning(aiter(response.stream))
        rest = self._library.async_parts(beginning, response)
        try:
            until_s = time.monotonic() + REPORT_TIMEOUT_S
            raw = await beginning.read_ahead(REPORT_TIMEOUT_S)
            left_s = until_s - time.monotonic()
            if raw is not None and left_s > 0:
                content = self._library.decoded(response, raw)
                date = response.headers.get("date", "")
                await self._signer.report(signed, response.status_code, content, date, left_s)
        except BaseException:
            await rest.aclose()
            raise
        return self._library.answer(response, rest)

    async def aclose(self) -> None:
        """Close the transport below. The client stays open."""
        await self._transport.aclose()

    async def _body(self, request: Any) -> bytes:
        body = self._library.body(request)
        if body is not None:
            return self._signer.door.checked(body)
        found = bytearray()
        async for part in request.stream:
            self._signer.door.grown(found, part)
        return self._library.keep(request, bytes(found))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._signer!r})"
