"""The door to requests: `session.mount("https://", SigningAdapter(client, "keys/mm"))`."""

import contextlib
from collections.abc import Mapping
from io import BytesIO, RawIOBase
from typing import Any

from privyseal.beginning import REPORTED_BYTES, Beginning
from privyseal.client import Client
from privyseal.door import (
    MAX_BODY_BYTES,
    Door,
    Outgoing,
    Report,
    hide_query,
    merged_headers,
    target_of,
    url_would_change,
)
from privyseal.errors import ConfigurationError, RequestRefused
from privyseal.signer import Signer
from privyseal.v1 import signing_service_pb2 as pb

try:
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3 import HTTPResponse
    from urllib3.exceptions import HTTPError
    from urllib3.util import Retry, parse_url
except ImportError as error:
    raise ImportError("this needs requests: pip install 'privyseal[requests]'") from error

__all__ = ["SigningAdapter"]

_PART_BYTES = 65_536


class _Answer(requests.Response):
    @property
    def is_redirect(self) -> bool:
        """Never, so that no redirect is followed."""
        return False


class SigningAdapter(HTTPAdapter):
    """An adapter for `requests.Session` that has each request signed with a key and sends it as it
    was signed; retries are signed anew and redirects are not followed. What is mounted elsewhere
    in the session is not signed.

    `login` opens a session where the key needs one, `report` tells Privyseal of the venue's
    `errors`, of `all` answers or of `none`, and a body has at most `max_body_bytes`. Sending
    raises PrivysealError or RequestRefused beside requests' own errors.
    """

    def __init__(
        self,
        client: Client,
        key: str,
        *,
        login: bool = True,
        report: Report = "errors",
        max_body_bytes: int = MAX_BODY_BYTES,
        pool_connections: int = 10,
        pool_maxsize: int = 10,
    ) -> None:
        self._signer = Signer(client, Door(key, login, report, max_body_bytes))
        super().__init__(pool_connections, pool_maxsize)

    @property
    def max_retries(self) -> Retry:
        """None: urllib3 would send the same signature again. Raises ConfigurationError where it is
        set to another value.
        """
        return Retry(0, read=False)

    @max_retries.setter
    def max_retries(self, retries: Retry) -> None:
        if retries.total != 0:
            raise ConfigurationError(
                "max_retries",
                "urllib3 would send the same signature again; retry the whole request instead, "
                "which then is signed anew",
            )

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Sign and send; the session calls this."""
        outgoing = Outgoing(
            request.method or "",
            request.path_url,
            _text(request.headers.get("Content-Type", "")),
            self._body(request),
        )
        signed = self._signer.sign(outgoing)
        to_send = _signed(request, signed.signed_http_request)
        try:
            response = super().send(to_send, stream, timeout, verify, cert, proxies)
        except requests.RequestException as error:
            hide_query(error, signed.signed_http_request.url)
            error.request = request
            raise
        # The signed one is a credential, which errors of a status would show.
        response.request, response.url = request, request.url or ""
        if self._signer.door.reports(response.status_code):
            self._report(signed, response)
        return response

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        """Return the response, of which no redirect is followed."""
        response = super().build_response(req, resp)
        answer = _Answer()
        answer.__dict__.update(response.__dict__)
        return answer

    def _report(self, signed: pb.SignResponse, response: requests.Response) -> None:
        raw = response.raw
        beginning = Beginning(
            iter(lambda: raw.read1(_PART_BYTES, decode_content=False) or b"", b"")
        )

        def tell(content: bytes, left_s: float) -> None:
            date = response.headers.get("date", "")
            with contextlib.suppress(HTTPError):
                content = _as_body(raw, BytesIO(content)).read(REPORTED_BYTES, decode_content=True)
            self._signer.report(signed, response.status_code, content, date, left_s)

        try:
            beginning.report(tell)
        except BaseException:
            beginning.close(raw.close)
            raise
        response.raw = _as_body(raw, _Rest(beginning, raw))

    def _body(self, request: requests.PreparedRequest) -> bytes:
        door, body = self._signer.door, _given(request)
        if body is None:
            return b""
        if isinstance(body, str):
            return door.checked(body.encode())
        if isinstance(body, bytes | bytearray):
            return door.checked(bytes(body))
        found = bytearray()
        has_end = hasattr(body, "read")
        for part in iter(lambda: body.read(_PART_BYTES), None) if has_end else body:
            if has_end and not part:
                break
            door.grown(found, part.encode() if isinstance(part, str) else part)
        # What was read once is kept, so that the request can be sent again.
        whole = request.body = bytes(found)
        return whole

    def __repr__(self) -> str:
        return f"SigningAdapter({self._signer!r})"


class _Rest(RawIOBase):
    """The body of an answer after its beginning was read."""

    def __init__(self, beginning: Beginning, raw: Any) -> None:
        self._beginning = beginning
        self._raw = raw
        self._part = b""

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read what there is, at least a byte before the end."""
        part = self._part or next(self._beginning, b"")
        count = min(len(part), len(buffer))
        buffer[:count], self._part = part[:count], part[count:]
        return count

    def close(self) -> None:
        """Close the answer."""
        if not self.closed:
            self._beginning.close(self._raw.close)
        super().close()


def _as_body(raw: Any, body: Any) -> HTTPResponse:
    """Return the answer with another body, as urllib3 has it."""
    return HTTPResponse(
        body,
        raw.headers,
        raw.status,
        raw.version,
        raw.version_string,
        raw.reason,
        preload_content=False,
        decode_content=False,
        original_response=getattr(raw, "_original_response", None),
        msg=raw.msg,
        # The answer below does.
        enforce_content_length=False,
    )


def _given(request: requests.PreparedRequest) -> Any:
    # The stubs know of bytes and texts alone.
    return request.body


def _signed(
    request: requests.PreparedRequest, signed: pb.SignedHttpRequest
) -> requests.PreparedRequest:
    own = [(_text(name), _text(value)) for name, value in request.headers.items()]
    headers = merged_headers(own, signed)
    to_send = request.copy()
    to_send.method, to_send.url, to_send.body = signed.method, signed.url, signed.body or None
    # requests drops an empty query, and urllib3 writes some bytes in its own way.
    if to_send.path_url != target_of(signed.url) or parse_url(signed.url).url != signed.url:
        raise url_would_change()
    to_send.headers.clear()
    to_send.headers.update(headers)
    if len(to_send.headers) != len(headers):
        raise RequestRefused("requests can't send a header twice; use another HTTP library")
    return to_send


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value
