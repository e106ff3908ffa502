"""The HTTP client to venues: TLS checked, no redirects, no cookies, no retries, bounded."""

import ssl
from pathlib import Path
from types import SimpleNamespace

import aiohttp
from yarl import URL

from privyseald import __version__
from privyseald.clock import Clock, SystemClock
from privyseald.config_error import ConfigInvalid
from privyseald.errors import VenueOutcomeUnknown, VenueUnreachable
from privyseald.outbound.outbound import OutboundRequest, OutboundResponse

_MAX_ANSWER = 1_048_576


class HttpOutbound:
    """Implements `Outbound` over aiohttp. Made inside the event loop that uses it."""

    def __init__(
        self,
        *,
        timeout_ms: int,
        connect_timeout_ms: int,
        clock: Clock | None = None,
        ca_file: Path | None = None,
        setting: str = "",
    ) -> None:
        """Trust the CAs of the system, or those in `ca_file` alone. Raises ConfigInvalid, naming
        its `setting`.
        """
        self._clock = clock or SystemClock()
        trace = aiohttp.TraceConfig()
        trace.on_request_headers_sent.append(self._note_sent)
        self._session = aiohttp.ClientSession(
            # Calls are rare, and a connection that the venue closed meanwhile would make
            # the outcome of a POST unknown for no reason.
            connector=aiohttp.TCPConnector(force_close=True, ssl=_trust(ca_file, setting)),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(
                total=timeout_ms / 1_000, connect=connect_timeout_ms / 1_000
            ),
            headers={"User-Agent": f"privyseal/{__version__}"},
            trust_env=False,
            trace_configs=[trace],
        )
        # Else aiohttp itself sends a GET, PUT or DELETE once more when the venue hangs up, and
        # has no public switch for it. What was sent may have taken effect.
        self._session._retry_connection = False  # noqa: SLF001

    async def send(self, request: OutboundRequest) -> OutboundResponse:
        """Return the venue's answer, whatever its status."""
        url = _parse(request.url)
        host = url.host or ""
        sent_ms: list[int] = []
        try:
            async with self._session.request(
                request.method,
                url,
                headers=request.headers,
                data=request.body or None,
                allow_redirects=False,
                trace_request_ctx=sent_ms,
            ) as response:
                body = await _read(response, host)
                return OutboundResponse(
                    response.status,
                    response.content_type,
                    body,
                    date=response.headers.get("Date", ""),
                    wait_ms=self._clock.monotonic_ms() - sent_ms[0] if sent_ms else None,
                )
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise _unreachable(host) from error
        except (aiohttp.ClientError, TimeoutError) as error:
            raise VenueOutcomeUnknown(
                f"{host} got the request and did not answer whole or in time; "
                "it may have taken effect",
                metadata={"host": host},
                retry_after_ms=1_000,
            ) from error

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def _note_sent(
        self,
        _session: aiohttp.ClientSession,
        context: SimpleNamespace,
        _sent: aiohttp.TraceRequestHeadersSentParams,
    ) -> None:
        context.trace_request_ctx.append(self._clock.monotonic_ms())


def _trust(ca_file: Path | None, setting: str) -> ssl.SSLContext | bool:
    if ca_file is None:
        return True
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigInvalid(f"{setting}: {ca_file} can't be read as PEM certificates") from error


def _parse(text: str) -> URL:
    try:
        url = URL(text, encoded=True)
        if url.scheme not in {"http", "https"} or not url.host:
            raise _unreachable("the venue")
        # What the resolver would do, and fail at with an error of no named kind.
        url.host.encode("idna")
    except ValueError as error:
        raise _unreachable("the venue") from error
    return url


def _unreachable(host: str) -> VenueUnreachable:
    return VenueUnreachable(
        f"{host} can't be reached; nothing happened there. Check the network, DNS, "
        "and base_urls in the config",
        metadata={"host": host},
        retry_after_ms=1_000,
    )


async def _read(response: aiohttp.ClientResponse, host: str) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_chunked(65_536):
        body += chunk
        if len(body) > _MAX_ANSWER:
            raise VenueOutcomeUnknown(
                f"{host} answered more than {_MAX_ANSWER} bytes; it may have taken effect",
                metadata={"host": host},
            )
    return bytes(body)
