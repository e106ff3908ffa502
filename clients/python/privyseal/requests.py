"""The door to requests: `session.mount("https://", SigningAdapter(client, "keys/mm"))`."""

from collections.abc import Mapping
from typing import Any

from privyseal.client import Client
from privyseal.door import MAX_BODY_BYTES, Door, Outgoing, Report, merged_headers, url_would_change
from privyseal.errors import RequestRefused
from privyseal.signer import Signer
from privyseal.v1 import signing_service_pb2 as pb

try:
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3.util import parse_url
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
        # Without retries of urllib3: they would send the same bytes again.
        super().__init__(pool_connections, pool_maxsize, max_retries=0)

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
        response = super().send(to_send, stream, timeout, verify, cert, proxies)
        if self._signer.door.reports(response.status_code):
            date = response.headers.get("date", "")
            self._signer.report(signed, response.status_code, response.content, date)
        return response

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        """Return the response, of which no redirect is followed."""
        response = super().build_response(req, resp)
        answer = _Answer()
        answer.__dict__.update(response.__dict__)
        return answer

    def _body(self, request: requests.PreparedRequest) -> bytes:
        door, body = self._signer.door, _given(request)
        if body is None:
            return b""
        if isinstance(body, str):
            return door.checked(body.encode())
        if isinstance(body, bytes | bytearray):
            return door.checked(bytes(body))
        found = bytearray()
        parts = iter(lambda: body.read(_PART_BYTES), b"") if hasattr(body, "read") else iter(body)
        for part in parts:
            if not part:
                break
            door.grown(found, part.encode() if isinstance(part, str) else part)
        # What was read once is kept, so that the request can be sent again.
        whole = request.body = bytes(found)
        return whole

    def __repr__(self) -> str:
        return f"SigningAdapter({self._signer!r})"


def _given(request: requests.PreparedRequest) -> Any:
    # The stubs know of bytes and texts alone.
    return request.body


def _signed(
    request: requests.PreparedRequest, signed: pb.SignedHttpRequest
) -> requests.PreparedRequest:
    if parse_url(signed.url).url != signed.url:
        raise url_would_change()
    own = [(_text(name), _text(value)) for name, value in request.headers.items()]
    headers = merged_headers(own, signed)
    to_send = request.copy()
    to_send.method, to_send.url, to_send.body = signed.method, signed.url, signed.body or None
    to_send.headers.clear()
    to_send.headers.update(headers)
    if len(to_send.headers) != len(headers):
        raise RequestRefused("requests can't send a header twice; use another HTTP library")
    return to_send


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value
