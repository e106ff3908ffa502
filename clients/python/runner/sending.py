"""Sends requests through the native doors."""

import asyncio
import base64
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import httpx
import httpx2
import requests
from yarl import URL

from privyseal import AsyncClient, Client
from privyseal.aiohttp import SigningMiddleware
from privyseal.httpx import AsyncSigningTransport, SigningTransport
from privyseal.httpx2 import AsyncSigningTransport as AsyncSigningTransport2
from privyseal.httpx2 import SigningTransport as SigningTransport2
from privyseal.requests import SigningAdapter

DOORS = ("httpx", "httpx-async", "httpx2", "httpx2-async", "aiohttp", "requests")
_TIMEOUT_S = 10.0

Answer = tuple[int, list[tuple[str, str]], bytes]


class Sender:
    """Sends with one client; an HTTP client is kept for each door and its settings."""

    def __init__(self, asynchronous: AsyncClient, blocking: Client) -> None:
        self._asynchronous = asynchronous
        self._blocking = blocking
        self._https: dict[tuple[Any, ...], Any] = {}
        self._open = AsyncExitStack()

    async def send(self, command: dict[str, Any]) -> dict[str, Any]:
        """Do a `send`."""
        settings = {
            name: command[name]
            for name in ("login", "report", "max_body_bytes")
            if command.get(name) is not None
        }
        door, key = command["door"], command["key"]
        which = (door, key, *settings.items())
        if which not in self._https:
            self._https[which] = await self._make(door, key, settings)
        http = self._https[which]
        body = None if command.get("body") is None else base64.b64decode(command["body"])
        timeout_s = (command.get("timeout_ms") or _TIMEOUT_S * 1_000) / 1_000
        arguments = (http, command["method"], command["url"], command["headers"], body, timeout_s)
        times = command.get("times", 1)
        if isinstance(http, aiohttp.ClientSession):
            status, headers, content = await _by_aiohttp(*arguments, times)
        elif door.endswith("-async"):
            status, headers, content = await _by_async_httpx(*arguments, times)
        else:
            by: Callable[..., Answer] = _by_requests if door == "requests" else _by_httpx
            status, headers, content = await asyncio.to_thread(by, *arguments, times)
        return {
            "status": status,
            "headers": headers,
            "body": base64.b64encode(content).decode(),
        }

    async def close(self) -> None:
        """Close the HTTP clients."""
        await self._open.aclose()

    async def _make(self, door: str, key: str, settings: dict[str, Any]) -> Any:
        if door == "requests":
            session = self._open.enter_context(requests.Session())
            for prefix in ("http://", "https://"):
                session.mount(prefix, SigningAdapter(self._blocking, key, **settings))
            return session
        if door == "aiohttp":
            middleware = SigningMiddleware(self._asynchronous, key, **settings)
            made = aiohttp.ClientSession(middlewares=(middleware,))
            return await self._open.enter_async_context(made)
        if door.endswith("-async"):
            kinds: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
                "httpx-async": (httpx.AsyncClient, AsyncSigningTransport),
                "httpx2-async": (httpx2.AsyncClient, AsyncSigningTransport2),
            }
            make, transport = kinds[door]
            http = make(transport=transport(self._asynchronous, key, **settings))
            return await self._open.enter_async_context(http)
        blocking: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
            "httpx": (httpx.Client, SigningTransport),
            "httpx2": (httpx2.Client, SigningTransport2),
        }
        make, transport = blocking[door]
        return self._open.enter_context(
            make(transport=transport(self._blocking, key, **settings), follow_redirects=True)
        )


def _by_requests(
    http: requests.Session,
    method: str,
    url: str,
    headers: list[tuple[str, str]],
    body: bytes | None,
    timeout_s: float,
    times: int,
) -> Answer:
    request = requests.Request(method, url, headers=dict(headers), data=body)
    prepared = http.prepare_request(request)
    for _ in range(times):
        response = http.send(prepared, timeout=timeout_s)
    return response.status_code, list(response.headers.items()), response.content


def _by_httpx(
    http: httpx.Client,
    method: str,
    url: str,
    headers: list[tuple[str, str]],
    body: bytes | None,
    timeout_s: float,
    times: int,
) -> Answer:
    request = http.build_request(
        method, url, headers=[(a, b) for a, b in headers], content=body, timeout=timeout_s
    )
    for _ in range(times):
        response = http.send(request)
    return response.status_code, response.headers.multi_items(), response.content


async def _by_async_httpx(
    http: httpx.AsyncClient,
    method: str,
    url: str,
    headers: list[tuple[str, str]],
    body: bytes | None,
    timeout_s: float,
    times: int,
) -> Answer:
    request = http.build_request(
        method, url, headers=[(a, b) for a, b in headers], content=body, timeout=timeout_s
    )
    for _ in range(times):
        response = await http.send(request, follow_redirects=True)
    return response.status_code, response.headers.multi_items(), response.content


async def _by_aiohttp(
    http: aiohttp.ClientSession,
    method: str,
    url: str,
    headers: list[tuple[str, str]],
    body: bytes | None,
    timeout_s: float,
    times: int,
) -> Answer:
    for _ in range(times):
        async with http.request(
            method,
            URL(url, encoded=True),
            headers=[(a, b) for a, b in headers],
            data=body,
            timeout=aiohttp.ClientTimeout(total=timeout_s),
        ) as response:
            content = await response.read()
    return response.status, list(response.headers.items()), content
