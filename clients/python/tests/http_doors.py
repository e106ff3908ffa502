"""All doors behind one face, so that a test says what all of them do."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import httpx
import httpx2
import requests

import privyseal.aiohttp
import privyseal.httpx
import privyseal.httpx2
import privyseal.requests
from privyseal import AsyncClient, Client

DOORS = ("httpx", "httpx-async", "httpx2", "httpx2-async", "aiohttp", "requests")
HTTPX = DOORS[:4]
_LIBRARIES: dict[str, tuple[Any, Any]] = {
    "httpx": (httpx, privyseal.httpx),
    "httpx2": (httpx2, privyseal.httpx2),
}


@dataclass(frozen=True, slots=True)
class Got:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes


class HttpDoor:
    """Sends through one door."""

    def __init__(self, name: str, http: Any) -> None:
        self.name = name
        self.http = http

    async def send(self, method: str, url: Any, **more: Any) -> Got:
        """Send and read, following redirects where the library would."""
        if self.name == "aiohttp":
            if "content" in more:
                more["data"] = more.pop("content")
            async with self.http.request(method, url, **more) as response:
                body = await response.read()
                return Got(response.status, dict(response.headers), body)
        if self.name == "requests":
            if "content" in more:
                more["data"] = more.pop("content")
            response = await asyncio.to_thread(self.http.request, method, url, **more)
            return Got(response.status_code, dict(response.headers), response.content)
        more["follow_redirects"] = True
        if self.name.endswith("async"):
            response = await self.http.request(method, url, **more)
        else:
            response = await asyncio.to_thread(self.http.request, method, url, **more)
        return Got(response.status_code, dict(response.headers), response.content)

    @asynccontextmanager
    async def streamed(self, url: str) -> AsyncIterator[Callable[[], Awaitable[bytes]]]:
        """Give what reads an answer as it comes, without having it read before."""
        if self.name == "aiohttp":
            async with self.http.get(url) as response:
                yield lambda: _joined(response.content.iter_any())
        elif self.name == "requests":
            response = await asyncio.to_thread(self.http.get, url, stream=True)
            yield lambda: asyncio.to_thread(response.raw.read)
            response.close()
        elif self.name.endswith("async"):
            async with self.http.stream("GET", url) as response:
                yield lambda: _joined(response.aiter_raw())
        else:
            request = self.http.build_request("GET", url)
            response = await asyncio.to_thread(self.http.send, request, stream=True)
            yield lambda: asyncio.to_thread(lambda: b"".join(response.iter_raw()))
            response.close()

    def stream_of(self, parts: Iterable[bytes]) -> Any:
        """Return a body that comes in parts."""
        if self.name == "aiohttp" or self.name.endswith("async"):
            return _later(parts)
        return (part for part in parts)


async def _joined(parts: AsyncIterator[bytes]) -> bytes:
    return b"".join([part async for part in parts])


async def _later(parts: Iterable[bytes]) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


@asynccontextmanager
async def opened(name: str, target: str, **settings: Any) -> AsyncIterator[HttpDoor]:
    """Give a door to a server in plaintext; `attempts` are the client's."""
    attempts = settings.pop("attempts", 4)
    client = Client(target, plaintext=True, max_attempts=attempts)
    asynchronous = AsyncClient(target, plaintext=True, max_attempts=attempts)
    async with AsyncExitStack() as stack:
        stack.enter_context(client)
        await stack.enter_async_context(asynchronous)
        http: Any
        if name == "aiohttp":
            middleware = privyseal.aiohttp.SigningMiddleware(asynchronous, "keys/x", **settings)
            http = await stack.enter_async_context(aiohttp.ClientSession(middlewares=(middleware,)))
        elif name == "requests":
            http = stack.enter_context(requests.Session())
            http.mount("http://", privyseal.requests.SigningAdapter(client, "keys/x", **settings))
        else:
            library, door = _LIBRARIES[name.removesuffix("-async")]
            if name.endswith("async"):
                transport = door.AsyncSigningTransport(asynchronous, "keys/x", **settings)
                http = await stack.enter_async_context(library.AsyncClient(transport=transport))
            else:
                transport = door.SigningTransport(client, "keys/x", **settings)
                http = stack.enter_context(library.Client(transport=transport))
        yield HttpDoor(name, http)
